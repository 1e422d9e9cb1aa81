"""What building a camera's products works with: where its files are, its locks, and the rules of when and how long."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path

from aurora_platform.config.site import Site
from aurora_platform.fs.atomic import Staging
from aurora_platform.layout import WXCAM, CameraLayout, Layout


@dataclass(frozen=True)
class CameraWorkspace:
    """The camera's files and the rules under which its products are written."""

    layout: CameraLayout
    locks: Path
    settle: timedelta = timedelta(minutes=5)
    wait: timedelta = timedelta(minutes=10)
    """How long to wait for another run that works on the same product."""
    hour_closes_after: timedelta = timedelta(minutes=10)
    """After its end an hour stays open for this long."""
    lookback: timedelta = timedelta(days=2)
    """How far back the camera's host is listed."""
    source_days: Path | None = None
    """The file that says when that was last done (:mod:`aurora_platform.streams.state`); None where nobody does."""

    @classmethod
    def of(cls, site: Site) -> CameraWorkspace:
        """The workspace of a site that has the camera's stream."""
        stream, layout = site.streams[WXCAM], Layout.of(site)
        return cls(
            layout.camera,
            layout.locks,
            settle=stream.settle,
            wait=site.limits.lock,
            hour_closes_after=site.live.hour_closes_after,
            lookback=stream.lookback,
            source_days=layout.days_at_source(WXCAM),
        )

    @cached_property
    def staging(self) -> Staging:
        """Where products are written before they get their names."""
        return Staging(self.layout.staging, self.locks, self.wait)
