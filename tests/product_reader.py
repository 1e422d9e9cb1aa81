"""A dashboard as a program: it loops over all products until it is told to stop, and ends at the first failure.

Usage: python -m tests.product_reader PRODUCTS STOP_FILE. Prints how many products it has read; exits with 1 on a
failure.
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
    """Read every product that there is at this moment; raises what goes wrong."""
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
    total, is_over = 0, False
    while not is_over:
        is_over = stop.exists()  # one look after that: it has seen the end, however slow it is
        try:
            total += read_all(products)
        except PixelsError as error:
            raise SystemExit(f"after {total} products: {error}") from error
    print(total)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
