"""Measures a live day: a camera writes an image of each view per minute, in real size, on a day with many images.

It measures the CPU time of Dagster and its runs on two cores, while each image is mirrored, catalogued and added to
the pixels.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import zarr

from aurora_simulator import CameraSpec, simulate
from benchmarks.dagster_home import Dagster, HomeError, Setup
from benchmarks.eight_streams import by_role, eight_streams, measure_windows, wait_until_idle
from benchmarks.measure import WrongAnswerError
from benchmarks.subject import Bench, Figure, Row, at_most

_DONE = ("wxcam_day", "SUCCESS")
_GOAL = 25.0  # % of two cores
_CORES = 2
_IMAGES = 1200  # of each view, before the measurement
_EVERY = 60.0  # s
_WINDOW = 120.0  # s
_WARM_UP = 150.0  # s, until the first images are in the pixels
_SETTLE = "30s"
_TIMEOUT = 240.0  # s, until the last image is in the pixels
_VIEWS = {"FISH": ("fish_hdr", ""), "PANO": ("pano_hdr", "_PANO")}
_MIDNIGHT_MARGIN = timedelta(hours=1)  # least distance to midnight, before and after


def live_day(bench: Bench, directory: Path) -> tuple[list[Row], list[str]]:
    """Measure the live day; return its row and its notes."""
    now = datetime.now(UTC)
    if (now - _MIDNIGHT_MARGIN).date() != now.date() or (now + _MIDNIGHT_MARGIN).date() != now.date():
        raise HomeError("the live day cannot be measured within an hour of midnight UTC; run it later")
    site = eight_streams(directory / "live", _live)
    camera = Camera(directory / "live" / "hosts" / "wxcam", directory / "live" / "raw" / "wxcam")
    bench.log(f"writing {2 * _IMAGES} images in real size")
    camera.fill(now)
    setup = Setup.of_site(directory / "home_live", site)
    with Dagster(setup) as dagster:
        dagster.wait_until_loaded()
        dagster.launch("wxcam_day", {"dagster/partition": now.date().isoformat()})
        wait_until_idle(bench, dagster, 1)
        # An image that is written just after a scan has settled by the next scan. An image that settles during a scan
        # is sometimes listed and sometimes not, and then one run gets two.
        dagster.wait_for_tick("arrivals_wxcam")
        with camera:
            bench.log("the camera writes; warming up")
            time.sleep(_WARM_UP)
            before = dagster.runs().count(_DONE)
            windows = measure_windows(bench, {"live": dagster}, _WINDOW, "live day")["live"]
            runs, minutes = dagster.runs().count(_DONE) - before, len(windows) * _WINDOW / _EVERY
        if runs < minutes - 1:
            raise WrongAnswerError(f"{runs} day runs in {minutes:.0f} minutes: too few for the images")
        bench.log("waiting until the last image is in the pixels")
        _wait_for(camera, directory / "live" / "products" / "wxcam")
        wait_until_idle(bench, dagster, 1)  # this also checks that no run has failed
    figure = Figure(tuple(sum(window.values()) / _CORES for window in windows), "% of two cores", by_mean=True)
    what = "a live day, an image of each view a minute"
    row = Row(what, figure, figure.middle, at_most(_GOAL, "%"), remark=by_role(windows))
    return [row], [
        f"The live day: it begins with {_IMAGES} images of each view (3120 x 3040 and 2880 x 750) in the mirror and "
        "the products. Each minute one image of each view follows, just after a scan; a run checks and adds it. All "
        f"eight streams are scanned each minute. Windows of {_WINDOW:.0f} s; all processes of Dagster and their "
        "children, without the camera. There are no clips (one video to join and one clip to convert per hour), and "
        "there is no archive.",
    ]


def _live(data: dict[str, Any]) -> None:
    data["live"] = {"running": True, "every": "1m"}
    data["streams"]["wxcam"]["settle"] = _SETTLE


class Camera:
    """Writes two images per minute until the block ends: the same few images under new names."""

    def __init__(self, host: Path, mirror: Path) -> None:
        self.host = host
        self.mirror = mirror
        self.written: dict[str, list[str]] = {view: [] for view in _VIEWS}
        self._images: dict[str, list[bytes]] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def fill(self, now: datetime) -> None:
        """Write the day until now on the host, and link it into the mirror, so that it is not copied twice."""
        with TemporaryDirectory(dir=self.host.parent) as model:
            spec = CameraSpec(root=Path(model), day=now.date(), hours=1, every=timedelta(minutes=10), other=False)
            simulate(spec, workers=os.cpu_count() or 1)
            for view in _VIEWS:
                self._images[view] = [file.read_bytes() for file in sorted((Path(model) / view).rglob("*.jpg"))]
        midnight = datetime(now.year, now.month, now.day, tzinfo=UTC)
        step = (now - timedelta(minutes=5) - midnight) / _IMAGES
        for number in range(_IMAGES):
            for view in _VIEWS:
                path = self._write(view, midnight + number * step)
                copy = self.mirror / path.relative_to(self.host)
                copy.parent.mkdir(parents=True, exist_ok=True)
                os.link(path, copy)

    def _write(self, view: str, time_utc: datetime) -> Path:
        images, names = self._images[view], self.written[view]
        name = f"HDR_{time_utc:%Y%m%d_%H%M%S}{_VIEWS[view][1]}.jpg"
        path = self.host / view / f"{time_utc:%Y%m%d}" / f"{time_utc:%H}" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(images[len(names) % len(images)])
        os.utime(path, (time_utc.timestamp(), time_utc.timestamp()))
        names.append(name)
        return path

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            for view in _VIEWS:
                self._write(view, datetime.now(UTC))
            if self._ended.wait(_EVERY):
                return


def _wait_for(camera: Camera, products: Path) -> None:
    deadline = time.monotonic() + _TIMEOUT
    while missing := _missing(camera, products):
        if time.monotonic() > deadline:
            raise WrongAnswerError(f"{len(missing)} images did not arrive: {missing[:4]}")
        time.sleep(5)


def _missing(camera: Camera, products: Path) -> list[str]:
    """Return written images that are not in the catalogue or the pixels; read without this project's code."""
    with closing(sqlite3.connect(f"file:{products / 'wxcam_catalog.sqlite'}?mode=ro", uri=True)) as db:
        cataloged = {name for (name,) in db.execute("SELECT filename FROM images WHERE media_kind = 'image'")}
    missing = []
    for view, (name, _) in _VIEWS.items():
        day = datetime.now(UTC).strftime("%Y%m%d")
        pixels = zarr.open_group(products / "wxcam.zarr" / name / day, mode="r")
        filenames = pixels["filename"]
        assert isinstance(filenames, zarr.Array)
        stored = {str(filename) for filename in filenames[:]}  # type: ignore[union-attr]
        written = camera.written[view]
        missing += [filename for filename in written if filename not in cataloged or filename not in stored]
    return missing
