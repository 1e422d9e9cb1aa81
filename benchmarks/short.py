"""Runs the subjects at a small size: each checks its answers, but its figures mean nothing."""

import os
import sys
from datetime import timedelta
from functools import partial
from typing import Any

from benchmarks import inputs

SIZES: dict[str, dict[str, Any]] = {
    "daily_video": {"EVERY": timedelta(minutes=30), "FRAMES": 48},
    "latest_video": {"EVERY": timedelta(minutes=30), "FRAMES": 48},
    "pixels": {"EVERY": timedelta(hours=1)},
    "reading": {"EVERY": timedelta(hours=1), "READS": {"a column": (slice(2, 9), slice(None), slice(7, 8))}},
    "thumbnails": {"EVERY": timedelta(minutes=30)},
    "first_index": {"FILES": 700},
    "refresh": {"FILES": 700, "SIZES": (600, 700, 800)},
    "verification": {"FILES": 40, "BYTES": 1000},
    "hashing": {"LARGE_FILES": 2, "SMALL_FILES": 30},
    "listing": {"FILES": 300},
    "flat_stream": {"DAYS": 5},
    "observatory": {"DAYS": 3, "_EVERY": timedelta(minutes=30)},
    "eight_streams": {"_IDLE": 10.0},
    "start_up": {},
    "platform": {"_WINDOW": 5.0},
    "archive_at_scale": {"DAYS": 12, "SHARE": 0.1, "ENTRIES": 3},
}
"""Replaced constants per module. Some modules are no subjects, but shared by several subjects."""
SCALES = {"thumbnails": 0.2}
"""An image must not be smaller than its thumbnail."""
_SCALE = 0.1
_VARIABLE = "AURORA_BENCH_SHORT"


def enable() -> None:
    """Use small sizes from now on, also in new child processes."""
    os.environ[_VARIABLE] = "1"


def shrink_if_enabled() -> None:
    """Set the small sizes in all loaded modules."""
    if _VARIABLE in os.environ:
        for name in SIZES:
            if module := sys.modules.get(f"benchmarks.{name}"):
                for constant, value in sizes_of(name, module).items():
                    setattr(module, constant, value)


def sizes_of(name: str, module: object) -> dict[str, Any]:
    """Return the replaced constants of a module."""
    days = {"camera_day": partial(inputs.camera_day, scale=SCALES.get(name, _SCALE))}
    return SIZES[name] | (days if hasattr(module, "camera_day") else {})
