"""What the camera's steps say of their work: plain data, for who shows it. Loads no library of media or arrays."""

from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path

from aurora_platform.text import Count


@dataclass
class CatalogReport:
    """What a refresh of one day found and wrote. Counts are files."""

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
    """What making one video did."""

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
    """relative path -> why the video leaves it out"""
    unreadable: dict[str, str] = field(default_factory=dict)
    """relative path -> why no reader can decode it"""
    waiting: Count = field(default_factory=Count)
    seconds: float = 0.0
    data_version: str = ""
    span: tuple[datetime, datetime] | None = None
    """Times of the first and last clip that were considered, also where they are excluded: how new the product is."""


@dataclass
class ThumbnailReport:
    """What became of one hour."""

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
    """What building one day's pixels did. Counts are frames."""

    camera: str
    day: date
    built: bool = False
    frames: int = 0
    decoded: int = 0
    """Frames that were proved decodable in this run; the others were taken over from the day's earlier version."""
    shape: tuple[int, int] | None = None
    """y, x (px)"""
    bytes: int = 0
    excluded: dict[str, str] = field(default_factory=dict)
    """relative path -> why it is not in the array (other size, same time as another, not RGB)"""
    unreadable: dict[str, str] = field(default_factory=dict)
    """relative path -> why no reader can decode it"""
    waiting: Count = field(default_factory=Count)
    """Changed since they were catalogued: the next pass takes them."""
    seconds: float = 0.0
    data_version: str = ""
    span: tuple[datetime, datetime] | None = None
    """Times of the first and last image that were considered, also where they are excluded: how new the product is."""
