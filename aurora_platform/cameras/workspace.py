"""The paths, locks and time limits for making a camera's products."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path

from aurora_platform.config.site import Site
from aurora_platform.fs.staging import Staging
from aurora_platform.layout import WXCAM, CameraLayout, Layout


@dataclass(frozen=True)
class CameraWorkspace:
    """The camera's paths and locks, and the time limits for its products."""

    layout: CameraLayout
    locks: Path
    settle: timedelta = timedelta(minutes=5)
    wait: timedelta = timedelta(minutes=10)
    """Longest wait for another run that works on the same product."""
    hour_closes_after: timedelta = timedelta(minutes=10)
    """Time that an hour stays open after its end."""
    lookback: timedelta = timedelta(days=2)
    """The part of the past in which the camera's host is listed."""
    source_days: Path | None = None
    """The state file of these listings (:mod:`aurora_platform.streams.state`); None if the host is never listed."""

    @classmethod
    def of(cls, site: Site) -> CameraWorkspace:
        """Return the workspace of a site that has the camera's stream."""
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
        """The directory in which products are written before they are published."""
        return Staging(self.layout.staging, self.locks, self.wait)
