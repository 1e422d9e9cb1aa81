"""A day's thumbnails of both cameras, as a backfill makes them, against decoding each image whole."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from aurora_assets.wxcam.names import CAMERAS
from aurora_assets.wxcam.refresh import refresh_day
from aurora_assets.wxcam.thumbnails import build_thumbnail
from benchmarks.inputs import DAY, NOW, camera_day, layout_in
from benchmarks.likeness import psnr
from benchmarks.measure import Method, WrongAnswerError, by_turns
from benchmarks.subject import OURS, REPLACED, Bench, Figure, Result, Row, at_least, times_faster

EVERY = timedelta(minutes=5)
COUNT = 24 * len(CAMERAS)
HOURS = [datetime.combine(DAY, time(hour), UTC) for hour in range(24)]
_SIDE, _QUALITY = 540, 88


def run(bench: Bench) -> Result:
    """Measure it."""
    near: list[float] = []
    with bench.directory() as place:
        bench.tell("making a camera's day")
        refresh_day(camera_day(place, EVERY), DAY, NOW)
        methods = {
            REPLACED: Method(replaced, (place,), forget_replaced),
            OURS: Method(ours, (place,), forget_ours),
        }
        found = by_turns(methods, partial(_check, place, near), bench.rounds, bench.tell)
    old, mine = (Figure.of(found[name]) for name in (REPLACED, OURS))
    lowest = Figure((min(near),), "dB")
    return Result(
        "thumbnails",
        f"A day's {COUNT} thumbnails, both cameras",
        [
            times_faster("in use today: full decode, LANCZOS to 540 px, quality 88, optimize", old, mine, 4),
            Row(f"likeness to those: the lowest of {COUNT}", lowest, min(near), at_least(45, "dB")),
        ],
        [
            "FISH, 3120 x 3040, and PANO, 2880 x 750, at the real size, an image every 5 min; cached in memory.",
            "In use today: one thread, which is told the images. Ours finds them by itself in catalogue and tree, "
            "claims each hour, and flushes each thumbnail to disk before it gets its name.",
        ],
    )


def ours(place: Path) -> int:
    """What the assets of both cameras do in a backfill of the day; returns how many were made."""
    layout = layout_in(place)
    return sum(build_thumbnail(layout, camera, hour, NOW).built for camera in CAMERAS for hour in HOURS)


def forget_ours(place: Path) -> None:
    shutil.rmtree(layout_in(place).products / "hourly_thumbnails", ignore_errors=True)


def replaced(place: Path) -> int:
    """Each image decoded whole, made small, and saved."""
    count = 0
    for source, target in _old_thumbnails(place).items():
        target.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(source) as image:
            image.load()
            image.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS, reducing_gap=None)
            image.save(target, "JPEG", quality=_QUALITY, optimize=True)
        count += 1
    return count


def forget_replaced(place: Path) -> None:
    shutil.rmtree(place / "replaced", ignore_errors=True)


def _old_thumbnails(place: Path) -> dict[Path, Path]:
    """The image of each hour at half past, and where its thumbnail goes."""
    raw = layout_in(place).raw
    images = sorted(raw.rglob("HDR_????????_??3000*.jpg"))
    return {image: place / "replaced" / image.relative_to(raw) for image in images}


def _check(place: Path, near: list[float], answers: Mapping[str, Any]) -> None:
    """Both made all; each of ours has its counterpart of the same name and size. Notes how near they are."""
    if set(answers.values()) != {COUNT}:
        raise WrongAnswerError(f"{COUNT} thumbnails to be made; done: {answers}")
    mine = {path.name: path for path in (layout_in(place).products / "hourly_thumbnails").rglob("*.jpg")}
    old = {path.name: path for path in _old_thumbnails(place).values()}
    if mine.keys() != old.keys() or len(mine) != COUNT:
        raise WrongAnswerError(f"of {len(old)} thumbnails, {len(mine.keys() & old.keys())} are there")
    for name, path in mine.items():
        one, other = _pixels(path), _pixels(old[name])
        if one.shape != other.shape or max(one.shape) != _SIDE or one.std() < 1:
            raise WrongAnswerError(f"{name}: {one.shape}, and {other.shape} in use today")
        near.append(psnr(one, other))


def _pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)
