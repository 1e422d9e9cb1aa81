"""Reports of the camera's steps: plain data for display. Loads no media or array library."""

from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path

from aurora_platform.text import Count


@dataclass
class CatalogReport:
    """The result of refreshing one day of the catalogue. Counts are files."""

    day: date
    images: int = 0
    videos: int = 0
    bytes: int = 0
    added: int = 0
    changed: int = 0
    removed: int = 0
    unchanged: int = 0
    unsettled: Count = field(default_factory=Count)
    unreadable: dict[str, str] = field(default_factory=dict)
    """relative path -> reason"""
    seconds: float = 0.0
    data_version: str = ""
    span: tuple[datetime, datetime] | None = None

    @property
    def wrote(self) -> bool:
        return bool(self.added or self.changed or self.removed)


@dataclass
class VideoReport:
    """The result of making one video."""

    camera: str
    target: Path
    built: bool = False
    clips: int = 0
    converted: int = 0
    """Clips that were converted in this run."""
    kept_conversions: int = 0
    """Clips that an earlier run had converted."""
    frames: int = 0
    duration: float = 0.0  # s
    bytes: int = 0
    excluded: dict[str, str] = field(default_factory=dict)
    """relative path -> why the video excludes it"""
    unreadable: dict[str, str] = field(default_factory=dict)
    """relative path -> why no decoder can read it"""
    waiting: Count = field(default_factory=Count)
    seconds: float = 0.0
    data_version: str = ""
    span: tuple[datetime, datetime] | None = None
    """Times of the first and last clip, excluded clips included: how new the product is."""


@dataclass
class ThumbnailReport:
    """The result of making the thumbnail of one hour."""

    camera: str
    hour: datetime
    path: Path | None = None
    """The published thumbnail, if the hour has one."""
    built: bool = False
    note: str = ""
    bytes: int = 0
    unreadable: dict[str, str] = field(default_factory=dict)
    waiting: Count = field(default_factory=Count)
    seconds: float = 0.0
    data_version: str = ""


@dataclass
class PixelsReport:
    """The result of building one day's pixels. Counts are frames."""

    camera: str
    day: date
    built: bool = False
    frames: int = 0
    decoded: int = 0
    """Frames that this run checked to be decodable; the others come from the day's earlier version."""
    shape: tuple[int, int] | None = None
    """y, x (px)"""
    bytes: int = 0
    excluded: dict[str, str] = field(default_factory=dict)
    """relative path -> why it is not in the array (other size, same time as another image, not RGB)"""
    unreadable: dict[str, str] = field(default_factory=dict)
    """relative path -> why no decoder can read it"""
    waiting: Count = field(default_factory=Count)
    """Files that changed since they were catalogued: the next run uses them."""
    seconds: float = 0.0
    data_version: str = ""
    span: tuple[datetime, datetime] | None = None
    """Times of the first and last image, excluded images included: how new the product is."""
