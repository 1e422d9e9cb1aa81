"""Makes a whole site to measure: eight streams on two remote hosts, and their local copy.

The simulator writes the trees, which end an hour ago: all files have settled, and all are mirrored. The directories
that a scan reads are as large as the real ones: 37 days of the ceilometer are 10,656 files in one directory, and the
camera host also has the exposures that are not mirrored.
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
_CAMERA_DAYS = 4  # the days that a scan of two days back may list, with the days before and after
_EVERY = timedelta(minutes=4)
_SETTLED = timedelta(hours=1)
_GAMB2LE = Path(__file__).resolve().parent.parent / "sites" / "gamb2le.yaml"

# Directory, name pattern and day pattern of each stream. Written by hand, independent of the patterns in the site file.
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
    """The site file of the real site with simulated hosts, and their servers."""

    file: Path
    sources: Path
    servers: dict[str, SshServer]

    @property
    def site(self) -> Site:
        return site_of(self.file)

    def files(self, stream: str, days: Iterable[date]) -> list[str]:
        """Walk the tree of a stream on its host; return the files of these days, relative to the root of the stream."""
        directory, name, day_pattern = _FILES[stream]
        root, stamps = self.sources / directory, [day.strftime(day_pattern) for day in days]
        paths = [os.path.relpath(f"{parent}/{file}", root) for parent, _, files in os.walk(root) for file in files]
        matching = (path for path in paths if fnmatchcase(path.rpartition("/")[2], name))
        return sorted(path for path in matching if any(stamp in f"/{path}" for stamp in stamps))


@cache
def site_of(file: Path) -> Site:
    """Return the site of a file; each process reads it once, as the code server does."""
    return load_site(file)


@contextmanager
def observatory(directory: Path) -> Iterator[Observatory]:
    """Run the two hosts during the block, with their trees and the local copy below ``directory``."""
    sources = directory / "sources"
    _write_trees(sources, datetime.now(UTC) - _SETTLED)
    with (
        remote_host(directory, HOSTS["ass"]) as (ass, ass_server),
        remote_host(directory, HOSTS["aps"]) as (aps, aps_server),
    ):
        data = yaml.safe_load(_GAMB2LE.read_text())
        del data["archive"]
        data["paths"] = {name: name for name in data["paths"]}
        data["hosts"] = {name: host.model_dump(mode="json") for name, host in (("ass", ass), ("aps", aps))}
        for name, stream in data["streams"].items():
            stream["path"] = str(sources / _FILES[name][0])
        _mirror(data, directory)
        file = directory / "site.yaml"
        file.write_text(yaml.safe_dump(data))
        yield Observatory(file, sources, {"ass": ass_server, "aps": aps_server})


def _write_trees(sources: Path, until: datetime) -> None:
    first = (until - timedelta(days=DAYS - 1)).date()
    simulate_instruments(InstrumentSpec(sources, first, days=DAYS, scale=0.0001), until)
    for back in range(_CAMERA_DAYS):
        day = until.date() - timedelta(days=back)
        hours = until.hour if back == 0 else 24
        if hours:
            simulate(CameraSpec(sources / "wxcam", day, hours, _EVERY, scale=0.01), workers=os.cpu_count() or 1)


def _mirror(data: dict[str, Any], directory: Path) -> None:
    """Copy all trees with rsync, not with the product."""
    for stream in data["streams"].values():
        local = directory / data["paths"]["raw"] / stream["raw"]
        local.mkdir(parents=True, exist_ok=True)
        subprocess.run(["rsync", "--archive", f"{stream['path']}/", f"{local}/"], check=True)
