"""Instruments in real time: they keep the given speed, write files in two halves, and end cleanly at a signal."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from aurora_simulator import InstrumentReport, InstrumentSpec, run_instruments, simulate_instruments
from tests.patience import patient

BEGIN = datetime(2025, 8, 18, 22, tzinfo=UTC)
NOW = datetime(2026, 3, 6, 12, 0, 0, 250_000, tzinfo=UTC)
START = NOW.timestamp()
HOUR = timedelta(hours=1)
VAISALA = "vaisalamet/vaisala_met_level0_18-08-2025.dat"
POWER = "power/level1/power_data_20250818.csv"
Tree = dict[str, bytes]


class Clock:
    """A clock that only `sleep` advances; it calls `watch` before each sleep."""

    def __init__(self, watch: Callable[[], object] = lambda: None, now: float = START) -> None:
        self.now = now
        self.watch = watch

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.watch()
        self.now += seconds


@pytest.fixture
def spec(tmp_path: Path) -> InstrumentSpec:
    """A day of all instruments, small; a tick is half a minute of sky time."""
    return InstrumentSpec(tmp_path / "instruments", date(2025, 8, 18), scale=0.001)


def tree(root: Path) -> Tree:
    """Content of every file by its path."""
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def run(spec: InstrumentSpec, clock: Clock, begin: datetime = BEGIN) -> tuple[InstrumentReport, list[str]]:
    """Run on a simulated clock; return the report and the log lines."""
    lines: list[str] = []
    return run_instruments(spec, begin, log=lines.append, clock=clock, sleep=clock.sleep), lines


def stop_at(clock: Clock, seconds: float) -> None:
    """Press Ctrl-C this many seconds after the start."""

    def watch() -> None:
        if clock.now >= START + seconds:
            raise KeyboardInterrupt

    clock.watch = watch


def test_the_final_tree_equals_the_tree_that_is_written_at_once(spec: InstrumentSpec, tmp_path: Path) -> None:
    clock = Clock()
    report, lines = run(spec, clock)
    at_once = replace(spec, root=tmp_path / "at once")
    assert simulate_instruments(at_once).new == report.new
    assert tree(spec.root) == tree(at_once.root)
    assert clock.now - START == pytest.approx(3 * 60 + 1, abs=0.5)  # three hours, and the flight of the last write
    assert (report.appended > 500, report.rewritten > 100) == (True, True)
    assert lines[0].startswith("2026-03-06 12:00:00  sky 2025-08-18 22:00:00  begins; ")
    assert "begins; already written: " in lines[0]
    assert [line.split("  ")[:2] for line in lines[1:]] == [
        [f"2026-03-06 12:0{minute}:00", f"sky 2025-08-{day}:00:00"]
        for minute, day in ((1, "18 23"), (2, "19 00"), (3, "19 01"))
    ]


def test_files_from_before_the_start_have_instrument_times_and_later_files_the_time_of_their_write(
    spec: InstrumentSpec, tmp_path: Path
) -> None:
    (tmp_path / "mark").touch()
    clock = Clock()
    stop_at(clock, 61)
    run(spec, clock)
    mark = (tmp_path / "mark").stat().st_mtime_ns
    times = {path.name: path.stat().st_mtime_ns for path in spec.root.rglob("*") if path.is_file()}
    before = {name for name, time in times.items() if time < mark}
    assert all(time <= BEGIN.timestamp() * 1e9 for time in times.values() if time < mark)
    ceilometer = sorted(name for name in times if name.endswith(".nc"))
    assert [name in before for name in ceilometer] == [True] * 263 + [False] * (len(ceilometer) - 263)
    assert Path(POWER).name not in before


def test_half_written_files_have_their_final_names(spec: InstrumentSpec, tmp_path: Path) -> None:
    final = replace(spec, root=tmp_path / "final")
    simulate_instruments(final)
    expected, halves, torn = tree(final.root), set(), 0
    last = [path for path in expected if re.search(r"_20250818_235500.nc|_230000_.*LV0|2300.BRT", path)]

    def watch() -> None:
        nonlocal torn
        for path in filter(lambda path: (spec.root / path).exists(), last):
            content = (spec.root / path).read_bytes()
            if content != expected[path]:
                assert content == expected[path][: len(expected[path]) // 2]
                halves.add(path)
        assert expected[VAISALA].startswith((spec.root / VAISALA).read_bytes())
        torn += not (spec.root / POWER).read_bytes().endswith(b"\n")

    clock = Clock(watch)
    run_instruments(spec, BEGIN + 1.9 * HOUR, tick=timedelta(seconds=0.4), log=str, clock=clock, sleep=clock.sleep)
    assert sorted(halves) == sorted(last)
    assert torn


def test_sky_time_catches_up_with_the_clock_and_then_equals_it(spec: InstrumentSpec) -> None:
    today = replace(spec, day=NOW.date(), days=None, streams=("vaisalamet", "cl61"))
    clock = Clock()
    stop_at(clock, 125)
    report, lines = run(today, clock, NOW.replace(hour=11, minute=0, second=0))
    lines_written = (today.root / "vaisalamet/vaisala_met_level0_06-03-2026.dat").read_bytes().count(b"\n")
    assert lines_written == (12 * 60 + 2) * 6 + 1  # 4 s later
    assert report.new == {"cl61": 144, "vaisalamet": 1}
    assert lines[-1].startswith("2026-03-06 12:02:05  sky 2026-03-06 12:02:05  stopped")


def test_a_restart_completes_the_files_in_flight(spec: InstrumentSpec, tmp_path: Path) -> None:
    clock = Clock()
    stop_at(clock, 0.8)
    run(spec, clock)
    assert not (spec.root / VAISALA).read_bytes().endswith(b"\n")
    run(spec, Clock(now=START + 3600))
    at_once = replace(spec, root=tmp_path / "at once")
    simulate_instruments(at_once)
    assert tree(spec.root) == tree(at_once.root)


def test_a_clock_that_is_set_back_shortens_no_file(spec: InstrumentSpec) -> None:
    clock, sizes = Clock(), [0]

    def watch() -> None:
        sizes.append((spec.root / VAISALA).stat().st_size)
        if len(sizes) == 20:
            clock.now -= 5
        if len(sizes) == 60:
            raise KeyboardInterrupt

    clock.watch = watch
    run(replace(spec, streams=("vaisalamet",)), clock)
    assert sizes == sorted(sizes)
    assert sizes[-1] > sizes[20]


@pytest.fixture
def started(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process with the instruments in real time, an hour of sky time per second."""
    command = [
        sys.executable,
        "-m",
        "aurora_simulator",
        "instruments",
        "--root",
        str(tmp_path / "instruments"),
        "--live",
    ]
    command += ["--day", "2025-08-18", "--speed", "3600", "--scale", "0.001", "--streams", "vaisalamet,power,cl61"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]) as process:
        yield process
        process.kill()


def test_a_signal_ends_the_command_with_its_summary(started: subprocess.Popen[str], tmp_path: Path) -> None:
    assert started.stdout is not None
    for text in ("begins; already written: 0 files", "so far "):
        assert any(text in line for line in started.stdout)
    started.send_signal(signal.SIGTERM)
    output, _ = started.communicate(timeout=patient(60))
    files = [path for path in (tmp_path / "instruments").rglob("*") if path.is_file()]
    assert started.returncode == 0
    *_, stopped, summary = output.splitlines()
    assert stopped.endswith("stopped")
    assert summary.startswith(f"{len(files)} files (")
