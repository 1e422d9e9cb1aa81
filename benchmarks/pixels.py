"""Measures a day of fisheye frames as Zarr: JPEGs as chunks, against decoding and re-encoding them."""

from __future__ import annotations

import hashlib
import os
import shutil
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import xarray as xr
from PIL import Image

from aurora_platform.cameras.pixels import build_pixels
from aurora_platform.cameras.refresh import refresh_day
from benchmarks.inputs import DAY, NOW, camera_day, workspace_in
from benchmarks.measure import Method, WrongAnswerError, alternately
from benchmarks.subject import LIMIT, OURS, REPLACED, Bench, Figure, Result, Row, at_least, at_most

CAMERA = "fish_hdr"
EVERY = timedelta(minutes=5)
BATCH = 4  # frames per append in the scripts
OLD_CHUNKS = (1, 1024, 1024, 3)


def run(bench: Bench) -> Result:
    """Measure how fast the store of a day is made."""
    with bench.directory() as directory:
        bench.log("writing a camera day")
        workspace = camera_day(directory, EVERY)
        refresh_day(workspace, DAY, NOW)
        files = fish_images(directory)
        jpegs = sum(path.stat().st_size for path in files)
        methods = {
            REPLACED: Method(replaced, (directory,), remove_replaced),
            OURS: Method(ours, (directory,), remove_ours),
            LIMIT: Method(limit, (directory,)),
        }
        found = alternately(methods, partial(_check, directory), bench.rounds, bench.log)
        size, old_size = (size_of(root) for root in (ours_root(directory), replaced_root(directory)))
    frames = {name: per_second(measured.seconds, len(files), measured.peak_mb) for name, measured in found.items()}
    mine, old, most = frames[OURS], frames[REPLACED], frames[LIMIT]
    return Result(
        "pixels",
        f"Pixels: a day of {len(files)} FISH frames, {jpegs / len(files) / 1e6:.2f} MB each",
        [
            Row("in use today: Pillow, to_zarr by 4", mine, mine.median / old.median, at_least(25), old),
            Row("limit: every frame decoded once", mine, 100 * mine.median / most.median, at_least(80, "%"), most),
            Row(
                "bytes of the JPEGs; ours: of the store",
                Figure((float(size),), "bytes"),
                size / jpegs,
                at_most(1.01),
                Figure((float(jpegs),), "bytes"),
                f"the store in use today: {old_size / jpegs:.2f}x",
            ),
        ],
        [
            f"In use today: Image.open of {BATCH} frames, to_zarr(append_dim='time'), chunks {OLD_CHUNKS}, default "
            f"codec; its store is {old_size / jpegs:.2f} times the JPEGs.",
            "Ours: each frame is checked to be decodable, flushed to disk and published. The limit: every file is read "
            "and fully decoded, on all cores, and nothing is written.",
        ],
    )


def per_second(seconds: Sequence[float], count: int, peak_mb: float) -> Figure:
    """Return the rates of a method that processes ``count`` frames per run."""
    return Figure(tuple(count / s for s in seconds), "frames/s", peak_mb)


def fish_images(directory: Path) -> list[Path]:
    """Return the fisheye images of the day, by time."""
    return sorted((workspace_in(directory).layout.raw / "FISH").rglob("*.jpg"))


def size_of(root: Path) -> int:
    """Return the size of all files below a directory, bytes."""
    return sum(path.stat().st_size for path in root.rglob("*") if path.is_file())


def ours_root(directory: Path) -> Path:
    return workspace_in(directory).layout.pixels(CAMERA, DAY)


def replaced_root(directory: Path) -> Path:
    return directory / "replaced.zarr"


def remove_ours(directory: Path) -> None:
    shutil.rmtree(ours_root(directory), ignore_errors=True)


def remove_replaced(directory: Path) -> None:
    shutil.rmtree(replaced_root(directory), ignore_errors=True)


def ours(directory: Path) -> int:
    """Build the product as a run does; return the number of decoded frames."""
    return build_pixels(workspace_in(directory), CAMERA, DAY, NOW).decoded


def replaced(directory: Path) -> int:
    """Do as the scripts do: decode, and append four frames at a time."""
    files, root = fish_images(directory), replaced_root(directory)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Zarr warns about consolidated metadata at each append
        for first in range(0, len(files), BATCH):
            batch = files[first : first + BATCH]
            frames = np.stack([np.asarray(Image.open(path).convert("RGB")) for path in batch])
            times = np.arange(first, first + len(batch))
            dataset = xr.Dataset({"image": (("time", "y", "x", "channel"), frames)}, coords={"time": times})
            if first == 0:
                dataset.to_zarr(root, encoding={"image": {"chunks": OLD_CHUNKS}})
            else:
                dataset.to_zarr(root, append_dim="time")
    return len(files)


def limit(directory: Path) -> int:
    """Decode every frame once, on all cores."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return sum(pool.map(_decoded, fish_images(directory)))


def _decoded(path: Path) -> int:
    return imagecodecs.jpeg8_decode(path.read_bytes()).ndim == 3


def _check(directory: Path, answers: Mapping[str, Any]) -> None:
    """Check that our chunks are the camera's files, and that both stores decode to the pixels of Pillow."""
    files = fish_images(directory)
    if set(answers.values()) != {len(files)} or not files:
        raise WrongAnswerError(f"{len(files)} frames on disk; answers: {answers}")
    chunks = [ours_root(directory) / "image" / f"c.{index}.0.0.0" for index in range(len(files))]
    if [_sha256(chunk) for chunk in chunks] != [_sha256(path) for path in files]:
        raise WrongAnswerError("a chunk differs from the camera's file")
    for root in (ours_root(directory), replaced_root(directory)):
        stored = xr.open_zarr(root, consolidated=True)["image"]
        for index in (0, len(files) // 2, len(files) - 1):
            if not np.array_equal(stored[index].values, np.asarray(Image.open(files[index]))):
                raise WrongAnswerError(f"{root.name}: frame {index} differs from the pixels of Pillow")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
