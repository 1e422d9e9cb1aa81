"""A day's thumbnails of both cameras, as a backfill makes them, against decoding each image whole."""

from __future__ import annotations

import io
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, time, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from aurora_platform.cameras.filenames import CAMERAS
from aurora_platform.cameras.refresh import refresh_day
from aurora_platform.cameras.thumbnails import build_thumbnails, shrink
from benchmarks.inputs import DAY, NOW, camera_day, workspace_in
from benchmarks.likeness import joined, psnr
from benchmarks.measure import Method, WrongAnswerError, alternately
from benchmarks.subject import OURS, REPLACED, Bench, Figure, Result, Row, at_least, times_faster

EVERY = timedelta(minutes=5)
COUNT = 24 * len(CAMERAS)
HOURS = [datetime.combine(DAY, time(hour), UTC) for hour in range(24)]
_SIDE, _QUALITY = 540, 88


def run(bench: Bench) -> Result:
    """Measure it."""
    near: list[Likeness] = []
    with bench.directory() as place:
        bench.log("making a camera's day")
        refresh_day(camera_day(place, EVERY), DAY, NOW)
        methods = {
            REPLACED: Method(replaced, (place,), forget_replaced),
            OURS: Method(ours, (place,), forget_ours),
        }
        found = alternately(methods, partial(_check, place, near), bench.rounds, bench.log)
    old, mine = (Figure.of(found[name]) for name in (REPLACED, OURS))
    published, picture, rounded, compressed = (min(getattr(one, f.name) for one in near) for f in fields(Likeness))
    return Result(
        "thumbnails",
        f"A day's {COUNT} thumbnails, both cameras",
        [
            times_faster("in use today: full decode, LANCZOS to 540 px, quality 88, optimize", old, mine, 4),
            _like(f"likeness to those as published, all {COUNT} together", joined([one.published for one in near])),
            _like(f"likeness to those as published, the lowest of {COUNT}", published),
            _like(f"likeness to those before both are compressed, the lowest of {COUNT}", picture),
        ],
        [
            "FISH, 3120 x 3040, and PANO, 2880 x 750, at the real size, an image every 5 min; all in the page cache.",
            "In use today: one thread, which is told the images. Ours finds them by itself in catalogue and tree, "
            "claims each hour, and flushes each thumbnail to disk before it gets its name.",
            f"Compression at quality 88 takes a picture as far as {compressed:.1f} dB from itself, and magnifies what "
            "two of them differ in: the full decode resampled in YCbCr instead of RGB, which rounds at another place "
            f"and does nothing else, is then as far as {rounded:.1f} dB from what is in use today.",
        ],
    )


@dataclass(frozen=True)
class Likeness:
    """How near pictures are to the thumbnail in use today, dB."""

    published: float
    """Ours to it."""
    picture: float
    """Ours before it is compressed to it before it is compressed."""
    rounded: float
    """To it what differs from it by where numbers are rounded, and by nothing else."""
    compressed: float
    """Itself before it is compressed."""


def _like(what: str, value: float) -> Row:
    return Row(what, Figure((value,), "dB"), value, at_least(45, "dB"))


def ours(place: Path) -> int:
    """What the assets of both cameras do in a backfill of the day; returns how many were made."""
    workspace = workspace_in(place)
    return sum(report.built for camera in CAMERAS for report in build_thumbnails(workspace, camera, HOURS, NOW))


def forget_ours(place: Path) -> None:
    shutil.rmtree(workspace_in(place).layout.products / "hourly_thumbnails", ignore_errors=True)


def replaced(place: Path) -> int:
    """Each image decoded whole, made small, and saved."""
    images = _old_thumbnails(place)
    for source, target in images.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(_saved(_small(source)))
    return len(images)


def _small(source: Path, mode: str = "RGB") -> Image.Image:
    with Image.open(source) as image:
        image.draft(mode, image.size)  # all pixels; RGB is what they are anyway
        image.load()
        image.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS, reducing_gap=None)
        return image


def _saved(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY, optimize=True)
    return buffer.getvalue()


def forget_replaced(place: Path) -> None:
    shutil.rmtree(place / "replaced", ignore_errors=True)


def _old_thumbnails(place: Path) -> dict[Path, Path]:
    """The image of each hour at half past, and where its thumbnail goes."""
    raw = workspace_in(place).layout.raw
    images = sorted(raw.rglob("HDR_????????_??3000*.jpg"))
    return {image: place / "replaced" / image.relative_to(raw) for image in images}


def _check(place: Path, near: list[Likeness], answers: Mapping[str, Any]) -> None:
    """Both made all; each of ours has its counterpart of the same name and size. Notes how near they are."""
    if set(answers.values()) != {COUNT}:
        raise WrongAnswerError(f"{COUNT} thumbnails to be made; done: {answers}")
    images, published = _old_thumbnails(place), workspace_in(place).layout.products / "hourly_thumbnails"
    mine = {path.name: path for path in published.rglob("*.jpg")}
    if mine.keys() != {image.name for image in images} or len(mine) != COUNT:
        raise WrongAnswerError(f"{len(images)} images at half past, and {len(mine)} thumbnails of them")
    near.clear()  # of the warm-up: this is asked after the last round too
    for source, old in images.items():
        one, other = _pixels(mine[source.name]), _pixels(old)
        if one.shape != other.shape or max(one.shape) != _SIDE or one.std() < 1:
            raise WrongAnswerError(f"{source.name}: {one.shape}, and {other.shape} in use today")
        near.append(_likeness(source, one, other))


def _likeness(source: Path, mine: np.ndarray, old: np.ndarray) -> Likeness:
    whole = np.asarray(_small(source))
    with Image.open(source) as image:
        scaled = np.asarray(shrink(image))
    rounded = _pixels(io.BytesIO(_saved(_small(source, "YCbCr"))))
    return Likeness(psnr(mine, old), psnr(scaled, whole), psnr(rounded, old), psnr(whole, old))


def _pixels(file: Path | io.BytesIO) -> np.ndarray:
    with Image.open(file) as image:
        return np.asarray(image)
