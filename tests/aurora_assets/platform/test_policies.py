"""The policies: every asset gets its tags, owner, icon, freshness policy and condition from one table."""

from datetime import timedelta
from pathlib import Path

import pytest
from dagster import AssetSpec

from aurora_assets.definitions import build
from aurora_assets.policies import POLICIES, with_policies
from aurora_platform.config.archive import Retention
from aurora_platform.config.health import Alerts
from aurora_platform.config.site import Site, load_site
from aurora_platform.layout.key_parts import parts_of

ROOT = Path(__file__).parents[3]
# Names that Dagster's web server of this version has an icon for (its chunk with `icon:` entries).
ICONS = {"source", "file", "sqlite", "table", "dataset", "report", "json"}


@pytest.fixture(scope="module")
def site() -> Site:
    alerts = Alerts(to=("observer@example.org",), sender="aurora@example.org")
    retention = Retention(raw={"wxcam": timedelta(days=30)}, schedule="0 4 * * *")
    update = {"alerts": alerts, "contact": "observer@example.org", "retention": retention}
    return load_site(ROOT / "sites" / "gamb2le.yaml").model_copy(update=update)


@pytest.fixture(scope="module")
def specs(site: Site) -> dict[str, AssetSpec]:
    return {spec.key.to_user_string(): spec for spec in build(site).resolve_all_asset_specs()}


def test_the_contact_of_the_site_owns_every_asset(specs: dict[str, AssetSpec]) -> None:
    assert {tuple(spec.owners) for spec in specs.values()} == {("observer@example.org",)}


def test_every_asset_has_tags_for_part_stream_camera_and_host(site: Site, specs: dict[str, AssetSpec]) -> None:
    tags = {key: {name: value for name, value in spec.tags.items() if "/" not in name} for key, spec in specs.items()}
    host = site.streams["wxcam"].host
    assert tags["wxcam/fish_hdr/pixels"] == {"part": "cameras", "stream": "wxcam", "camera": "fish_hdr", "host": host}
    assert tags["gws/raw/cl61"] == {"part": "archive", "stream": "cl61", "host": site.streams["cl61"].host}
    assert tags["gws/core_products"] == {"part": "archive"}
    assert all("part" in one for one in tags.values())


def test_every_kind_has_an_icon_in_the_ui(specs: dict[str, AssetSpec]) -> None:
    assert all(spec.kinds and spec.kinds <= ICONS for spec in specs.values())


def test_the_table_has_a_row_for_every_kind_of_asset_and_no_other(specs: dict[str, AssetSpec]) -> None:
    assert {parts_of(key).kind for key in specs} == set(POLICIES)


def test_every_description_says_what_the_asset_is_and_ends_with_its_path(specs: dict[str, AssetSpec]) -> None:
    for key, spec in specs.items():
        paragraphs = (spec.description or "").split("\n\n")
        assert paragraphs[-1].startswith("Path: `/"), key
        assert paragraphs[0].endswith((".", "PLANNED OFFLINE: not listed.")), key
        assert not {"{", "}"} & set(spec.description or ""), key


def test_an_asset_of_a_kind_without_a_row_is_an_error_that_names_the_table(site: Site) -> None:
    with pytest.raises(ValueError, match=r"wxcam/fish_hdr/other: add its kind 'other' to aurora_assets/policies\.py"):
        with_policies(site, [AssetSpec(["wxcam", "fish_hdr", "other"])])
