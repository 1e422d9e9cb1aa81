"""The whole site to measure on: eight streams on two far hosts, and the copy of them that is here.

The trees are the simulator's, and end an hour ago: all has settled, and all is here. They are as large as the real
ones are where a look at them goes: 37 days of the ceilometer are 10,656 files in one directory, and the camera's host
has the exposures that stay there beside those that are mirrored.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from aurora_platform.config.site import Site, load_site
from aurora_simulator import CameraSpec, InstrumentSpec, simulate, simulate_instruments
from aurora_simulator.ssh_server import SshServer
from benchmarks.remote import remote_host

HOSTS = {"ass": "127.0.0.22", "aps": "127.0.0.23"}
DAYS = 37
_CAMERA_DAYS = 4  # what a look of two days back can reach, with the days beside it
_EVERY = timedelta(minutes=4)
_SETTLED = timedelta(hours=1)
_GAMB2LE = Path(__file__).resolve().parent.parent / "sites" / "gamb2le.yaml"

# By hand, and not by the site file's patterns: where a stream's files lie, how they are named, and how a day is told.
_FILES = {
    "cl61": ("cl61", "gamb2le_*.nc", "_%Y%m%d_"),
    "radar": ("rpgfmcw94", "*", "Y%Y/M%m/D%d"),
    "hatpro": ("hatprog5", "HATPROG5-*", "Y%Y/M%m/D%d"),
    "vaisalamet": ("vaisalamet", "vaisala_met_level0_*", "_%d-%m-%Y."),
    "asfs_logger": ("asfs/raw/crd", "aurora_asfs_data_sci_*", "_sci_%Y%m%d"),
    "asfs_fast_sonic": ("asfs/raw/crd", "aurora_asfs_data_fast_sonic_*", "_sonic_%Y%m%d"),
    "power": ("power/level1", "power_data_*", "_%Y%m%d."),
    "wxcam": ("wxcam", "HDR_*", "/HDR_%Y%m%d_"),
}


@dataclass(frozen=True)
class Observatory:
    """The site file of the real site with these hosts, and the servers that are them."""

    file: Path
    far: Path
    servers: dict[str, SshServer]

    @property
    def site(self) -> Site:
        return site_of(self.file)

    def files(self, stream: str, days: Iterable[date]) -> list[str]:
        """The files of these days that a stream has on its host, by a walk through the tree; relative to its root."""
        directory, name, told = _FILES[stream]
        root, stamps = self.far / directory, [day.strftime(told) for day in days]
        paths = [os.path.relpath(f"{at}/{file}", root) for at, _, files in os.walk(root) for file in files]
        ours = (path for path in paths if fnmatchcase(path.rpartition("/")[2], name))
        return sorted(path for path in ours if any(stamp in f"/{path}" for stamp in stamps))


@cache
def site_of(file: Path) -> Site:
    """The site of a file, read once in a process as the code server does."""
    return load_site(file)


@contextmanager
def observatory(directory: Path) -> Iterator[Observatory]:
    """The two hosts, as long as the block lasts, and all that is here below ``directory``."""
    far = directory / "far"
    _write_trees(far, datetime.now(UTC) - _SETTLED)
    with (
        remote_host(directory, HOSTS["ass"]) as (ass, ass_server),
        remote_host(directory, HOSTS["aps"]) as (aps, aps_server),
    ):
        data = yaml.safe_load(_GAMB2LE.read_text())
        del data["archive"]
        data["paths"] = {name: name for name in data["paths"]}
        data["hosts"] = {name: host.model_dump(mode="json") for name, host in (("ass", ass), ("aps", aps))}
        for name, stream in data["streams"].items():
            stream["path"] = str(far / _FILES[name][0])
        _copy(data, directory)
        file = directory / "site.yaml"
        file.write_text(yaml.safe_dump(data))
        yield Observatory(file, far, {"ass": ass_server, "aps": aps_server})


def _write_trees(far: Path, until: datetime) -> None:
    first = (until - timedelta(days=DAYS - 1)).date()
    simulate_instruments(InstrumentSpec(far, first, days=DAYS, scale=0.0001), until)
    for back in range(_CAMERA_DAYS):
        day = until.date() - timedelta(days=back)
        hours = until.hour if back == 0 else 24
        if hours:
            simulate(CameraSpec(far / "wxcam", day, hours, _EVERY, scale=0.01), workers=os.cpu_count() or 1)


def _copy(data: dict[str, Any], directory: Path) -> None:
    """Bring over what is to be here, by rsync and not by the product."""
    for stream in data["streams"].values():
        here = directory / data["paths"]["raw"] / stream["raw"]
        here.mkdir(parents=True, exist_ok=True)
        subprocess.run(["rsync", "--archive", f"{stream['path']}/", f"{here}/"], check=True)
