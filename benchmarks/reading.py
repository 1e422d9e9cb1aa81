"""Measures reads from the pixel store: one frame, and a column of pixels and one pixel over many frames."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path

import numpy as np
import xarray as xr
from PIL import Image

from aurora_platform.cameras.reader import open_pixels
from aurora_platform.cameras.refresh import refresh_day
from benchmarks.inputs import DAY, NOW, camera_day, workspace_in
from benchmarks.measure import Method, WrongAnswerError, alternately
from benchmarks.pixels import CAMERA, fish_images, ours, replaced, replaced_root
from benchmarks.subject import OURS, REPLACED, Bench, Figure, Result, times_longer

EVERY = timedelta(minutes=10)
FRAMES = 100
ROW, COLUMN = 1520, 1560  # px; the zenith, in the middle of the image
ALL = slice(None)
READS: dict[str, tuple[slice, slice, slice]] = {
    "one frame": (slice(50, 51), ALL, ALL),
    f"one column of pixels over {FRAMES} frames (a keogram)": (slice(0, FRAMES), ALL, slice(COLUMN, COLUMN + 1)),
    f"one pixel over {FRAMES} frames, at the zenith": (
        slice(0, FRAMES),
        slice(ROW, ROW + 1),
        slice(COLUMN, COLUMN + 1),
    ),
}
"""Time, y and x of each read."""
TARGET = 1.3

_opened: dict[str, xr.DataArray] = {}  # per worker process: a notebook opens a store once, and reads from it often


def run(bench: Bench) -> Result:
    """Measure each of ``READS`` from both stores."""
    rows = []
    with bench.directory() as directory:
        bench.log("making both stores")
        refresh_day(camera_day(directory, EVERY), DAY, NOW)
        if ours(directory) != replaced(directory):
            raise WrongAnswerError("the stores do not hold the same frames")
        for what in READS:
            bench.log(what)
            methods = {name: Method(read, (directory, name, what), open_store, hash_of) for name in (REPLACED, OURS)}
            found = alternately(methods, partial(_check, directory, what), bench.rounds, bench.log)
            old, mine = (Figure.of(found[name]) for name in (REPLACED, OURS))
            rows.append(times_longer(f"in use today: {what}", old, mine, TARGET))
    return Result(
        "reading",
        "Reading the pixel store",
        rows,
        [
            "In use today: xarray.open_zarr of the store of that method. Ours: open_pixels. Both are opened before, "
            "ours with the requested window.",
            "The pixels are read once before each run, unmeasured, so that their files are in the page cache, because "
            "a machine may soon drop them. From a disk, the store in use today must read ten times as many bytes.",
        ],
    )


def open_store(directory: Path, name: str, what: str) -> None:
    """Open the store once, as a notebook does, and read once to fill the page cache. No store caches pixels."""
    if name not in _opened:
        if name == OURS:
            _, y, x = READS[what]
            _opened[name] = open_pixels(workspace_in(directory).layout.store, CAMERA, str(DAY), NOW, y=y, x=x).image
        else:
            _opened[name] = xr.open_zarr(replaced_root(directory)).image
    read(directory, name, what)


def read(directory: Path, name: str, what: str) -> np.ndarray:
    """Read the pixels of a key of ``READS``."""
    time, y, x = READS[what]
    window = {"time": time} if name == OURS else {"time": time, "y": y, "x": x}
    pixels: np.ndarray = _opened[name].isel(window).values
    return pixels


def hash_of(pixels: np.ndarray) -> str:
    """Return a hash of shape and values."""
    return f"{pixels.shape} {hashlib.sha256(np.ascontiguousarray(pixels)).hexdigest()}"


def _check(directory: Path, what: str, answers: Mapping[str, str]) -> None:
    """Check that both gave the pixels of Pillow."""
    time, y, x = READS[what]
    expected = hash_of(np.stack([np.asarray(Image.open(path))[y, x] for path in fish_images(directory)[time]]))
    if set(answers.values()) != {expected}:
        raise WrongAnswerError(f"{what}: {answers}, but Pillow reads {expected}")
