"""Reading from the pixel store: one frame, a column of pixels and one pixel through many frames."""

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
ROW, COLUMN = 1520, 1560  # px; the zenith, in the middle of the picture
ALL = slice(None)
WHAT: dict[str, tuple[slice, slice, slice]] = {
    "one frame": (slice(50, 51), ALL, ALL),
    f"one column of pixels over {FRAMES} frames (a keogram)": (slice(0, FRAMES), ALL, slice(COLUMN, COLUMN + 1)),
    f"one pixel over {FRAMES} frames, at the zenith": (
        slice(0, FRAMES),
        slice(ROW, ROW + 1),
        slice(COLUMN, COLUMN + 1),
    ),
}
"""Of each: time, y, x."""
LONGEST = 1.3

_opened: dict[str, xr.DataArray] = {}  # of a worker's process: a notebook opens a store once, and reads from it often


def run(bench: Bench) -> Result:
    """Measure each of ``WHAT`` from both stores."""
    rows = []
    with bench.directory() as place:
        bench.log("making both stores")
        refresh_day(camera_day(place, EVERY), DAY, NOW)
        if ours(place) != replaced(place):
            raise WrongAnswerError("the stores do not hold the same frames")
        for what in WHAT:
            bench.log(what)
            methods = {name: Method(read, (place, name, what), open_store, hash_of) for name in (REPLACED, OURS)}
            found = alternately(methods, partial(_check, place, what), bench.rounds, bench.log)
            old, mine = (Figure.of(found[name]) for name in (REPLACED, OURS))
            rows.append(times_longer(f"in use today: {what}", old, mine, LONGEST))
    return Result(
        "reading",
        "Reading the pixel store",
        rows,
        [
            "In use today: xarray.open_zarr of that method's store. Ours: open_pixels. Both are opened before, ours "
            "with the window that is wanted.",
            "What is wanted is read once before each run, unmeasured, so that its files are in the page cache: a "
            "machine may soon forget them. From a disk, the store in use today has ten times as many bytes to read.",
        ],
    )


def open_store(place: Path, name: str, what: str) -> None:
    """What a notebook does once; and one reading, which brings the files into the page cache. No store keeps pixels."""
    if name not in _opened:
        if name == OURS:
            _, y, x = WHAT[what]
            _opened[name] = open_pixels(workspace_in(place).layout.store, CAMERA, str(DAY), NOW, y=y, x=x).image
        else:
            _opened[name] = xr.open_zarr(replaced_root(place)).image
    read(place, name, what)


def read(place: Path, name: str, what: str) -> np.ndarray:
    """The pixels that are asked for."""
    time, y, x = WHAT[what]
    window = {"time": time} if name == OURS else {"time": time, "y": y, "x": x}
    pixels: np.ndarray = _opened[name].isel(window).values
    return pixels


def hash_of(pixels: np.ndarray) -> str:
    """What tells an array from another."""
    return f"{pixels.shape} {hashlib.sha256(np.ascontiguousarray(pixels)).hexdigest()}"


def _check(place: Path, what: str, answers: Mapping[str, str]) -> None:
    """Both gave what Pillow sees."""
    time, y, x = WHAT[what]
    expected = hash_of(np.stack([np.asarray(Image.open(path))[y, x] for path in fish_images(place)[time]]))
    if set(answers.values()) != {expected}:
        raise WrongAnswerError(f"{what}: {answers}, and Pillow says {expected}")
