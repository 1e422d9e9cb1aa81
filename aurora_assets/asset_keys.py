"""The asset keys of :mod:`aurora_platform.layout` as Dagster's ``AssetKey``. No other module makes keys."""

from dagster import AssetKey

from aurora_platform import layout


def asset_key(name: str) -> AssetKey:
    """The asset key of a name with slashes."""
    return AssetKey(name.split("/"))


CATALOG = asset_key(layout.CATALOG_KEY)
CORE_PRODUCTS, WXCAM_PRODUCTS = asset_key(layout.CORE_PRODUCTS_KEY), asset_key(layout.WXCAM_PRODUCTS_KEY)
PRODUCT_MANIFESTS = asset_key(layout.PRODUCT_MANIFESTS_KEY)
RESTORE_DRILL, RETENTION = asset_key(layout.RESTORE_DRILL_KEY), asset_key(layout.RETENTION_KEY)
HEALTH, ALERTS = asset_key(layout.HEALTH_KEY), asset_key(layout.ALERTS_KEY)


def source_key(stream: str) -> AssetKey:
    """A stream's files on their host, which the sensors observe."""
    return asset_key(layout.source_key(stream))


def raw_key(stream: str) -> AssetKey:
    """A stream's local raw files."""
    return asset_key(layout.raw_key(stream))


def gws_raw_key(stream: str) -> AssetKey:
    """A stream's raw files in the archive."""
    return asset_key(layout.gws_raw_key(stream))


def manifests_key(stream: str) -> AssetKey:
    """A stream's manifests."""
    return asset_key(layout.manifests_key(stream))


def product_key(camera: str, product: str) -> AssetKey:
    """A product of one camera."""
    return asset_key(layout.product_key(camera, product))
