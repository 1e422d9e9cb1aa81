"""Reports of the camera's steps: plain data for display. Loads no media or array library."""

from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Annotated

from aurora_platform.report_fields import BYTES, RARE, SHOWN, Show
from aurora_platform.text import Count

_DATA_VERSION, _SIZE = Show("inputs_sha256"), Show(unit="bytes", rare=True)
Reasons = dict[str, str]
"""relative path -> reason"""
Span = tuple[datetime, datetime] | None
"""Times of the first and last input, excluded ones included: how new the product is."""


@dataclass
class CatalogReport:
    """The result of refreshing one day of the catalogue. Counts are files."""

    day: date
    images: Annotated[int, SHOWN] = 0
    videos: Annotated[int, Show("clips")] = 0
    unreadable: Annotated[Reasons, SHOWN] = field(default_factory=dict)
    unsettled: Annotated[Count, SHOWN] = field(default_factory=Count)
    bytes: Annotated[int, BYTES] = 0
    added: Annotated[int, SHOWN] = 0
    changed: Annotated[int, SHOWN] = 0
    removed: Annotated[int, SHOWN] = 0
    unchanged: Annotated[int, SHOWN] = 0
    span: Annotated[Span, SHOWN] = None
    seconds: Annotated[float, SHOWN] = 0.0
    data_version: Annotated[str, _DATA_VERSION] = ""


@dataclass
class VideoReport:
    """The result of making one video."""

    camera: str
    target: Path
    frames: Annotated[int, SHOWN] = 0
    duration: Annotated[float, Show("duration_s")] = 0.0
    clips: Annotated[int, SHOWN] = 0
    excluded: Annotated[Reasons, SHOWN] = field(default_factory=dict)
    """Why the video excludes a clip."""
    built: Annotated[bool, Show("rebuilt")] = False
    bytes: Annotated[int, _SIZE] = 0
    converted: Annotated[int, Show("clips_converted", rare=True)] = 0
    """Clips that were converted in this run."""
    kept_conversions: Annotated[int, Show("clips_converted_before", rare=True)] = 0
    """Clips that an earlier run had converted."""
    unreadable: Annotated[Reasons, RARE] = field(default_factory=dict)
    """Why no decoder can read a clip."""
    waiting: Annotated[Count, RARE] = field(default_factory=Count)
    span: Annotated[Span, SHOWN] = None
    seconds: Annotated[float, SHOWN] = 0.0
    data_version: Annotated[str, _DATA_VERSION] = ""

    @property
    def path(self) -> Annotated[Path | None, SHOWN]:
        """The video; None where there is none."""
        return self.target if self.bytes else None


@dataclass
class ThumbnailReport:
    """The result of making the thumbnail of one hour."""

    camera: str
    hour: datetime
    built: Annotated[bool, Show("made")] = False
    note: Annotated[str, SHOWN] = ""
    bytes: Annotated[int, _SIZE] = 0
    path: Annotated[Path | None, SHOWN] = None
    """The published thumbnail, if the hour has one."""
    unreadable: Annotated[Reasons, RARE] = field(default_factory=dict)
    waiting: Annotated[Count, RARE] = field(default_factory=Count)
    seconds: Annotated[float, SHOWN] = 0.0
    data_version: Annotated[str, _DATA_VERSION] = ""


@dataclass
class PixelsReport:
    """The result of building one day's pixels. Counts are frames."""

    camera: str
    day: date
    frames: Annotated[int, SHOWN] = 0
    shape: tuple[int, int] | None = None
    """y, x (px)"""
    excluded: Annotated[Reasons, SHOWN] = field(default_factory=dict)
    """Why an image is not in the array (other size, same time as another image, not RGB)."""
    bytes: Annotated[int, _SIZE] = 0
    built: Annotated[bool, Show("rebuilt")] = False
    decoded: Annotated[int, Show("frames_decoded")] = 0
    """Frames that this run checked to be decodable; the others come from the day's earlier version."""
    unreadable: Annotated[Reasons, RARE] = field(default_factory=dict)
    """Why no decoder can read an image."""
    waiting: Annotated[Count, RARE] = field(default_factory=Count)
    """Files that changed since they were catalogued: the next run uses them."""
    span: Annotated[Span, SHOWN] = None
    seconds: Annotated[float, SHOWN] = 0.0
    data_version: Annotated[str, _DATA_VERSION] = ""

    @property
    def height_px(self) -> Annotated[int, SHOWN]:
        """Height of the frames; 0 without any."""
        return self.shape[0] if self.shape else 0

    @property
    def width_px(self) -> Annotated[int, SHOWN]:
        """Width of the frames; 0 without any."""
        return self.shape[1] if self.shape else 0

    @property
    def decoded_per_s(self) -> Annotated[float, RARE]:
        """Decoded frames per second of the whole build."""
        return self.decoded / self.seconds if self.seconds else 0.0
