"""A live day: a camera that writes an image of each view a minute, at its real geometry, late on a day that is full.

What is measured is everything that Dagster and its runs use of the two cores, while each image is brought over,
catalogued and put into the pixels.
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
from benchmarks.dagster_home import Dagster, HomeError, Place
from benchmarks.eight_streams import by_role, eight_streams, wait_for_calm, windows_of
from benchmarks.measure import WrongAnswerError
from benchmarks.subject import Bench, Figure, Row, at_most

_DONE = ("wxcam_day", "SUCCESS")
_GOAL = 25.0  # % of two cores
_CORES = 2
_IMAGES = 1200  # of each view, before the day is looked at
_EVERY = 60.0  # s
_WINDOW = 120.0  # s
_WARM_UP = 150.0  # s, until the first images have gone all the way
_SETTLE = "30s"
_PATIENCE = 240.0  # s, until the last image has gone all the way
_VIEWS = {"FISH": ("fish_hdr", ""), "PANO": ("pano_hdr", "_PANO")}
_ROOM = timedelta(hours=1)  # that the day must have on both sides


def live_day(bench: Bench, directory: Path) -> tuple[list[Row], list[str]]:
    """The row of the live day, and what one has to know of it."""
    now = datetime.now(UTC)
    if (now - _ROOM).date() != now.date() or (now + _ROOM).date() != now.date():
        raise HomeError("the live day is not measured within an hour of midnight, UTC")
    site = eight_streams(directory / "live", _live)
    camera = Camera(directory / "live" / "hosts" / "wxcam", directory / "live" / "raw" / "wxcam")
    bench.log(f"writing {2 * _IMAGES} images at the real geometry")
    camera.fill(now)
    place = Place.of_site(directory / "home_live", site)
    with Dagster(place) as dagster:
        dagster.wait_until_loaded()
        dagster.launch("wxcam_day", {"dagster/partition": now.date().isoformat()})
        wait_for_calm(bench, dagster, 1)
        # An image that is written just after a look has settled by the next. One that settles just as it is looked at
        # is now seen and now not, and then two come in one run.
        dagster.wait_for_tick("arrivals_wxcam")
        with camera:
            bench.log("the camera writes; warming up")
            time.sleep(_WARM_UP)
            before = dagster.runs().count(_DONE)
            windows = windows_of(bench, {"live": dagster}, _WINDOW, "live day")["live"]
            runs, minutes = dagster.runs().count(_DONE) - before, len(windows) * _WINDOW / _EVERY
        if runs < minutes - 1:
            raise WrongAnswerError(f"{runs} runs of a day in {minutes:.0f} minutes: the images were not followed")
        bench.log("until the last image has gone all the way")
        _wait_for(camera, directory / "live" / "products" / "wxcam")
        wait_for_calm(bench, dagster, 1)  # which is also the proof that no run has failed
    figure = Figure(tuple(sum(window.values()) / _CORES for window in windows), "% of two cores", by_mean=True)
    what = "a live day, an image of each view a minute"
    row = Row(what, figure, figure.middle, at_most(_GOAL, "%"), remark=by_role(windows))
    return [row], [
        f"The live day: {_IMAGES} images of each view (3120 x 3040 and 2880 x 750) are there and in the products when "
        "it begins; one of each follows a minute, just after a look, and each run proves and adds one. All eight "
        f"streams are looked at each minute. Windows of {_WINDOW:.0f} s; the processes of Dagster and all that they "
        "start, without the camera. No clip comes in it, which would be a video to join and one clip to convert an "
        "hour, and there is no archive.",
    ]


def _live(data: dict[str, Any]) -> None:
    data["live"] = {"running": True, "every": "1m"}
    data["streams"]["wxcam"]["settle"] = _SETTLE


class Camera:
    """Writes two images a minute until it is left; the same few pictures under new names."""

    def __init__(self, host: Path, mirror: Path) -> None:
        self.host = host
        self.mirror = mirror
        self.written: dict[str, list[str]] = {view: [] for view in _VIEWS}
        self._pictures: dict[str, list[bytes]] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def fill(self, now: datetime) -> None:
        """The day until now, on the host; and in the mirror too, as links, so that it need not be copied twice."""
        with TemporaryDirectory(dir=self.host.parent) as model:
            spec = CameraSpec(root=Path(model), day=now.date(), hours=1, every=timedelta(minutes=10), other=False)
            simulate(spec, workers=os.cpu_count() or 1)
            for view in _VIEWS:
                self._pictures[view] = [file.read_bytes() for file in sorted((Path(model) / view).rglob("*.jpg"))]
        midnight = datetime(now.year, now.month, now.day, tzinfo=UTC)
        step = (now - timedelta(minutes=5) - midnight) / _IMAGES
        for number in range(_IMAGES):
            for view in _VIEWS:
                path = self._write(view, midnight + number * step)
                copy = self.mirror / path.relative_to(self.host)
                copy.parent.mkdir(parents=True, exist_ok=True)
                os.link(path, copy)

    def _write(self, view: str, time_utc: datetime) -> Path:
        pictures, names = self._pictures[view], self.written[view]
        name = f"HDR_{time_utc:%Y%m%d_%H%M%S}{_VIEWS[view][1]}.jpg"
        path = self.host / view / f"{time_utc:%Y%m%d}" / f"{time_utc:%H}" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pictures[len(names) % len(pictures)])
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
    deadline = time.monotonic() + _PATIENCE
    while missing := _missing(camera, products):
        if time.monotonic() > deadline:
            raise WrongAnswerError(f"never arrived: {missing[:4]} and {len(missing)} in all")
        time.sleep(5)


def _missing(camera: Camera, products: Path) -> list[str]:
    """What was written and is not in the catalogue, or not in the pixels; looked at without this project's code."""
    with closing(sqlite3.connect(f"file:{products / 'wxcam_catalog.sqlite'}?mode=ro", uri=True)) as db:
        known = {name for (name,) in db.execute("SELECT filename FROM images WHERE media_kind = 'image'")}
    missing = []
    for view, (name, _) in _VIEWS.items():
        day = datetime.now(UTC).strftime("%Y%m%d")
        pixels = zarr.open_group(products / "wxcam.zarr" / name / day, mode="r")
        filenames = pixels["filename"]
        assert isinstance(filenames, zarr.Array)
        stored = {str(one) for one in filenames[:]}  # type: ignore[union-attr]
        missing += [one for one in camera.written[view] if one not in known or one not in stored]
    return missing
