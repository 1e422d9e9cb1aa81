"""A day at the camera's real geometry: what each product costs when it is made, and again when nothing changed."""

import tempfile
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from rich.table import Table

from aurora_assets.wxcam.layout import Layout
from aurora_assets.wxcam.names import CAMERAS
from aurora_assets.wxcam.pixels import build_pixels
from aurora_assets.wxcam.refresh import refresh_day
from aurora_assets.wxcam.thumbnails import build_thumbnail
from aurora_assets.wxcam.videos import build_daily_video, build_latest_video
from simulator import CameraSpec, simulate

DAY = date(2026, 8, 18)


def run() -> Table:
    """Measure and return the table."""
    with tempfile.TemporaryDirectory() as directory:
        layout = Layout(Path(directory) / "raw", Path(directory) / "products", Path(directory) / "locks")
        simulate(CameraSpec(root=layout.raw, day=DAY, hours=24, every=timedelta(minutes=15), other=False), workers=2)
        first, again = _pass(layout), _pass(layout)
        jpegs = sum(path.stat().st_size for path in layout.raw.rglob("*.jpg"))
        store = sum(path.stat().st_size for path in layout.store.rglob("*") if path.is_file())
    table = Table(
        "product, both cameras", "made, s", "unchanged, s", title="24 hours, an image every 15 min, real size"
    )
    for name, seconds in first.items():
        table.add_row(name, f"{seconds:.3f}", f"{again[name]:.3f}")
    table.add_row("all", f"{sum(first.values()):.3f}", f"{sum(again.values()):.3f}")
    table.add_row("pixel store / JPEGs", f"{store / jpegs:.5f}", "reached" if store <= 1.01 * jpegs else "not reached")
    return table


def _pass(layout: Layout) -> dict[str, float]:
    now = datetime(2026, 8, 20, tzinfo=UTC)
    midnight = datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC)
    works: dict[str, Callable[[], object]] = {
        "catalogue": lambda: refresh_day(layout, DAY, now),
        "daily video": lambda: [build_daily_video(layout, camera, DAY, now) for camera in CAMERAS],
        "latest video": lambda: [build_latest_video(layout, camera, now) for camera in CAMERAS],
        "pixels": lambda: [build_pixels(layout, camera, DAY, now) for camera in CAMERAS],
        "thumbnails": lambda: [
            build_thumbnail(layout, camera, midnight + timedelta(hours=h), now) for camera in CAMERAS for h in range(24)
        ],
    }
    seconds = {}
    for name, work in works.items():
        started = time.perf_counter()
        work()
        seconds[name] = time.perf_counter() - started
    return seconds
