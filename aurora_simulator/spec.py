"""Defines the file tree of the sky camera: its two views, file names, image times and modification times.

All functions are pure functions of a `CameraSpec`; they render and write nothing. The names follow the real camera
(`FISH/YYYYMMDD/HH/HDR_YYYYMMDD_HHMMSS.jpg` and so on). It is not a parser: readers of the tree have their own.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Literal

HOUR = timedelta(hours=1)
HOURS_PER_DAY = 24
OTHER_EXPOSURES = ("AUTO", "LONG", "SHORT")
"""Other exposures that the camera writes with each HDR image; they are not mirrored."""

IMAGE_DELAY = timedelta(seconds=2)
"""Time from the image time to the modification time."""

CLIP_DELAY = timedelta(seconds=20)
"""Time from the end of an hour to the modification time of its clip."""

LARGEST_SCALE = 4
SMALLEST_SIDE = 16  # px; not every video encoder accepts smaller frames


class SpecError(ValueError):
    """The simulator cannot do what a spec asks for; the message names the valid values."""


@dataclass(frozen=True)
class View:
    """One of the two images that the camera takes of the same sky."""

    name: str
    width: int  # px at scale 1
    height: int  # px at scale 1
    suffix: str
    projection: Literal["fisheye", "panorama"]

    def size(self, scale: float) -> tuple[int, int]:
        """Return width and height in px at `scale`: even, because 4:2:0 halves them, and at least `SMALLEST_SIDE`."""
        return even(self.width * scale), even(self.height * scale)


FISH = View("FISH", 3120, 3040, "", "fisheye")
PANO = View("PANO", 2880, 750, "_PANO", "panorama")
VIEWS = (FISH, PANO)


@dataclass(frozen=True)
class CameraSpec:
    """Describes the files of a simulated camera.

    Parameters
    ----------
    root : Path
        Directory that gets `FISH/` and `PANO/`; made when it does not exist.
    day : date
        UTC day of the first image.
    hours : int
        Number of hours; hours after midnight go to the directory of the next day.
    every : timedelta
        Time between images, in whole seconds.
    start_hour : int
        UTC hour of the first image, 0 to 23.
    scale : float
        Multiplies width and height of every image; 1.0 is the real size.
    codec : str
        `h264` or `mpeg4` (MPEG-4 part 2), for the hourly clips.
    seed : int
        Another seed gives another sky.
    other : bool
        Whether to write AUTO, LONG and SHORT images too.

    Raises
    ------
    SpecError
        If a value is out of range.
    """

    root: Path
    day: date
    hours: int
    every: timedelta
    start_hour: int = 0
    scale: float = 1.0
    codec: str = "h264"
    seed: int = 0
    other: bool = True

    def __post_init__(self) -> None:
        problems = {
            f"hours must be 1 or more, not {self.hours}": self.hours < 1,
            f"every must be whole seconds, 1 or more, not {self.every}": self.every < timedelta(seconds=1)
            or self.every.microseconds != 0,
            f"start_hour must be 0 to 23, not {self.start_hour}": not 0 <= self.start_hour < HOURS_PER_DAY,
            f"scale must be above 0 and at most {LARGEST_SCALE}, not {self.scale}": not 0 < self.scale <= LARGEST_SCALE,
            f"codec must be h264 or mpeg4, not {self.codec!r}": self.codec not in ("h264", "mpeg4"),
            f"seed must be 0 or more, not {self.seed}": self.seed < 0,
        }
        for problem, is_wrong in problems.items():
            if is_wrong:
                raise SpecError(problem)

    @property
    def start(self) -> datetime:
        """Time of the first image."""
        return datetime(self.day.year, self.day.month, self.day.day, self.start_hour, tzinfo=UTC)

    def hour_starts(self) -> list[datetime]:
        """Return the starts of the hours, in order."""
        return [self.start + index * HOUR for index in range(self.hours)]

    def image_times(self, hour: datetime) -> list[datetime]:
        """Return the image times in the hour that begins at `hour`; none when `every` steps over it."""
        first = -((self.start - hour) // self.every)  # ceiling division
        last = -((self.start - hour - HOUR) // self.every)
        return [self.start + index * self.every for index in range(first, last)]


def even(side: float) -> int:
    """Return the nearest even number of px, at least `SMALLEST_SIDE`."""
    return max(SMALLEST_SIDE, 2 * round(side / 2))


def image_name(time: datetime, view: View, exposure: str = "HDR") -> str:
    """Return the file name of an image."""
    return f"{exposure}_{time:%Y%m%d_%H%M%S}{view.suffix}.jpg"


def image_path(time: datetime, view: View, exposure: str = "HDR") -> str:
    """Return the path of an image relative to the root."""
    return f"{hour_directory(time, view)}/{image_name(time, view, exposure)}"


def hour_directory(time: datetime, view: View) -> str:
    """Return the directory of the images of an hour, relative to the root."""
    return f"{view.name}/{time:%Y%m%d/%H}"


def clip_path(time: datetime, view: View) -> str:
    """Return the path of the clip that begins at `time`, relative to the root."""
    return f"{view.name}/{time:%Y%m%d}/HDR_{time:%Y%m%d_%H%M%S}{view.suffix}.mp4"


def mtime_ns(written: datetime, relative_path: str) -> int:
    """Return `written` as ns since epoch, plus a fraction of a second that depends only on the path."""
    fraction = int.from_bytes(hashlib.blake2b(relative_path.encode(), digest_size=8).digest()) % 1_000_000_000
    return int(written.timestamp()) * 1_000_000_000 + fraction
