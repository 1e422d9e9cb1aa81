"""Names that others rely on and that are no paths: streams, cameras, asset keys, groups of the ledger, sides, locks.

Asset keys are strings with slashes here; :mod:`aurora_assets.asset_keys` makes Dagster's of them.
"""

from typing import Literal

WXCAM = "wxcam"
"""The stream of the sky camera, its directory of products, and how the keys of its products begin."""
CAMERAS = FISH, PANO = "fish_hdr", "pano_hdr"
DAILY_VIDEO, LATEST_VIDEO, HOURLY_THUMBNAILS, PIXELS = "daily_video", "latest_video", "hourly_thumbnails", "pixels"
DAILY_PRODUCTS = (DAILY_VIDEO, PIXELS)

CATALOG_KEY = f"{WXCAM}/catalog"
HEALTH_KEY, ALERTS_KEY = "ops/health", "ops/alerts"

IS_FRESH, NOTHING_IS_RED = "is_fresh", "nothing_is_red"
"""The checks that the health makes of its own verdicts."""

# Groups of the ledger.
CORE_PRODUCTS, WXCAM_PRODUCTS, EVIDENCE = "core_products", "wxcam_products", "evidence"
REGISTERED = "registered"
"""Files that somebody else put into the ledger."""

CORE_PRODUCTS_KEY, WXCAM_PRODUCTS_KEY = f"gws/{CORE_PRODUCTS}", f"gws/{WXCAM_PRODUCTS}"

Side = Literal["source", "local", "gws"]
SIDES: tuple[Side, ...] = ("source", "local", "gws")
"""The places of a file, as the evidence and the manifests name them: its host, this machine, the archive."""


def source_key(stream: str) -> str:
    """What the instrument host of a stream has."""
    return f"source/{stream}"


def raw_key(stream: str) -> str:
    """Our copy of it."""
    return f"raw/{stream}"


def gws_raw_key(stream: str) -> str:
    """The copy in the archive."""
    return f"gws/raw/{stream}"


def manifests_key(stream: str) -> str:
    """The manifests and finalizations of a stream."""
    return f"manifests/{stream}"


def product_key(camera: str, product: str) -> str:
    """A product of one camera."""
    return f"{WXCAM}/{camera}/{product}"


def camera_keys(*products: str) -> list[str]:
    """The catalogue, and these products of both cameras; all products where none is named."""
    wanted = products or (*DAILY_PRODUCTS, HOURLY_THUMBNAILS, LATEST_VIDEO)
    return [CATALOG_KEY, *(product_key(camera, product) for camera in CAMERAS for product in wanted)]


def raw_group(stream: str) -> str:
    """The ledger's group of the raw files of a stream."""
    return f"raw/{stream}"


def finalization_groups(stream: str) -> tuple[str, str]:
    """The ledger's groups of the manifests and of the finalizations of a stream; copied in this order."""
    return f"{EVIDENCE}/{stream}/manifests", f"{EVIDENCE}/{stream}/words"


def verify_lock(stream: str) -> str:
    """The lock of whoever verifies a stream, or deletes working copies of it."""
    return f"verify.{stream}"


def mirror_lock(lane: str) -> str:
    """The lock of a pass of a mirror."""
    return f"mirror.{lane}"


def mirror_transfer_lock(lane: str) -> str:
    """The lock that the rsync of such a pass holds, which may outlive the pass."""
    return f"mirror.{lane}.transfer"
