"""Measures the thumbnails of both cameras for a day, as a backfill makes them, against full decoding."""

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
from benchmarks.likeness import combined_psnr, psnr
from benchmarks.measure import Method, WrongAnswerError, alternately
from benchmarks.subject import OURS, REPLACED, Bench, Figure, Result, Row, at_least, times_faster

EVERY = timedelta(minutes=5)
COUNT = 24 * len(CAMERAS)
HOURS = [datetime.combine(DAY, time(hour), UTC) for hour in range(24)]
_SIDE, _QUALITY = 540, 88


def run(bench: Bench) -> Result:
    """Measure both methods, and the similarity of their thumbnails."""
    likenesses: list[Likeness] = []
    with bench.directory() as directory:
        bench.log("writing a camera day")
        refresh_day(camera_day(directory, EVERY), DAY, NOW)
        methods = {
            REPLACED: Method(replaced, (directory,), remove_replaced),
            OURS: Method(ours, (directory,), remove_ours),
        }
        found = alternately(methods, partial(_check, directory, likenesses), bench.rounds, bench.log)
    old, mine = (Figure.of(found[name]) for name in (REPLACED, OURS))
    lowest = [min(getattr(likeness, f.name) for likeness in likenesses) for f in fields(Likeness)]
    published, uncompressed, rounded, compressed = lowest
    return Result(
        "thumbnails",
        f"A day's {COUNT} thumbnails, both cameras",
        [
            times_faster("in use today: full decode, LANCZOS to 540 px, quality 88, optimize", old, mine, 4),
            _like(
                f"likeness to those as published, all {COUNT} together",
                combined_psnr([likeness.published for likeness in likenesses]),
            ),
            _like(f"likeness to those as published, the lowest of {COUNT}", published),
            _like(f"likeness to those before both are compressed, the lowest of {COUNT}", uncompressed),
        ],
        [
            "FISH, 3120 x 3040, and PANO, 2880 x 750, in real size, an image every 5 min; all in the page cache.",
            "In use today: one thread, which gets the list of images. Ours finds them in catalogue and tree, claims "
            "each hour, and flushes each thumbnail to disk before it gets its name.",
            f"Compression at quality 88 alone lowers the PSNR of an image to {compressed:.1f} dB, and it magnifies "
            "differences between images: the full decode resampled in YCbCr instead of RGB, which only rounds "
            f"differently, has {rounded:.1f} dB against the method in use today.",
        ],
    )


@dataclass(frozen=True)
class Likeness:
    """PSNR of images against the thumbnail of the method in use today, dB."""

    published: float
    """Our thumbnail."""
    uncompressed: float
    """Ours, both before compression."""
    rounded: float
    """A thumbnail of the method in use today, with different rounding only."""
    compressed: float
    """The thumbnail of the method in use today before its compression."""


def _like(what: str, value: float) -> Row:
    return Row(what, Figure((value,), "dB"), value, at_least(45, "dB"))


def ours(directory: Path) -> int:
    """Build the thumbnails as both assets do in a backfill of the day; return their number."""
    workspace = workspace_in(directory)
    return sum(report.built for camera in CAMERAS for report in build_thumbnails(workspace, camera, HOURS, NOW))


def remove_ours(directory: Path) -> None:
    shutil.rmtree(workspace_in(directory).layout.products / "hourly_thumbnails", ignore_errors=True)


def replaced(directory: Path) -> int:
    """Decode each image fully, resample it and save it."""
    images = _old_thumbnails(directory)
    for source, target in images.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(_saved(_small(source)))
    return len(images)


def _small(source: Path, mode: str = "RGB") -> Image.Image:
    with Image.open(source) as image:
        image.draft(mode, image.size)  # decode all pixels, in RGB
        image.load()
        image.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS, reducing_gap=None)
        return image


def _saved(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY, optimize=True)
    return buffer.getvalue()


def remove_replaced(directory: Path) -> None:
    shutil.rmtree(directory / "replaced", ignore_errors=True)


def _old_thumbnails(directory: Path) -> dict[Path, Path]:
    """Return the image at half past each hour with the path of its thumbnail."""
    raw = workspace_in(directory).layout.raw
    images = sorted(raw.rglob("HDR_????????_??3000*.jpg"))
    return {image: directory / "replaced" / image.relative_to(raw) for image in images}


def _check(directory: Path, likenesses: list[Likeness], answers: Mapping[str, Any]) -> None:
    """Check that both made all thumbnails with the same names and sizes; record their likeness."""
    if set(answers.values()) != {COUNT}:
        raise WrongAnswerError(f"{COUNT} thumbnails expected; answers: {answers}")
    images, published = _old_thumbnails(directory), workspace_in(directory).layout.products / "hourly_thumbnails"
    mine = {path.name: path for path in published.rglob("*.jpg")}
    if mine.keys() != {image.name for image in images} or len(mine) != COUNT:
        raise WrongAnswerError(f"{len(images)} images at half past, but {len(mine)} thumbnails")
    likenesses.clear()  # drop those of the warm-up: this check runs after the last round too
    for source, old in images.items():
        our_pixels, old_pixels = _pixels(mine[source.name]), _pixels(old)
        if our_pixels.shape != old_pixels.shape or max(our_pixels.shape) != _SIDE or our_pixels.std() < 1:
            raise WrongAnswerError(f"{source.name}: {our_pixels.shape}, but {old_pixels.shape} in use today")
        likenesses.append(_likeness(source, our_pixels, old_pixels))


def _likeness(source: Path, mine: np.ndarray, old: np.ndarray) -> Likeness:
    full = np.asarray(_small(source))
    with Image.open(source) as image:
        scaled = np.asarray(shrink(image))
    rounded = _pixels(io.BytesIO(_saved(_small(source, "YCbCr"))))
    return Likeness(psnr(mine, old), psnr(scaled, full), psnr(rounded, old), psnr(full, old))


def _pixels(file: Path | io.BytesIO) -> np.ndarray:
    with Image.open(file) as image:
        return np.asarray(image)
