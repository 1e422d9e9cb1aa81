"""Describes a live camera, and converts between its sky time and the clock.

Pure functions, like `spec.py`; `live.py` writes the files.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from aurora_simulator.spec import HOUR, CameraSpec, SpecError

OLDEST = datetime(1971, 1, 1, tzinfo=UTC)  # modification times before 1970 are more trouble than they are worth
NEVER = timedelta()


@dataclass(frozen=True)
class LiveSpec:
    """Describes the files of a live camera and its speed.

    Parameters
    ----------
    root : Path
        Directory that gets `FISH/` and `PANO/`; made when it does not exist.
    begin : datetime
        First sky time, UTC and not in the future. From `begin` on, images have the times of a `CameraSpec` that starts
        with the hour of `begin`.
    speed : float
        Seconds of sky time per second of clock time, until sky time has caught up with the clock; then 1.
    every, scale, codec, seed, other
        As in `CameraSpec`; `other` is off by default.
    hours : int, optional
        Number of hours of sky time; the hour of `begin` counts as one; by default the camera never ends.
    flight : timedelta
        Clock time from the first half of a file to the second.
    late_after, late_by : timedelta
        At sky time `begin + late_after` an image appears that is `late_by` older: whole, and with a modification time
        that matches its image time. 0 for `late_by` means no such image; otherwise it must be longer than `late_after`,
        so that no file of this run has its name.
    outage_after, outage : timedelta
        Clock time from the start to the outage, and its length; 0 for `outage` means no outage. In an outage the root
        is renamed to `offline`, and the camera continues to write in it.
    journal : Path, optional
        Gets one line with a JSON object per whole file: `path` relative to the root, `bytes`, and `complete_at` in
        seconds since epoch. An existing journal is continued.

    Raises
    ------
    SpecError
        If a value is out of range.
    """

    root: Path
    begin: datetime
    speed: float = 60.0
    every: timedelta = timedelta(minutes=5)
    hours: int | None = None
    scale: float = 1.0
    codec: str = "h264"
    seed: int = 0
    other: bool = False
    flight: timedelta = timedelta(seconds=1)
    late_after: timedelta = HOUR
    late_by: timedelta = NEVER
    outage_after: timedelta = timedelta(minutes=3)
    outage: timedelta = NEVER
    journal: Path | None = None

    def __post_init__(self) -> None:
        lengths = ("flight", "late_after", "late_by", "outage_after", "outage")
        problems = {
            f"{name} must be 0 or longer, not {getattr(self, name)}": getattr(self, name) < NEVER for name in lengths
        } | {
            f"begin must be UTC (with a zone), not {self.begin}": self.begin.utcoffset() != timedelta(),
            f"speed must be a number above 0, not {self.speed}": not 0 < self.speed < math.inf,
            f"late_by must be 0, for none, or longer than late_after, {self.late_after}; not {self.late_by}": NEVER
            < self.late_by
            <= self.late_after,
            f"journal must lie outside of root, not at {self.journal}": self.journal is not None
            and absolute_path(self.journal).is_relative_to(absolute_path(self.root)),
        }
        for problem, is_wrong in problems.items():
            if is_wrong:
                raise SpecError(problem)
        if self.begin < OLDEST + self.late_by:
            raise SpecError(f"begin must be {OLDEST + self.late_by:%Y-%m-%d} or later, not {self.begin}")
        _ = self.camera  # CameraSpec checks the rest

    @property
    def camera(self) -> CameraSpec:
        """The spec of the camera's files; of one hour when the live camera never ends."""
        begin = self.begin
        hours = 1 if self.hours is None else self.hours
        return CameraSpec(
            self.root, begin.date(), hours, self.every, begin.hour, self.scale, self.codec, self.seed, self.other
        )

    @property
    def offline(self) -> Path:
        """Path of the root in an outage: the root with `.offline` appended."""
        return Path(f"{absolute_path(self.root)}.offline")


@dataclass(frozen=True)
class SkyClock:
    """Converts clock time to sky time and back. At clock time `started` it is `begin`; it never passes the clock."""

    begin: datetime
    speed: float
    started: float  # s since epoch

    def wall(self, sky_time: datetime) -> float:
        """Return the clock time of a sky time, s since epoch."""
        return max(sky_time.timestamp(), self.started + (sky_time - self.begin).total_seconds() / self.speed)

    def sky(self, wall: float) -> datetime:
        """Return the sky time of a clock time in s since epoch."""
        ahead = self.begin.timestamp() + (wall - self.started) * self.speed
        return datetime.fromtimestamp(min(wall, ahead), UTC)


def absolute_path(path: Path) -> Path:
    """Return the absolute path without `.` and `..`; links are not followed, so a link that is the root is renamed."""
    return Path(os.path.abspath(path))
