"""The subjects at a small size: each runs as it is, and proves its answers, but its figures mean nothing."""

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
    "reading": {"EVERY": timedelta(hours=1), "WHAT": {"a column": (slice(2, 9), slice(None), slice(7, 8))}},
    "thumbnails": {"EVERY": timedelta(minutes=30)},
    "first_index": {"FILES": 700},
    "refresh": {"FILES": 700, "SIZES": (600, 700, 800)},
    "verification": {"FILES": 40, "BYTES": 1000},
    "hashing": {"LARGE_FILES": 2, "SMALL_FILES": 30},
    "listing": {"FILES": 300},
    "observatory": {"DAYS": 3, "_EVERY": timedelta(minutes=30)},
    "eight_streams": {"_CALM": 10.0},
    "start_up": {},
    "platform": {"_WINDOW": 5.0},
}
"""What is else in each module. A module of no subject has what several subjects stand on."""
SCALES = {"thumbnails": 0.2}
"""Thumbnails have a size of their own, than which a picture must not be smaller."""
_SCALE = 0.1
_ASKED = "AURORA_BENCH_SHORT"


def ask() -> None:
    """All that is measured from here on, also in processes that are started from here on, is small."""
    os.environ[_ASKED] = "1"


def shorten_if_asked() -> None:
    """Make the modules small that are loaded by now."""
    if _ASKED in os.environ:
        for name in SIZES:
            if module := sys.modules.get(f"benchmarks.{name}"):
                for constant, value in sizes_of(name, module).items():
                    setattr(module, constant, value)


def sizes_of(name: str, module: object) -> dict[str, Any]:
    """What a module has in place of its own."""
    days = {"camera_day": partial(inputs.camera_day, scale=SCALES.get(name, _SCALE))}
    return SIZES[name] | (days if hasattr(module, "camera_day") else {})
