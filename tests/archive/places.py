"""A site whose three places are local directories: the source, the local tree, and the archive."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from aurora_platform.archive.reports import PrunePlan, VerifyOutcome
from aurora_platform.archive.stores import Records
from aurora_platform.archive.verify_and_publish import verify_and_publish
from aurora_platform.archive.verify_days import Place
from aurora_platform.config.hosts import LocalHost
from aurora_platform.config.site import Site, load_site
from aurora_platform.layout import Side
from aurora_platform.transport.bounds import Bounds
from aurora_platform.transport.checksums import LocalHasher
from aurora_platform.transport.listing import LocalSource
from aurora_platform.transport.local_host import LocalAccess
from aurora_platform.transport.protocols import Transfer
from tests.patience import patient
from tests.site_files import write_site

STREAM = "met"
DAY = date(2026, 3, 5)
ROOTS: dict[Side, str] = {"source": "instrument", "local": "raw/met", "gws": "far/raw/met"}


def name_of(number: int, day: date = DAY) -> str:
    return f"{number % 3}/met_{day:%Y%m%d}_{number:03}.csv"


@dataclass(frozen=True)
class Outcome(VerifyOutcome):
    """The outcome of a verification, with the candidates as ``latest/`` has them."""

    latest: Path = Path()

    @property
    def plan(self) -> PrunePlan:
        lines = (self.latest / "prune_candidates.tsv").read_text().splitlines()
        assert lines[0] == "relpath"
        assert self.summary.prune_ready == bool(lines[1:])
        assert self.summary.prune_candidate_count == len(lines[1:])
        return PrunePlan(STREAM, tuple(lines[1:]), self.summary.prune_candidate_bytes, self.summary.prune_why)


@dataclass
class Observatory:
    """A site below a directory, with its records."""

    home: Path
    changes: dict[str, Any] = field(default_factory=dict)
    archive: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for root in ("instrument", "raw", "far/raw"):
            (self.home / root).mkdir(parents=True, exist_ok=True)
        self.site: Site = load_site(write_site(self.home, self._change))
        self.records = Records(self.site)

    def _change(self, data: dict[str, Any]) -> None:
        data["hosts"] = {"here": {"kind": "local"}}
        met = {
            "host": "here",
            "path": "instrument",
            "raw": "met",
            "include": ["**/met_*.csv"],
            "day": r"met_(?P<Y>\d{4})(?P<m>\d{2})(?P<d>\d{2})",
            "start": str(DAY - timedelta(days=1)),
        }
        data["streams"] = {STREAM: met | self.changes}
        host = {"address": "127.0.0.9", "user": "nobody", "auth": "key", "identity": "no_such_key"}
        data["archive"] = {
            "hosts": [host],
            "raw": str(self.home / "far/raw"),
            "products": str(self.home / "far/products"),
            **self.archive,
        }

    def place(self, side: Side, path: str = "") -> Path:
        return self.home / ROOTS[side] / path

    def fill(self, count: int = 6, day: date = DAY, sides: Sequence[Side] = ("source", "local", "gws")) -> list[str]:
        """Write the same files to some sides, with mtimes within the day; returns their names."""
        names = [name_of(number, day) for number in range(count)]
        for number, name in enumerate(names):
            for side in sides:
                self.write(side, name, f"{name} of {day}\n".encode() * 50, day, number)
        return names

    def write(self, side: Side, name: str, content: bytes, day: date = DAY, number: int = 0) -> Path:
        place = self.place(side, name)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        mtime = int(datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp()) * 10**9 + number
        os.utime(place, ns=(mtime, mtime))
        return place

    def flip(self, side: Side, name: str) -> None:
        """Change one byte, but neither size nor mtime."""
        place = self.place(side, name)
        status, content = place.stat(), bytearray(place.read_bytes())
        content[len(content) // 2] ^= 1
        place.write_bytes(content)
        os.utime(place, ns=(status.st_atime_ns, status.st_mtime_ns))

    def transfer(self) -> Transfer:
        """rsync between directories of this machine."""
        bounds = Bounds(self.home / "known_hosts", transfer_seconds=patient(60), stall_seconds=patient(20))
        return LocalAccess(LocalHost(kind="local"), bounds).transfer(logging.getLogger("tests.archive"))

    def places(self) -> dict[Side, Sequence[Place]]:
        return {
            "source": [Place("here", LocalSource(), LocalHasher(), str(self.place("source")))],
            "local": [Place("here", LocalSource(), LocalHasher(), str(self.home / "raw"), "met")],
            "gws": [Place("far", LocalSource(), LocalHasher(), str(self.home / "far/raw"), "met", self.transfer())],
        }

    def verify_and_publish(
        self,
        *days: date,
        full: bool = False,
        accept_loss: bool = False,
        places: dict[Side, Sequence[Place]] | None = None,
        publish_now: bool = True,
    ) -> Outcome:
        done = verify_and_publish(
            self.records,
            STREAM,
            days or [DAY],
            {**self.places(), **(places or {})},
            full=full,
            accept_loss=accept_loss,
            publish_now=publish_now,
        )
        return Outcome(**vars(done), latest=self.site.paths.manifests / "latest" / STREAM)

    def verify_all(self, **options: Any) -> Outcome:
        """Verify all days from the stream's start to today, as the daily verification does."""
        start = self.site.streams[STREAM].start
        return self.verify_and_publish(
            *(start + timedelta(days=n) for n in range((datetime.now(UTC).date() - start).days + 1)), **options
        )

    def mirror_to_archive(self) -> None:
        """Copy the local tree to the archive, without the code under test."""
        shutil.copytree(self.place("local"), self.place("gws"), dirs_exist_ok=True)
