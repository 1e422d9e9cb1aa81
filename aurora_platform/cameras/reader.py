"""Read the pixel store: as an xarray Dataset, or as the camera's original files. For analysts.

    >>> ds = open_pixels("/data/aurora/products/wxcam/wxcam.zarr", "fish_hdr", "2026-08-18T06", "2026-08-18T18")
    >>> ds.image.sel(channel=0).mean(("y", "x")).plot()

Frames are decoded on access, one frame per dask chunk, so memory does not grow with the period.
"""

from __future__ import annotations

import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pandas as pd
import xarray as xr
import zarr

from aurora_platform.cameras.jpeg import ROW_MARGIN, shorten
from aurora_platform.cameras.pixels import decode
from aurora_platform.errors import PixelsError
from aurora_platform.layout import compact

type Time = str | datetime | np.datetime64 | pd.Timestamp
# If a day is replaced while it is being opened, it is opened again; the live day is replaced every few minutes.
_TRIES = 10


def open_pixels(
    path: str | Path, camera: str, start: Time, stop: Time, *, y: slice = slice(None), x: slice = slice(None)
) -> xr.Dataset:
    """Open the images of a camera with start <= time < stop.

    Parameters
    ----------
    path
        The store, ``<products>/wxcam/wxcam.zarr``.
    camera
        ``fish_hdr`` or ``pano_hdr``.
    start, stop
        Times, UTC; anything that pandas parses as a time stamp.
    y, x
        A window of the picture (px, without a step). It saves memory, and the decoding of all rows below the window.
        The rows above it and beside it must be decoded, because a JPEG can only be read from its beginning.

    Returns
    -------
    xarray.Dataset
        Dimensions ``time, y, x, channel``; ``time`` sorted and unique (datetime64[ns], UTC); variables ``image`` (uint8
        RGB, lazy), ``filename`` and ``size_bytes``. With a window also the coordinates ``y`` and ``x``.

    Raises
    ------
    PixelsError
        If there are no images in that period, or the days have images of different sizes.
    """
    first, last = _utc(start), _utc(stop)
    if not first < last:
        raise PixelsError(f"start {first} is not before stop {last}")
    days = [_Day.open(directory) for directory in _days(Path(path), camera, first, last)]
    days = [day for day in (d.between(first, last) for d in days) if len(day.times)]
    if not days:
        raise PixelsError(
            f"{path}: no {camera} images from {first} to {last}. Materialize wxcam/{camera}/pixels first."
        )
    shapes = {day.shape for day in days}
    if len(shapes) > 1:
        raise PixelsError(f"{path}: images of different sizes {sorted(shapes)} in that period; open shorter periods")
    rows, columns = (_resolve_window(window, length) for window, length in zip((y, x), days[0].shape, strict=True))
    image = da.concatenate([day.image(rows, columns) for day in days])
    coordinates = {"time": np.concatenate([day.times for day in days])}
    if (y, x) != (slice(None), slice(None)):
        coordinates |= {"y": np.arange(rows.start, rows.stop), "x": np.arange(columns.start, columns.stop)}
    return xr.Dataset(
        {
            "image": (("time", "y", "x", "channel"), image, {"long_name": "sky image, RGB", "units": "1"}),
            "filename": ("time", np.concatenate([day.names for day in days])),
            "size_bytes": ("time", np.concatenate([day.sizes for day in days]), {"units": "bytes"}),
        },
        coords=coordinates,
        attrs={"instrument": "wxcam", "camera": camera},
    )


def original_jpeg(path: str | Path, camera: str, time: Time) -> bytes:
    """Return the camera's file of exactly that time (UTC), byte for byte; :class:`PixelsError` if there is none."""
    moment = _utc(time)
    for directory in _days(Path(path), camera, moment, moment + pd.Timedelta(1, "ns")):
        day = _Day.open(directory)
        found = np.flatnonzero(day.times == moment.to_datetime64())
        if found.size:
            index = int(found[0])
            return frame_bytes(directory, day.version, index, str(day.names[index]), int(day.sizes[index]))
    raise PixelsError(f"{path}: no {camera} image of {moment}. open_pixels(...).time lists the times of all images.")


def _resolve_window(window: slice, length: int) -> slice:
    """Return the window with a start and a stop within the picture."""
    if not isinstance(window, slice) or window.step not in (None, 1):
        raise PixelsError(f"a window must be a slice without a step, such as slice(100, 110), not {window}")
    start, stop, _ = window.indices(length)
    if start >= stop:
        raise PixelsError(f"the window {window} is empty: the picture has {length} px in this direction")
    return slice(start, stop)


def _utc(time: Time) -> pd.Timestamp:
    stamp = pd.Timestamp(time)
    if stamp is pd.NaT:
        raise PixelsError("not a time")
    return stamp if stamp.tzinfo is None else stamp.tz_convert(UTC).tz_localize(None)


def _days(path: Path, camera: str, first: pd.Timestamp, last: pd.Timestamp) -> list[Path]:
    """List the existing directories of the days from ``first`` to ``last``."""
    root = path / camera
    if not root.is_dir():
        raise PixelsError(f"{root}: there is no such camera in this store")
    end: date = (last - pd.Timedelta(1, "ns")).date()
    count = (end - first.date()).days + 1
    wanted = (root / compact(first.date() + timedelta(days=n)) for n in range(count))
    return [directory for directory in wanted if (directory / "zarr.json").is_file()]


# Inode and mtime identify the version of a day's group: a published directory is never written to again.
Version = tuple[int, int]


def _version(root: Path) -> Version:
    status = os.stat(root)
    return status.st_ino, status.st_mtime_ns


class _Day:
    """One day's group: its coordinates, read from one version, and its frames, read on access."""

    def __init__(
        self, root: Path, version: Version, shape: tuple[int, int], times: Any, names: Any, sizes: Any, index: Any
    ) -> None:
        self.root, self.version, self.shape = root, version, shape
        self.times, self.names, self.sizes, self.index = times, names, sizes, index

    @classmethod
    def open(cls, root: Path) -> _Day:
        for _ in range(_TRIES):
            version = _version(root)
            group = zarr.open_group(root, mode="r")
            times, names, sizes = (np.asarray(group[name]) for name in ("time", "filename", "size_bytes"))
            shape = group["image"].shape  # type: ignore[union-attr]
            if _version(root) == version:
                times = times.astype("datetime64[ns]")
                return cls(root, version, (shape[1], shape[2]), times, names, sizes, np.arange(len(times)))
        raise PixelsError(f"{root}: replaced repeatedly while it was being opened; try again")

    def between(self, first: pd.Timestamp, last: pd.Timestamp) -> _Day:
        keep = (self.times >= first.to_datetime64()) & (self.times < last.to_datetime64())
        columns = (column[keep] for column in (self.times, self.names, self.sizes, self.index))
        return _Day(self.root, self.version, self.shape, *columns)

    def image(self, rows: slice, columns: slice) -> da.Array:
        """Return the lazy pixels of a window: uint8 (time, y, x, 3), one frame per chunk."""
        frames = np.empty(len(self.index), dtype=object)
        frames[:] = list(zip(self.index.tolist(), self.names.tolist(), self.sizes.tolist(), strict=True))
        image: da.Array = da.map_blocks(
            _read_block,
            da.from_array(frames, chunks=1),
            root=self.root,
            version=self.version,
            shape=self.shape,
            rows=rows,
            columns=columns,
            dtype="uint8",
            new_axis=[1, 2, 3],
            chunks=((1,) * len(frames), (rows.stop - rows.start,), (columns.stop - columns.start,), (3,)),
            meta=np.empty((0, 0, 0, 0), dtype="uint8"),
        )
        return image


def _read_block(
    block: np.ndarray, root: Path, version: Version, shape: tuple[int, int], rows: slice, columns: slice
) -> np.ndarray:
    index, name, size = block[0]
    data, height = frame_bytes(root, version, index, name, size), shape[0]
    wanted = rows.stop + ROW_MARGIN
    if wanted < height and (short := shorten(data, wanted)):
        data, height = short, wanted
    pixels = decode(data, (height, shape[1]))[np.newaxis, rows, columns]
    # A NumPy view would keep the whole picture in memory.
    return pixels if pixels.shape[1:3] == shape else pixels.copy()


def frame_bytes(root: Path, version: Version, index: int, name: str, size: int) -> bytes:
    """Read the bytes of a frame, also if the day was replaced since it was opened and the frame's index changed."""
    for _ in range(_TRIES):
        if _version(root) != version:
            day = _Day.open(root)
            found = np.flatnonzero(day.names == name)
            if not found.size:
                break
            version, index = day.version, int(found[0])
        try:
            data = (root / "image" / f"c.{index}.0.0.0").read_bytes()
        except FileNotFoundError:
            continue
        if _version(root) == version:
            if len(data) == size:
                return data
            break
    raise PixelsError(f"{root}: {name} changed after the store was opened; open it again")
