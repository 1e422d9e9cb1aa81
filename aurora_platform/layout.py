"""Where everything of the camera is on disk: the names that others rely on, in one place."""

from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path

from aurora_platform.cameras.filenames import compact
from aurora_platform.fs.atomic import Staging


@dataclass(frozen=True)
class Layout:
    """The camera's directories, and the rules under which its products are written."""

    raw: Path
    """The stream's raw root; below it are FISH/ and PANO/."""
    products: Path
    """``<products>/wxcam``."""
    locks: Path
    settle: timedelta = timedelta(minutes=5)
    wait: timedelta = timedelta(minutes=10)
    """How long to wait for another run that works on the same product."""
    hour_closes_after: timedelta = timedelta(minutes=10)
    """After its end an hour stays open for this long."""
    lookback: timedelta = timedelta(days=2)
    """How far back the camera's host is being looked at."""
    seen_at: Path | None = None
    """Where it is remembered when that was last done (:mod:`aurora_platform.streams.state`); None where nobody does."""

    @property
    def catalog(self) -> Path:
        return self.products / "wxcam_catalog.sqlite"

    @property
    def store(self) -> Path:
        return self.products / "wxcam.zarr"

    def pixels(self, camera: str, day: date) -> Path:
        return self.store / camera / compact(day)

    def video(self, camera: str, day: date) -> Path:
        return self.products / "daily_videos" / camera / f"{compact(day)}.mp4"

    def latest_video(self, camera: str) -> Path:
        return self.products / "daily_videos" / camera / "latest.mp4"

    def thumbnails(self, camera: str, day: date) -> Path:
        return self.products / "hourly_thumbnails" / camera / compact(day)

    def conversions(self, camera: str) -> Path:
        return self.products / ".clips" / camera

    def converted_clips(self, camera: str, day: date) -> Path:
        return self.conversions(camera) / compact(day)

    @cached_property
    def staging(self) -> Staging:
        return Staging(self.products / ".staging", self.locks, self.wait)
