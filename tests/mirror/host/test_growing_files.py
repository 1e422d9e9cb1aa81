"""Files that are never settled: appended without pause, or rewritten in place; each pass brings what there is then."""

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
from tests.mirror.parts import Looking, Meanwhile, Mirror, adds_up, left_over
from tests.patience import until

GAMB2LE = load_site(Path(__file__).parents[3] / "sites" / "gamb2le.yaml")
DAY = date(2026, 8, 18)
STATION, POWER = "vaisala_met_level0_18-08-2026.dat", "power_data_20260818.csv"

# One write(2) a line, as a logger does; every line says its number, so that a missing or a half one would be seen.
APPENDS = """
import os, random, sys, time
chance = random.Random(7)
out = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
for number in range(10**9):
    os.write(out, b"%09d %s\\n" % (number, chance.randbytes(chance.randint(1, 400)).hex().encode()))
    time.sleep(0.002)
"""
# The whole file anew, in place, now longer and now shorter; a version is one letter.
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
def at_work(program: str, path: Path) -> Iterator[None]:
    """A process of its own that writes ``path`` without pause."""
    writer = subprocess.Popen([sys.executable, "-c", program, str(path)])
    try:
        until(lambda: path.exists() and path.stat().st_size > 0)
        yield
        assert writer.poll() is None, "it wrote all the time"
    finally:
        writer.send_signal(signal.SIGKILL)
        writer.wait()


def wait_for_more(there: Path, here: Path) -> None:
    size = here.stat().st_size
    until(lambda: there.stat().st_size > size)


def of(either: Mirror, name: str) -> Mirror:
    """A stream of the real site, with the host and the source of ``either``."""
    return either.but(stream=GAMB2LE.streams[name].model_copy(update={"path": either.stream.path}))


@pytest.fixture
def station(either: Mirror) -> Mirror:
    return of(either, "vaisalamet")


@pytest.fixture
def power(either: Mirror) -> Mirror:
    return of(either, "power")


class Reader(Looking):
    """Looks at a copy all the time; ``wrong`` is what it saw that was no beginning of the file, or was taken back."""

    def __init__(self, here: Path, there: Path) -> None:
        super().__init__()
        self.here, self.there = here, there
        self.looks = 0
        self.sizes = {0}
        self.wrong: list[str] = []

    def scan(self) -> None:
        try:
            copy = self.here.read_bytes()
        except FileNotFoundError:
            copy = b""
        with self.there.open("rb") as file:
            if file.read(len(copy)) != copy:
                self.wrong.append(f"{len(copy)} bytes that are not the first of the file")
        if len(copy) < max(self.sizes):
            self.wrong.append(f"{len(copy)} bytes, after {max(self.sizes)}")
        self.sizes.add(len(copy))
        self.looks += 1


def test_a_file_that_is_appended_without_pause_is_brought_by_each_pass_and_is_always_a_beginning(
    station: Mirror,
) -> None:
    there, here = Path(station.stream.path) / STATION, station.root / STATION
    data_versions = []
    with at_work(APPENDS, there), Reader(here, there) as reader:
        for _ in range(6):
            before = there.stat().st_size
            report = station.run(DAY)
            (day,) = report.days
            assert (day.seen, day.copied, day.unchanged) == (1, 1, 0)
            assert (day.unsettled.total, day.refused, report.complaints) == (0, {}, [])
            assert day.bytes == here.stat().st_size >= before
            assert adds_up(report)
            data_versions.append(day.data_version)
            wait_for_more(there, here)
    assert reader.wrong == []
    assert reader.looks > 20
    assert len(reader.sizes) >= 4, "it saw most of the versions"
    assert len(set(data_versions)) == len(data_versions)
    assert here.read_bytes() != there.read_bytes()

    assert station.run(DAY).total("copied") == 1
    content = here.read_bytes()
    assert content == there.read_bytes()
    assert here.stat().st_mtime_ns == there.stat().st_mtime_ns
    # Independent of a comparison: every line is there, once, in order and whole.
    assert [int(line.split()[0]) for line in content.splitlines()] == list(range(content.count(b"\n")))
    last = station.run(DAY)
    assert (last.total("copied"), last.total("unchanged")) == (0, 1)
    assert left_over(station.raw) == []


def test_a_look_asks_for_a_growing_file_whenever_it_has_grown_and_never_else(station: Mirror) -> None:
    there = Path(station.stream.path) / STATION
    fingerprints = set()
    for number in range(2):
        with there.open("ab") as file:
            file.write(b"a line\n")
        (day,) = station.scan(DAY).behind
        assert (day.missing, day.missing_bytes, day.unsettled.total) == (1, 7 * (number + 1), 0)
        fingerprints.add(day.fingerprint)
        station.run(DAY)
        assert station.scan(DAY).behind == []
    assert len(fingerprints) == 2


def test_lines_appended_between_the_listing_and_the_transfer_come_with_it(station: Mirror) -> None:
    there, here = Path(station.stream.path) / STATION, station.root / STATION
    there.write_bytes(b"one\n")

    def append() -> None:
        time.sleep(0.02)  # so that the mtime differs, on every kernel
        with there.open("ab") as file:
            file.write(b"two\n")

    first = station.run(DAY, source=Meanwhile(station.source, append))
    assert here.read_bytes() == b"one\ntwo\n"
    assert (first.total("copied"), first.unsettled, first.total("bytes")) == (1, 0, 8)
    second = station.run(DAY)
    assert (second.total("unchanged"), second.days[0].data_version) == (1, first.days[0].data_version)


@pytest.mark.parametrize("new", [b"one\ntwo\n", b"1\n"], ids=["longer", "shorter"])
def test_what_lay_here_before_is_not_taken_for_a_new_version_that_did_not_come(station: Mirror, new: bytes) -> None:
    there, here = Path(station.stream.path) / STATION, station.root / STATION
    there.write_bytes(b"one\n")
    os.utime(there, ns=(1, there.stat().st_mtime_ns - 10**9))
    station.run(DAY)
    there.write_bytes(new)
    gone = there.with_name("elsewhere")
    report = station.run(DAY, source=Meanwhile(station.source, lambda: there.rename(gone)))
    assert (report.total("copied"), report.total("seen")) == (0, 1)
    assert adds_up(report)
    assert here.read_bytes() == b"one\n"
    gone.rename(there)
    assert station.run(DAY).total("copied") == 1
    assert here.read_bytes() == new


VERSIONS = [b"x" * 1000, b"y" * 1000, b"z" * 5000, b"a" * 10, b""]


def test_each_version_of_a_file_that_is_rewritten_in_place_is_brought_also_a_shorter_one(power: Mirror) -> None:
    there, here = Path(power.stream.path) / POWER, power.root / POWER
    data_versions = set()
    for content in VERSIONS:
        with there.open("r+b" if there.exists() else "wb") as file:
            file.write(content)
            file.truncate()
        report = power.run(DAY)
        assert (report.total("copied"), report.unsettled, report.total("refused_count")) == (1, 0, 0)
        assert here.read_bytes() == content
        data_versions.add(report.days[0].data_version)
        time.sleep(0.02)
    assert len(data_versions) == len(VERSIONS)
    assert power.run(DAY).total("unchanged") == 1


@pytest.mark.parametrize("new", [b"y" * 1000, b"longer" * 1000, b"shorter"])
def test_a_file_that_is_rewritten_between_the_listing_and_the_transfer_ends_as_the_new_one(
    power: Mirror, new: bytes
) -> None:
    there, here = Path(power.stream.path) / POWER, power.root / POWER
    there.write_bytes(b"x" * 1000)
    os.utime(there, ns=(1, there.stat().st_mtime_ns - 10**9))
    report = power.run(DAY, source=Meanwhile(power.source, lambda: there.write_bytes(new)))
    assert here.read_bytes() == new
    # One that is shorter than it was listed may have to wait until it is known to be whole.
    assert report.total("copied") + report.unsettled == 1
    assert report.total("copied") == 1 or len(new) < 1000
    last = power.run(DAY)
    assert (last.total("unchanged"), last.unsettled) == (1, 0)


def test_a_file_that_is_rewritten_without_pause_stops_nothing_and_ends_equal(power: Mirror) -> None:
    there, here = Path(power.stream.path) / POWER, power.root / POWER
    with at_work(REWRITES, there):
        for _ in range(4):
            report = power.run(DAY)
            assert report.total("seen") == 1
            assert adds_up(report)
    power.run(DAY)
    assert here.read_bytes() == there.read_bytes()
    assert len(set(here.read_bytes())) == 1
    assert left_over(power.raw) == []
