"""Shared names that are not paths: streams, cameras, asset keys, groups of the ledger, sides, locks.

Asset keys are strings with slashes; :mod:`aurora_assets.asset_keys` turns them into Dagster's asset keys.
"""

from datetime import date
from typing import Literal

WXCAM = "wxcam"
"""The stream of the sky camera, its directory of products, and the first part of the keys of its products."""
CAMERAS = FISH, PANO = "fish_hdr", "pano_hdr"
DAILY_VIDEO, LATEST_VIDEO, HOURLY_THUMBNAILS, PIXELS = "daily_video", "latest_video", "hourly_thumbnails", "pixels"
DAILY_PRODUCTS = (DAILY_VIDEO, PIXELS)
"""Made from the catalogue of a UTC day, by the job ``wxcam_day``; each has a freshness check."""

CATALOG_KEY = f"{WXCAM}/catalog"
HEALTH_KEY, ALERTS_KEY = "ops/health", "ops/alerts"

IS_FRESH, NOTHING_IS_RED = "is_fresh", "nothing_is_red"
"""The checks made from the health assessment."""

# Groups of the ledger.
CORE_PRODUCTS, WXCAM_PRODUCTS, EVIDENCE = "core_products", "wxcam_products", "evidence"
REGISTERED = "registered"
"""Files that other systems registered in the ledger."""
COLLECTIONS = (CORE_PRODUCTS, WXCAM_PRODUCTS, REGISTERED)
"""What is archived besides the streams. Each is proved as a stream is, and no stream may have such a name."""
PRODUCTS = "products"
OWN_LIST: Literal["list"] = "list"
"""Stands for the day in the names of the finalization of files that belong to no UTC day."""
FinalizedKey = date | Literal["list"]
"""What a finalization is about: a UTC day, or the files without a day (:data:`OWN_LIST`)."""

CORE_PRODUCTS_KEY, WXCAM_PRODUCTS_KEY = f"gws/{CORE_PRODUCTS}", f"gws/{WXCAM_PRODUCTS}"

RESTORE_DRILL_KEY, RETENTION_KEY = "gws/restore_drill", "gws/retention"
PRODUCT_MANIFESTS_KEY = f"manifests/{PRODUCTS}"

Side = Literal["source", "local", "gws"]
SIDES: tuple[Side, ...] = ("source", "local", "gws")
"""The sides of the evidence and the manifests: the instrument host, this machine, the archive."""
SIDE_NAMES: dict[Side, Literal["source", "local", "archive"]] = {"source": "source", "local": "local", "gws": "archive"}
"""The sides in messages; ``gws`` is a word of the files only."""


def source_key(stream: str) -> str:
    """Key of the files of a stream on its instrument host."""
    return f"source/{stream}"


def raw_key(stream: str) -> str:
    """Key of the local copy of a stream."""
    return f"raw/{stream}"


def gws_raw_key(stream: str) -> str:
    """Key of the copy of a stream in the archive."""
    return f"gws/raw/{stream}"


def manifests_key(stream: str) -> str:
    """Key of the manifests and finalizations of a stream."""
    return f"manifests/{stream}"


def product_key(camera: str, product: str) -> str:
    """Key of a product of one camera."""
    return f"{WXCAM}/{camera}/{product}"


def camera_keys(*products: str) -> list[str]:
    """Keys of the catalogue and of these products of both cameras; without arguments of all products."""
    selected = products or (*DAILY_PRODUCTS, HOURLY_THUMBNAILS, LATEST_VIDEO)
    return [CATALOG_KEY, *(product_key(camera, product) for camera in CAMERAS for product in selected)]


def raw_group(stream: str) -> str:
    """The ledger's group of the raw files of a stream."""
    return f"raw/{stream}"


def read_finalized_key(text: str) -> FinalizedKey:
    """Read what a finalization is about from its name; :class:`ValueError` where the name is none of ours."""
    if text == OWN_LIST:
        return OWN_LIST
    day = date.fromisoformat(text)
    if not 1970 <= day.year < 9999:  # the day after it must be a date, too
        raise ValueError(f"{day}: no day of a file")
    return day


def finalization_groups(stream: str) -> tuple[str, str]:
    """The ledger's groups of the manifests and of the finalizations of a stream; copied in this order."""
    return f"{EVIDENCE}/{stream}/manifests", f"{EVIDENCE}/{stream}/words"


def evidence_name(collection: str) -> str:
    """The name of a collection of products in the evidence, where no stream can have it."""
    return f"{PRODUCTS}:{collection}"


def verify_lock(stream: str) -> str:
    """The lock for verifying a stream, and for deleting local copies of it."""
    return f"verify.{stream}"


def mirror_lock(lane: str) -> str:
    """The lock of a mirror pass."""
    return f"mirror.{lane}"


def mirror_transfer_lock(lane: str) -> str:
    """The lock of the rsync of a mirror pass, which may outlive the pass."""
    return f"mirror.{lane}.transfer"
