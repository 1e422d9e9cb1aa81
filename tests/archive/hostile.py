"""A site whose source and archive are behind real sshd, and an oracle of what must never be lost or wrongly said."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from aurora_platform.archive.change_guard import guard_of
from aurora_platform.archive.locations import places_of
from aurora_platform.archive.push_plan import Pushing, push_finalizations
from aurora_platform.archive.reports import VerifyReport
from aurora_platform.archive.stores import Records
from aurora_platform.archive.verify_and_publish import verify_and_publish
from aurora_platform.config.site import Site, load_site
from aurora_platform.errors import AuroraError
from aurora_platform.layout import Layout
from aurora_platform.mirror.sync import mirror_days
from aurora_platform.transport.connections import Connections
from aurora_simulator.ssh_server import SshServer
from tests.mirror.parts import host_of
from tests.patience import in_site_file
from tests.site_files import write_site

STREAM = "met"
DAY = date(2026, 3, 5)
LOG = logging.getLogger("tests.hostile")


def name_of(number: int, day: date = DAY) -> str:
    return f"{number % 3}/met_{day:%Y%m%d}_{number:03}.csv"


@dataclass
class Station:
    """An instrument host, this machine, and an archive, each with real programs in between."""

    home: Path
    source_host: SshServer | None = None
    archive_host: SshServer | None = None
    """None: directories of this machine, which is quicker."""
    revisable: str = "3650d"
    errors: list[str] = field(default_factory=list)
    """The errors of the passes: a hostile host may make a pass fail, and must not make it lie."""

    def __post_init__(self) -> None:
        for name in ("instrument", "far/raw"):
            (self.home / name).mkdir(parents=True, exist_ok=True)

    @cached_property
    def site(self) -> Site:
        def change(data: dict[str, Any]) -> None:
            data["hosts"] = {"station": _host(self.source_host)}
            data["streams"] = {
                STREAM: {
                    "host": "station",
                    "path": str(self.source),
                    "raw": "met",
                    "include": ["**/met_*.csv"],
                    "day": r"met_(?P<Y>\d{4})(?P<m>\d{2})(?P<d>\d{2})",
                    "start": str(DAY),
                    "revisable": self.revisable,
                }
            }
            data["archive"] = {
                "hosts": [_host(self.archive_host) | ({} if self.archive_host else {"same_disk": True})],
                "raw": str(self.home / "far/raw"),
                "products": str(self.home / "far/products"),
            }
            data["retention"] = {"raw": {STREAM: "7d"}}
            data["limits"] = {"connect": in_site_file(10), "stall": in_site_file(20), "lock": in_site_file(30)}

        return load_site(write_site(self.home, change))

    @property
    def source(self) -> Path:
        return self.home / "instrument"

    @property
    def archived(self) -> Path:
        return self.home / "far/raw/met"

    @property
    def local(self) -> Path:
        return self.home / "raw/met"

    def write(self, root: Path, name: str, content: bytes, number: int = 0, day: date = DAY) -> None:
        place = root / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        mtime = int(datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp()) * 10**9 + number
        os.utime(place, ns=(mtime, mtime))

    def fill(self, count: int = 8) -> dict[str, bytes]:
        """Write a day at the source; returns its files."""
        files = {name_of(number): f"{number} of {DAY}\n".encode() * 40 for number in range(count)}
        for number, (name, content) in enumerate(files.items()):
            self.write(self.source, name, content, number)
        return files

    def finalize(self, count: int = 8) -> dict[str, bytes]:
        """A day that came from the source and is finalized; returns its files."""
        files = self.fill(count)
        self.pass_once()
        assert self.errors == []
        assert self.finalization()["complete"] is True
        return files

    def pass_once(self, days: Sequence[date] = (DAY,)) -> VerifyReport | None:
        """Mirror, push, verify, and copy the finalization, as the runs do; each may fail for itself."""
        report = None
        for step in (self.mirror, self.push, self.verify_and_copy):
            try:
                report = step(days)
            except AuroraError as error:
                self.errors.append(str(error))
        return report

    def mirror(self, days: Sequence[date] = (DAY,)) -> None:
        connections, stream, layout = Connections.of(self.site), self.site.streams[STREAM], Layout.of(self.site)
        host = self.site.hosts[stream.host]
        mirror_days(
            STREAM,
            stream,
            days,
            source=connections.source(host),
            transfer=connections.transfer(host, LOG),
            raw=self.site.paths.raw,
            locks=layout.locks,
            wait=self.site.limits.lock,
            guard=guard_of(self.site, STREAM),
        )

    @contextmanager
    def pushing(self) -> Iterator[Pushing]:
        records, connections = Records(self.site), Connections.of(self.site)
        with records.ledger() as ledger:
            yield Pushing(self.site, records.archive, connections.archive_hosts(records.archive, LOG), ledger)

    def push(self, days: Sequence[date] = (DAY,)) -> None:
        with self.pushing() as pushing:
            pushing.raw(STREAM, days)

    def verify_and_copy(self, days: Sequence[date] = (DAY,)) -> VerifyReport:
        """Verify days, and copy their finalizations to the archive."""
        records = Records(self.site)
        report = verify_and_publish(
            records, STREAM, days, places_of(self.site, STREAM, Connections.of(self.site))
        ).report
        with self.pushing() as pushing:
            push_finalizations(records, pushing, STREAM, days)
        return report

    def verify(self) -> VerifyReport:
        """Only verify: list and compare what there is."""
        places = places_of(self.site, STREAM, Connections.of(self.site))
        return verify_and_publish(Records(self.site), STREAM, [DAY], places).report

    def finalization(self) -> dict[str, Any]:
        file = self.home / f"far/manifests/finalized/{STREAM}/{DAY}_{STREAM}_finalized.yaml"
        return dict(yaml.safe_load(file.read_bytes()))

    def assert_nothing_is_lost(self, files: dict[str, bytes]) -> None:
        """Every byte that was ever finalized can be read here or in the archive, and no word on disk says otherwise."""
        wanted, have = {hashlib.sha256(content).hexdigest() for content in files.values()}, set[str]()
        for _ in range(3):  # a file may move from one directory to another while they are walked
            have |= {hashlib.sha256(content).hexdigest() for content in self._contents()}
            if wanted <= have:
                break
        assert wanted <= have
        for root in (self.home / "far/manifests", self.home / "manifests"):
            for manifest in root.rglob("*_manifest_r*.tsv"):
                missing = {sha256 for _, sha256 in _read(manifest)} - have
                assert not missing, f"{manifest} lists bytes that are nowhere"
            for word in root.rglob("*_finalized.yaml"):
                if ".outgoing" in word.parts:  # of a transfer; what a killed one has left is not read by anybody
                    continue
                before = word.read_bytes()
                try:
                    self._assert_true(word)
                except AssertionError:
                    if word.read_bytes() == before:  # else it was withdrawn meanwhile, before the file was replaced
                        raise

    def _assert_true(self, word: Path) -> None:
        data = yaml.safe_load(word.read_bytes())
        if not data["complete"]:
            return
        manifest = word.with_name(data["manifest"])
        assert hashlib.sha256(manifest.read_bytes()).hexdigest() == data["manifest_sha256"]
        for path, sha256 in _read(manifest):
            archived = self.archived / path
            assert archived.is_file(), f"{word} says complete, and the archive has no {path}"
            assert hashlib.sha256(archived.read_bytes()).hexdigest() == sha256, f"{word}: {path}"

    def _contents(self) -> Iterator[bytes]:
        for root in (self.home / "far", self.home / "raw"):
            for place in root.rglob("*"):
                if place.is_file() and not place.is_symlink():
                    yield place.read_bytes()


def _host(server: SshServer | None) -> dict[str, Any]:
    return host_of(server).model_dump(mode="json", exclude_none=True) if server else {"kind": "local"}


def _read(manifest: Path) -> Iterator[tuple[str, str]]:
    """Path and SHA-256 of each file of a manifest that is not lost; read without the code under test."""
    header, *lines = manifest.read_text().splitlines()
    assert header == "relpath\tsize\tmtime\tchecksum"
    for line in lines:
        path, _, _, sha256 = line.split("\t")
        if sha256 != "lost":
            yield path, sha256
