"""The files that subjects are measured on: a day of the simulated camera at its real geometry."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from aurora_assets.wxcam.layout import Layout
from simulator import CameraSpec, simulate

DAY = date(2026, 8, 18)
NOW = datetime(2026, 8, 20, tzinfo=UTC)
"""When everything of that day has settled."""


def layout_in(directory: Path, products: str = "products") -> Layout:
    """The camera's directories below ``directory``."""
    return Layout(directory / "raw", directory / products, directory / "locks")


def camera_day(directory: Path, every: timedelta, codec: str = "h264", scale: float = 1.0, day: date = DAY) -> Layout:
    """24 hours of both cameras below ``directory``."""
    layout = layout_in(directory)
    spec = CameraSpec(root=layout.raw, day=day, hours=24, every=every, codec=codec, scale=scale, other=False)
    simulate(spec, workers=os.cpu_count() or 1)
    return layout
