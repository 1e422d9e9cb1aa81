"""A day of fisheye frames as Zarr: the JPEGs as chunks, against decoding and encoding them again."""

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
AT_ONCE = 4  # frames that the scripts appended together
OLD_CHUNKS = (1, 1024, 1024, 3)


def run(bench: Bench) -> Result:
    """Measure making the store of a day."""
    with bench.directory() as place:
        bench.log("the camera writes a day")
        workspace = camera_day(place, EVERY)
        refresh_day(workspace, DAY, NOW)
        files = fish_images(place)
        jpegs = sum(path.stat().st_size for path in files)
        methods = {
            REPLACED: Method(replaced, (place,), forget_replaced),
            OURS: Method(ours, (place,), forget_ours),
            LIMIT: Method(limit, (place,)),
        }
        found = alternately(methods, partial(_check, place), bench.rounds, bench.log)
        size, old_size = (size_of(root) for root in (ours_root(place), replaced_root(place)))
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
            f"In use today: Image.open of {AT_ONCE} frames, to_zarr(append_dim='time'), chunks {OLD_CHUNKS}, default "
            f"codec; its store is {old_size / jpegs:.2f} times the JPEGs.",
            "Ours: each frame proved decodable, flushed to disk, published. The limit: every file read and decoded in "
            "full, on all cores, and nothing written.",
        ],
    )


def per_second(seconds: Sequence[float], count: int, peak_mb: float) -> Figure:
    """Rates of a method that does ``count`` frames in a run."""
    return Figure(tuple(count / each for each in seconds), "frames/s", peak_mb)


def fish_images(place: Path) -> list[Path]:
    """The fisheye images of the day, in order of time."""
    return sorted((workspace_in(place).layout.raw / "FISH").rglob("*.jpg"))


def size_of(root: Path) -> int:
    """Bytes of all files below a directory."""
    return sum(path.stat().st_size for path in root.rglob("*") if path.is_file())


def ours_root(place: Path) -> Path:
    return workspace_in(place).layout.pixels(CAMERA, DAY)


def replaced_root(place: Path) -> Path:
    return place / "replaced.zarr"


def forget_ours(place: Path) -> None:
    shutil.rmtree(ours_root(place), ignore_errors=True)


def forget_replaced(place: Path) -> None:
    shutil.rmtree(replaced_root(place), ignore_errors=True)


def ours(place: Path) -> int:
    """The product as a run makes it."""
    return build_pixels(workspace_in(place), CAMERA, DAY, NOW).decoded


def replaced(place: Path) -> int:
    """What the scripts do: decode, and append four frames at a time."""
    files, root = fish_images(place), replaced_root(place)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Zarr's, of consolidated metadata, at each append
        for first in range(0, len(files), AT_ONCE):
            batch = files[first : first + AT_ONCE]
            frames = np.stack([np.asarray(Image.open(path).convert("RGB")) for path in batch])
            times = np.arange(first, first + len(batch))
            dataset = xr.Dataset({"image": (("time", "y", "x", "channel"), frames)}, coords={"time": times})
            if first == 0:
                dataset.to_zarr(root, encoding={"image": {"chunks": OLD_CHUNKS}})
            else:
                dataset.to_zarr(root, append_dim="time")
    return len(files)


def limit(place: Path) -> int:
    """Every frame decoded once, on all cores."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return sum(pool.map(_decoded, fish_images(place)))


def _decoded(path: Path) -> int:
    return imagecodecs.jpeg8_decode(path.read_bytes()).ndim == 3


def _check(place: Path, answers: Mapping[str, Any]) -> None:
    """Our chunks are the camera's files, and both stores decode to what Pillow sees."""
    files = fish_images(place)
    if set(answers.values()) != {len(files)} or not files:
        raise WrongAnswerError(f"{len(files)} frames there; done: {answers}")
    chunks = [ours_root(place) / "image" / f"c.{index}.0.0.0" for index in range(len(files))]
    if [_sha256(chunk) for chunk in chunks] != [_sha256(path) for path in files]:
        raise WrongAnswerError("a chunk is not the camera's file")
    for root in (ours_root(place), replaced_root(place)):
        stored = xr.open_zarr(root, consolidated=True)["image"]
        for index in (0, len(files) // 2, len(files) - 1):
            if not np.array_equal(stored[index].values, np.asarray(Image.open(files[index]))):
                raise WrongAnswerError(f"{root.name}: frame {index} is not what Pillow sees")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
