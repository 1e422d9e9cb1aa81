"""Reads products like a dashboard: it reads all products in a loop until STOP_FILE exists, or until a failure.

Usage: python -m tests.product_reader PRODUCTS STOP_FILE. Prints the number of products that it has read; exits with 1
after a failure.
"""

import sys
import warnings
from pathlib import Path

import av
import xarray as xr
from PIL import Image

from aurora_platform.cameras.catalog import open_readonly
from aurora_platform.cameras.reader import open_pixels
from aurora_platform.errors import PixelsError


def read_all(products: Path) -> int:
    """Read every existing product; return their number, or raise the error of a read."""
    count = 0
    catalog = products / "wxcam_catalog.sqlite"
    if catalog.exists():
        with open_readonly(catalog) as db:
            db.execute("SELECT * FROM images WHERE image_type = 'fish_hdr' ORDER BY time_epoch_ns, raw_path").fetchall()
            assert db.execute("PRAGMA quick_check").fetchone() == ("ok",)
        count += 1
    for video in products.glob("daily_videos/*/*.mp4"):
        with av.open(str(video)) as container:
            stream = container.streams.video[0]
            assert sum(1 for packet in container.demux(stream) if packet.size) == stream.frames > 0
        count += 1
    for thumbnail in products.glob("hourly_thumbnails/*/*/*.jpg"):
        with Image.open(thumbnail) as image:
            image.load()
        count += 1
    store = products / "wxcam.zarr"
    for group in store.glob("*/[0-9]*"):
        camera, day = group.parent.name, group.name
        with warnings.catch_warnings(), xr.open_zarr(store, group=f"{camera}/{day}") as ds:
            assert ds.image[-1].values.any()
        assert ds.time.to_index().is_monotonic_increasing
        iso = f"{day[:4]}-{day[4:6]}-{day[6:]}"
        pixels = open_pixels(store, camera, iso, f"{iso}T23:59:59.9")
        assert pixels.image[-1].values.any()
        count += 1
    return count


def main(products: Path, stop: Path) -> None:
    total, is_stopped = 0, False
    while not is_stopped:
        is_stopped = stop.exists()  # it still reads once after the stop, so it always reads the final state
        try:
            total += read_all(products)
        except PixelsError as error:
            raise SystemExit(f"after {total} products: {error}") from error
    print(total)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
