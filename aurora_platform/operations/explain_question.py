"""What a question of ``aurora explain`` can be about: an asset and a partition, a raw file, or a product."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from aurora_platform.config.site import Site
from aurora_platform.errors import AuroraError
from aurora_platform.layout import (
    ALERTS_KEY,
    CAMERAS,
    CORE_PRODUCTS_KEY,
    HEALTH_KEY,
    HOURLY_THUMBNAILS,
    LATEST_VIDEO,
    PRODUCT_MANIFESTS_KEY,
    RESTORE_DRILL_KEY,
    RETENTION_KEY,
    WXCAM,
    WXCAM_PRODUCTS_KEY,
    camera_keys,
    gws_raw_key,
    manifests_key,
    product_key,
    raw_key,
    source_key,
)

ARCHIVE_WORK = (PRODUCT_MANIFESTS_KEY, RESTORE_DRILL_KEY, RETENTION_KEY)
"""The archive's assets without partitions that are not a push."""
_WITHOUT_PARTITIONS = (
    *(HEALTH_KEY, ALERTS_KEY, CORE_PRODUCTS_KEY, *ARCHIVE_WORK),
    *(product_key(camera, LATEST_VIDEO) for camera in CAMERAS),
)
_HOURLY = tuple(product_key(camera, HOURLY_THUMBNAILS) for camera in CAMERAS)


class QuestionError(AuroraError):
    """The argument names nothing, or several things; the message lists what may be meant."""


@dataclass(frozen=True)
class RawFile:
    """A file of a stream, by its path relative to the stream, and the text that says where the path was found."""

    stream: str
    path: str
    named_by: str = ""


@dataclass(frozen=True)
class ProductFile:
    """A file or directory of products, by its path relative to ``paths.products``."""

    path: str


@dataclass(frozen=True)
class AssetPartition:
    """An asset and a partition; None: the newest, or an asset without partitions."""

    key: str
    partition: str | None = None
    path: str | None = None
    """The path that was asked for, where it is one of several files of the partition; relative to its root."""


@dataclass(frozen=True)
class Elsewhere:
    """A path that belongs to no stream and to no product, with the reason."""

    path: str
    why: str


Question = RawFile | ProductFile | AssetPartition | Elsewhere


def asset_keys(site: Site) -> list[str]:
    """Every asset key of a site."""
    makers = [source_key, raw_key, *([gws_raw_key, manifests_key] if site.archive else [])]
    keys = [make(name) for make in makers for name in site.streams]
    keys += camera_keys() if WXCAM in site.streams else []
    if site.archive:
        keys += [CORE_PRODUCTS_KEY, *([WXCAM_PRODUCTS_KEY] if WXCAM in site.streams else [])]
        keys += [PRODUCT_MANIFESTS_KEY, RESTORE_DRILL_KEY, *([RETENTION_KEY] if site.retention.raw else [])]
    return [*keys, HEALTH_KEY, ALERTS_KEY]


def has_partitions(key: str) -> bool:
    """Whether an asset has partitions."""
    return key not in _WITHOUT_PARTITIONS and not key.startswith(f"{source_key('')}")


def is_hourly(key: str) -> bool:
    """Whether the partitions of an asset are hours."""
    return key in _HOURLY


def day_of_partition(partition: str | None) -> date | None:
    """The UTC day of a partition: of a day or of an hour."""
    return None if partition is None else date.fromisoformat(partition[:10])
