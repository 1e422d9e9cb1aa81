"""What a live camera is asked for, and how its sky time runs along with the clock.

Pure, as `spec.py`; the writing is in `live.py`.
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
    """What a live camera writes, and how fast.

    Parameters
    ----------
    root : Path
        Directory that gets `FISH/` and `PANO/`; made when it does not exist.
    begin : datetime
        Sky time to begin with, UTC and not in the future. Images have the times of a `CameraSpec` that starts with the
        hour of `begin`, from `begin` on.
    speed : float
        Seconds of sky time in one of the clock, until sky time has caught up with the clock; 1 from then on.
    every, scale, codec, seed, other
        As in `CameraSpec`; `other` is off unless asked for.
    hours : int, optional
        Number of hours of sky time, that of `begin` counted as one; by default the camera never ends.
    flight : timedelta
        Clock time from the first half of a file to the second.
    late_after, late_by : timedelta
        At sky time `begin + late_after` an image turns up that is `late_by` older: whole, and dated like the files of
        its day. 0 for `late_by` is none; otherwise it is longer than `late_after`, so that no file of this run has its
        name.
    outage_after, outage : timedelta
        Clock time from the start to the outage, and its length; 0 for `outage` is none. In an outage the root is
        renamed to `offline`, and the camera goes on writing there.
    journal : Path, optional
        Gets one JSON object on a line for each file, once it is whole: `path` relative to the root, `bytes`, and
        `complete_at` in seconds since epoch. A journal that is there is continued.

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
            and plain(self.journal).is_relative_to(plain(self.root)),
        }
        for problem, is_wrong in problems.items():
            if is_wrong:
                raise SpecError(problem)
        if self.begin < OLDEST + self.late_by:
            raise SpecError(f"begin must be {OLDEST + self.late_by:%Y-%m-%d} or later, not {self.begin}")
        _ = self.camera  # which looks at the rest

    @property
    def camera(self) -> CameraSpec:
        """The camera whose files these are; of one hour when this one never ends."""
        begin = self.begin
        hours = 1 if self.hours is None else self.hours
        return CameraSpec(
            self.root, begin.date(), hours, self.every, begin.hour, self.scale, self.codec, self.seed, self.other
        )

    @property
    def offline(self) -> Path:
        """Name of the root in an outage: beside it, with `.offline` at its end."""
        return Path(f"{plain(self.root)}.offline")


@dataclass(frozen=True)
class SkyClock:
    """Sky time for clock time and back. Sky time is `begin` when the clock is `started`, and never beyond the clock."""

    begin: datetime
    speed: float
    started: float  # s since epoch

    def wall(self, sky_time: datetime) -> float:
        """When the clock has it that sky time is `sky_time`; s since epoch."""
        return max(sky_time.timestamp(), self.started + (sky_time - self.begin).total_seconds() / self.speed)

    def sky(self, wall: float) -> datetime:
        """Sky time when the clock is `wall`, s since epoch."""
        ahead = self.begin.timestamp() + (wall - self.started) * self.speed
        return datetime.fromtimestamp(min(wall, ahead), UTC)


def plain(path: Path) -> Path:
    """The path from `/` on, without `.` and `..`; links are not followed, so a link that is the root is renamed."""
    return Path(os.path.abspath(path))
