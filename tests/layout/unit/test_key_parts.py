"""Asset keys are read back: the part, the stream and the camera of every asset."""

import pytest

from aurora_platform import layout
from aurora_platform.layout.key_parts import KeyParts, parts_of


@pytest.mark.parametrize(
    ("key", "parts"),
    [
        (layout.source_key("cl61"), KeyParts("mirror", "source", "cl61")),
        (layout.raw_key("wxcam"), KeyParts("mirror", "raw", "wxcam")),
        (layout.CATALOG_KEY, KeyParts("cameras", "catalog", "wxcam")),
        (layout.product_key("fish_hdr", "pixels"), KeyParts("cameras", "pixels", "wxcam", "fish_hdr")),
        (layout.gws_raw_key("cl61"), KeyParts("archive", "gws_raw", "cl61")),
        (layout.WXCAM_PRODUCTS_KEY, KeyParts("archive", "wxcam_products", "wxcam")),
        (layout.CORE_PRODUCTS_KEY, KeyParts("archive", "core_products")),
        (layout.manifests_key("cl61"), KeyParts("archive", "manifests", "cl61")),
        (layout.HEALTH_KEY, KeyParts("health", "health")),
        (layout.ALERTS_KEY, KeyParts("health", "alerts")),
    ],
)
def test_every_key_that_the_layout_makes_is_read_back(key: str, parts: KeyParts) -> None:
    assert parts_of(key) == parts


@pytest.mark.parametrize("key", ["", "raw", "raw/a/b", "gws/other", "wxcam", "wxcam/a/b/c", "somebody/else"])
def test_a_key_that_no_asset_has_is_an_error(key: str) -> None:
    with pytest.raises(ValueError, match="no asset has this key"):
        parts_of(key)
