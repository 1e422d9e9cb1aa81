"""Makes a site of any age for measurements: eight streams in three places, with evidence, ledger and finalizations.

The files are sparse, with the names, sizes and times of real ones; the local tree and the archive are hard links of the
source. The rows of evidence and ledger are written by SQL, as if every file had been copied and read within the last
month: their checksums look real, but no file has been read. Everything else (verdicts, day manifests, finalizations,
counts) is made by the project itself, by one verification of every day.

Three years are 1.57 million files. Also usable on its own: ``python -m benchmarks.archive_site DIRECTORY``.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path

import yaml

from aurora_platform.archive.stores import Records
from aurora_platform.archive.verify_and_publish import verify_and_publish
from aurora_platform.archive.verify_days import Place
from aurora_platform.config.site import Site, load_site
from aurora_platform.layout import SIDES, Layout, Side, raw_group
from aurora_platform.transport.checksums import LocalHasher
from aurora_platform.transport.listing import LocalSource

YEARS_3 = 1095
"""Days of a site that has run for three years."""
_DAY = timedelta(days=1)
_SITE = Path(__file__).resolve().parent.parent / "sites" / "instruments.yaml"
_READ_WITHIN = 30 * 86400.0  # s: no file is to be read again for the scrub


@dataclass(frozen=True)
class _Stream:
    """The files of a stream: per day, their size in bytes, and the name of a file by its time."""

    per_day: int
    size: int
    name: Callable[[datetime, int], str]


def _camera(time_utc: datetime, number: int) -> str:
    tree, end = ("FISH", "") if number % 2 else ("PANO", "_PANO")
    is_clip = number % 20 < 2
    hour = "" if is_clip else f"{time_utc:%H}/"
    return f"{tree}/{time_utc:%Y%m%d}/{hour}HDR_{time_utc:%Y%m%d_%H%M%S}{end}.{'mp4' if is_clip else 'jpg'}"


_STREAMS = {
    "cl61": _Stream(
        288, 1_600_000, lambda t, _: f"gamb2le_depolarisation_lidar_ceilometer_aurora_{t:%Y%m%d_%H%M%S}.nc"
    ),
    "radar": _Stream(216, 30_000_000, lambda t, n: f"Y{t:%Y}/M{t:%m}/D{t:%d}/{t:%y%m%d_%H}0000_P{n % 9:02}_ZEN.LV1"),
    "hatpro": _Stream(
        264, 400_000, lambda t, n: f"Y{t:%Y}/M{t:%m}/D{t:%d}/HATPROG5-AURORA-ICELAND_{t:%y%m%d%H}.{n % 11:02}.NC"
    ),
    "vaisalamet": _Stream(1, 5_000_000, lambda t, _: f"vaisala_met_level0_{t:%d-%m-%Y}.dat"),
    "asfs_logger": _Stream(96, 90_000, lambda t, _: f"aurora_asfs_data_sci_{t:%Y%m%d%H%M}.dat"),
    "asfs_fast_sonic": _Stream(96, 2_000_000, lambda t, _: f"aurora_asfs_data_fast_sonic_{t:%Y%m%d%H%M}.dat"),
    "power": _Stream(1, 300_000, lambda t, _: f"power_data_{t:%Y%m%d}.csv"),
    "wxcam": _Stream(472, 1_200_000, _camera),
}
STREAMS = tuple(_STREAMS)


@dataclass(frozen=True)
class ArchiveSite:
    """A site below a directory, with its three places."""

    directory: Path
    days: int
    """UTC days, the last of which is that of :attr:`last`."""
    last: date
    share: float = 1.0
    """Of the files of a day; small for tests."""

    @property
    def site(self) -> Site:
        return _load(self.directory / "site.yaml")

    @property
    def records(self) -> Records:
        return Records(self.site)

    @property
    def first(self) -> date:
        return self.last - (self.days - 1) * _DAY

    def newest_days(self, count: int) -> list[date]:
        return [self.last - n * _DAY for n in reversed(range(count))]

    def all_days(self) -> list[date]:
        return self.newest_days(self.days)

    def root(self, side: Side, stream: str) -> Path:
        """The directory of a stream on one side."""
        settings = self.site.streams[stream]
        return Path(settings.path) if side == "source" else self.directory / _TREES[side] / settings.raw

    def places(self, stream: str) -> dict[Side, Sequence[Place]]:
        """The three places of a stream, all on this machine."""
        settings = self.site.streams[stream]
        found: dict[Side, Sequence[Place]] = {
            side: [Place("here", LocalSource(), LocalHasher(), str(self.directory / _TREES[side]), settings.raw)]
            for side in ("local", "gws")
        }
        return found | {"source": [Place("here", LocalSource(), LocalHasher(), settings.path)]}

    def files(self, stream: str, day: date) -> Iterator[tuple[str, int, int]]:
        """Yield path, size (bytes) and mtime (ns since epoch) of each file of a day."""
        spec = _STREAMS[stream]
        count = max(1, round(spec.per_day * self.share))
        begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
        seen = set()
        for number in range(count):
            at = begin + number * _DAY / count
            path = spec.name(at, number)
            if path not in seen:
                seen.add(path)
                yield path, spec.size + number, int(at.timestamp()) * 10**9 + number

    def add_file(self, stream: str, path: str, size: int, mtime_ns: int) -> None:
        """Write a sparse file to all three places."""
        source = self.root("source", stream) / path
        _write(source, size, mtime_ns)
        for side in ("local", "gws"):
            target = self.root(side, stream) / path
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(source, target)

    def add_new_files(self, stream: str, count: int, now: datetime) -> list[str]:
        """Add files of the last day, as they arrive; returns their paths. They are old enough to be in the archive."""
        at = now - timedelta(hours=1)
        begin = datetime(self.last.year, self.last.month, self.last.day, tzinfo=UTC)
        root, names = self.root("source", stream), list[str]()
        # By the name, seconds after the existing files; of streams with one file a day there is nothing to add.
        for second in range(1, 86400):
            if len(names) == count:
                break
            path = _STREAMS[stream].name(begin + timedelta(seconds=second), second)
            if not (root / path).exists():
                self.add_file(stream, path, 100_000, int(at.timestamp()) * 10**9 + second)
                names.append(path)
        return names

    def touch_newest(self, stream: str) -> None:
        """Give the files of the last day a newer mtime in all three places, as one that was written again."""
        for path, _, _ in self.files(stream, self.last):
            source = self.root("source", stream) / path  # the other two are links of it
            mtime_ns = source.stat().st_mtime_ns + 10**9
            os.utime(source, ns=(mtime_ns, mtime_ns))

    def verify(self, stream: str, days: Sequence[date], *, publish_now: bool = False) -> None:
        """Verify some days of a stream; raises where a file is missing or different, or a place was not seen."""
        done = verify_and_publish(self.records, stream, days, self.places(stream), publish_now=publish_now)
        wrong = sum(day.verdict.problem_count for day in done.report.days)
        if wrong or done.report.errors or done.report.unverified_days:
            raise AssertionError(f"{stream}: {done.report.summary()}")


_TREES: dict[Side, str] = {"local": "raw", "gws": "archive/raw"}


@cache
def _load(file: Path) -> Site:
    return load_site(file)


def make_archive_site(
    directory: Path,
    days: int = YEARS_3,
    share: float = 1.0,
    log: Callable[[str], None] = lambda text: None,
) -> ArchiveSite:
    """Make the site below a new directory, up to its first publication.

    Parameters
    ----------
    directory
        Must not exist.
    days, share
        The number of days, the last of which ended at least three hours ago, and the share of the files of each day.
    """
    directory.mkdir(parents=True)
    # Soon after midnight, yesterday's last files are too young to be missed or finalized.
    made = ArchiveSite(directory, days, (datetime.now(UTC) - timedelta(hours=3)).date() - _DAY, share)
    _write_site(made)
    for stream in STREAMS:
        log(f"writing the files of {stream}")
        for day in made.all_days():
            for file in made.files(stream, day):
                made.add_file(stream, *file)
    made.records.evidence().__exit__(None, None, None)  # makes the tables
    made.records.ledger().__exit__(None, None, None)
    for stream in STREAMS:
        log(f"recording the files of {stream}")
        _record(made, stream)
    for stream in STREAMS:
        log(f"verifying every day of {stream}")
        made.verify(stream, made.all_days())
    log("publishing")
    made.verify(STREAMS[0], [made.last], publish_now=True)
    return made


def _write_site(made: ArchiveSite) -> None:
    data = yaml.safe_load(_SITE.read_text().replace("../.aurora/instruments/hosts", str(made.directory / "hosts")))
    data["paths"] = {name: str(made.directory / name) for name in ("raw", "products", "state", "manifests")}
    for stream in data["streams"].values():
        stream["start"] = made.first
    host = {"address": "127.0.0.9", "user": "nobody", "auth": "none"}
    roots = {name: str(made.directory / "archive" / name) for name in ("raw", "products")}
    data["archive"] = {"hosts": [host], **roots}
    (made.directory / "site.yaml").write_text(yaml.safe_dump(data, sort_keys=False))
    for stream in STREAMS:
        for side in SIDES:
            made.root(side, stream).mkdir(parents=True, exist_ok=True)


def _write(path: Path, size: int, mtime_ns: int) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileNotFoundError:
        path.parent.mkdir(parents=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        os.truncate(handle, size)
        os.utime(handle, ns=(mtime_ns, mtime_ns))
    finally:
        os.close(handle)


def _record(made: ArchiveSite, stream: str) -> None:
    """Write the rows of a stream's files into evidence and ledger: copied, and read within the last month."""
    layout, archive, now = Layout.of(made.site), made.site.archive, time.time()
    assert archive is not None
    files = sorted((*file, str(day)) for day in made.all_days() for file in made.files(stream, day))
    with closing(sqlite3.connect(layout.fixity, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous = OFF")
        db.execute("BEGIN")
        db.executemany(
            "INSERT INTO file (stream, path, side, day, size, mtime_ns, sha256, hashed_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (stream, path, side, day, size, mtime_ns, checksum_of(path), now - number * _READ_WITHIN / len(files))
                for number, (path, size, mtime_ns, day) in enumerate(files)
                for side in ("gws", "local", "source")
            ),
        )
        db.execute("COMMIT")
    local, remote = made.root("local", stream), made.root("gws", stream)
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    with closing(sqlite3.connect(layout.ledger, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous = OFF")
        db.execute("BEGIN")
        db.executemany(
            "INSERT INTO file (archive, remote_path, local_path, file_group, day, size, mtime_ns, local_sha256,"
            " remote_sha256, queued_at, copied_at, verified_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (
                    *(archive.name, f"{remote}/{path}", f"{local}/{path}", raw_group(stream), day, size, mtime_ns),
                    *(checksum_of(path), checksum_of(path), at, at, at),
                )
                for path, size, mtime_ns, day in files
            ),
        )
        db.execute("COMMIT")


def checksum_of(path: str) -> str:
    """The checksum that the evidence has of a file: not that of its bytes, which are zeros, as diverse as real ones."""
    return hashlib.sha256(path.encode()).hexdigest()


if __name__ == "__main__":
    make_archive_site(Path(sys.argv[1]).resolve(), log=lambda text: print(text, flush=True))
