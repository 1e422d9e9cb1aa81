"""Files that never settle, because they are appended or rewritten in place: each pass copies the current content."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import pytest

from aurora_platform.config.site import load_site
from tests.mirror.parts import ChangingSource, Mirror, Poller, adds_up, left_over
from tests.patience import until

GAMB2LE = load_site(Path(__file__).parents[3] / "sites" / "gamb2le.yaml")
DAY = date(2026, 8, 18)
STATION, POWER = "vaisala_met_level0_18-08-2026.dat", "power_data_20260818.csv"

# One write(2) per line, as a logger does; lines are numbered, so that a missing or a partial line is found.
APPENDS = """
import os, random, sys, time
chance = random.Random(7)
out = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
for number in range(10**9):
    os.write(out, b"%09d %s\\n" % (number, chance.randbytes(chance.randint(1, 400)).hex().encode()))
    time.sleep(0.002)
"""
# Rewrites the whole file in place, longer or shorter; each version is one repeated letter.
REWRITES = """
import os, random, sys, time
chance = random.Random(7)
out = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
for number in range(10**9):
    content = bytes([97 + number % 26]) * chance.randint(1000, 100_000)
    os.pwrite(out, content, 0)
    os.ftruncate(out, len(content))
    time.sleep(0.002)
"""


@contextmanager
def writing(program: str, path: Path) -> Iterator[None]:
    """Write ``path`` without pause, in another process."""
    writer = subprocess.Popen([sys.executable, "-c", program, str(path)])
    try:
        until(lambda: path.exists() and path.stat().st_size > 0)
        yield
        assert writer.poll() is None, "it wrote all the time"
    finally:
        writer.send_signal(signal.SIGKILL)
        writer.wait()


def wait_for_more(remote_file: Path, local_file: Path) -> None:
    size = local_file.stat().st_size
    until(lambda: remote_file.stat().st_size > size)


def mirror_of(either: Mirror, name: str) -> Mirror:
    """The mirror of a stream of the real site, with the host and the source of ``either``."""
    return either.but(stream=GAMB2LE.streams[name].model_copy(update={"path": either.stream.path}))


@pytest.fixture
def station(either: Mirror) -> Mirror:
    return mirror_of(either, "vaisalamet")


@pytest.fixture
def power(either: Mirror) -> Mirror:
    return mirror_of(either, "power")


class Reader(Poller):
    """Polls a copy; ``wrong`` lists contents that were not the begin of the file, or were shorter than before."""

    def __init__(self, local_file: Path, remote_file: Path) -> None:
        super().__init__()
        self.local_file, self.remote_file = local_file, remote_file
        self.polls = 0
        self.sizes = {0}
        self.wrong: list[str] = []

    def poll(self) -> None:
        try:
            copy = self.local_file.read_bytes()
        except FileNotFoundError:
            copy = b""
        with self.remote_file.open("rb") as file:
            if file.read(len(copy)) != copy:
                self.wrong.append(f"{len(copy)} bytes that are not the first of the file")
        if len(copy) < max(self.sizes):
            self.wrong.append(f"{len(copy)} bytes, after {max(self.sizes)}")
        self.sizes.add(len(copy))
        self.polls += 1


def test_each_pass_copies_the_begin_of_a_file_that_is_appended_without_pause(
    station: Mirror,
) -> None:
    remote_file, local_file = Path(station.stream.path) / STATION, station.root / STATION
    data_versions = []
    with writing(APPENDS, remote_file), Reader(local_file, remote_file) as reader:
        for _ in range(6):
            before = remote_file.stat().st_size
            report = station.run(DAY)
            (day,) = report.days
            assert (day.seen, day.copied, day.unchanged) == (1, 1, 0)
            assert (day.unsettled.total, day.refused, report.messages) == (0, {}, [])
            assert day.bytes == local_file.stat().st_size >= before
            assert adds_up(report)
            data_versions.append(day.data_version)
            wait_for_more(remote_file, local_file)
    assert reader.wrong == []
    assert reader.polls > 20
    assert len(reader.sizes) >= 4, "it read most of the versions"
    assert len(set(data_versions)) == len(data_versions)
    assert local_file.read_bytes() != remote_file.read_bytes()

    assert station.run(DAY).total("copied") == 1
    content = local_file.read_bytes()
    assert content == remote_file.read_bytes()
    assert local_file.stat().st_mtime_ns == remote_file.stat().st_mtime_ns
    # Independent of a comparison: every line is there once, complete and in order.
    assert [int(line.split()[0]) for line in content.splitlines()] == list(range(content.count(b"\n")))
    last = station.run(DAY)
    assert (last.total("copied"), last.total("unchanged")) == (0, 1)
    assert left_over(station.raw) == []


def test_a_scan_finds_a_growing_file_missing_only_after_it_has_grown(station: Mirror) -> None:
    remote_file = Path(station.stream.path) / STATION
    fingerprints = set()
    for number in range(2):
        with remote_file.open("ab") as file:
            file.write(b"a line\n")
        (day,) = station.scan(DAY).behind
        assert (day.missing, day.missing_bytes, day.unsettled.total) == (1, 7 * (number + 1), 0)
        fingerprints.add(day.fingerprint)
        station.run(DAY)
        assert station.scan(DAY).behind == []
    assert len(fingerprints) == 2


def test_lines_appended_between_listing_and_transfer_are_copied(station: Mirror) -> None:
    remote_file, local_file = Path(station.stream.path) / STATION, station.root / STATION
    remote_file.write_bytes(b"one\n")

    def append() -> None:
        time.sleep(0.02)  # so that the mtime differs, on every kernel
        with remote_file.open("ab") as file:
            file.write(b"two\n")

    first = station.run(DAY, source=ChangingSource(station.source, append))
    assert local_file.read_bytes() == b"one\ntwo\n"
    assert (first.total("copied"), first.unsettled, first.total("bytes")) == (1, 0, 8)
    second = station.run(DAY)
    assert (second.total("unchanged"), second.days[0].data_version) == (1, first.days[0].data_version)


@pytest.mark.parametrize("new", [b"one\ntwo\n", b"1\n"], ids=["longer", "shorter"])
def test_an_old_local_copy_does_not_count_as_a_new_version_that_did_not_arrive(station: Mirror, new: bytes) -> None:
    remote_file, local_file = Path(station.stream.path) / STATION, station.root / STATION
    remote_file.write_bytes(b"one\n")
    os.utime(remote_file, ns=(1, remote_file.stat().st_mtime_ns - 10**9))
    station.run(DAY)
    remote_file.write_bytes(new)
    moved = remote_file.with_name("elsewhere")
    report = station.run(DAY, source=ChangingSource(station.source, lambda: remote_file.rename(moved)))
    assert (report.total("copied"), report.total("seen")) == (0, 1)
    assert adds_up(report)
    assert local_file.read_bytes() == b"one\n"
    moved.rename(remote_file)
    assert station.run(DAY).total("copied") == 1
    assert local_file.read_bytes() == new


VERSIONS = [b"x" * 1000, b"y" * 1000, b"z" * 5000, b"a" * 10, b""]


def test_each_version_of_a_file_rewritten_in_place_is_copied_also_a_shorter_one(power: Mirror) -> None:
    remote_file, local_file = Path(power.stream.path) / POWER, power.root / POWER
    data_versions = set()
    for content in VERSIONS:
        with remote_file.open("r+b" if remote_file.exists() else "wb") as file:
            file.write(content)
            file.truncate()
        report = power.run(DAY)
        assert (report.total("copied"), report.unsettled, report.total("refused_count")) == (1, 0, 0)
        assert local_file.read_bytes() == content
        data_versions.add(report.days[0].data_version)
        time.sleep(0.02)
    assert len(data_versions) == len(VERSIONS)
    assert power.run(DAY).total("unchanged") == 1


@pytest.mark.parametrize("new", [b"y" * 1000, b"longer" * 1000, b"shorter"])
def test_a_file_rewritten_between_listing_and_transfer_ends_as_the_new_version(power: Mirror, new: bytes) -> None:
    remote_file, local_file = Path(power.stream.path) / POWER, power.root / POWER
    remote_file.write_bytes(b"x" * 1000)
    os.utime(remote_file, ns=(1, remote_file.stat().st_mtime_ns - 10**9))
    report = power.run(DAY, source=ChangingSource(power.source, lambda: remote_file.write_bytes(new)))
    assert local_file.read_bytes() == new
    # A file that is shorter than listed may have to wait until it is verified.
    assert report.total("copied") + report.unsettled == 1
    assert report.total("copied") == 1 or len(new) < 1000
    last = power.run(DAY)
    assert (last.total("unchanged"), last.unsettled) == (1, 0)


def test_a_file_rewritten_without_pause_stops_no_pass_and_ends_equal(power: Mirror) -> None:
    remote_file, local_file = Path(power.stream.path) / POWER, power.root / POWER
    with writing(REWRITES, remote_file):
        for _ in range(4):
            report = power.run(DAY)
            assert report.total("seen") == 1
            assert adds_up(report)
    power.run(DAY)
    assert local_file.read_bytes() == remote_file.read_bytes()
    assert len(set(local_file.read_bytes())) == 1
    assert left_over(power.raw) == []
