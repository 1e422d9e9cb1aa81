"""Instruments append, rewrite and change files in place, and many steps give the same tree as one step."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from aurora_simulator import Change, InstrumentSpec, SpecError, advance

DAY = date(2026, 8, 18)
NOON = datetime(2026, 8, 18, 12, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
LOGGER = "asfs/raw/crd/aurora_asfs_data_sci_202608181200.dat"
SONIC = "asfs/raw/crd/aurora_asfs_data_fast_sonic_202608181200.dat"
VAISALA = "vaisalamet/vaisala_met_level0_18-08-2026.dat"
POWER = "power/level1/power_data_20260818.csv"
GIVEN = datetime(2026, 9, 1, 10, 0, 0, 125_000, tzinfo=UTC)
Tree = dict[str, tuple[int, bytes]]


@pytest.fixture
def spec(tmp_path: Path) -> InstrumentSpec:
    """One day of all instruments, small."""
    return InstrumentSpec(tmp_path / "instruments", DAY, scale=0.001)


@pytest.fixture
def only(spec: InstrumentSpec) -> Callable[..., InstrumentSpec]:
    """Make the same spec with only these streams."""
    return lambda *streams: replace(spec, streams=streams)


def tree(root: Path) -> Tree:
    """Modification time and content of every file."""
    return {
        str(path.relative_to(root)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in root.rglob("*")
        if path.is_file()
    }


def contents(root: Path) -> dict[str, bytes]:
    """Content of every file."""
    return {path: content for path, (_, content) in tree(root).items()}


def kinds(changes: tuple[Change, ...]) -> dict[str, str]:
    """The kind of write per file."""
    return {change.path: change.kind for change in changes}


def test_the_weather_file_is_appended_to_in_place(only: Callable[..., InstrumentSpec]) -> None:
    spec = only("vaisalamet")
    path = spec.root / VAISALA
    assert kinds(advance(spec, NOON)) == {VAISALA: "new"}
    before, inode = path.read_bytes(), path.stat().st_ino
    assert before.count(b"\n") == 12 * 360  # the line of noon follows within a second
    with path.open("rb") as reader:
        assert reader.read() == before
        changes = advance(spec, NOON + MINUTE)
        added = reader.read()
    assert changes == (Change("vaisalamet", VAISALA, "appended", len(added)),)
    assert added.count(b"\n") == 6
    assert (path.read_bytes(), path.stat().st_ino) == (before + added, inode)


def test_the_power_file_is_replaced_each_minute_in_its_inode(only: Callable[..., InstrumentSpec]) -> None:
    spec = only("power")
    path = spec.root / POWER
    advance(spec, NOON + 30 * SECOND)
    before, inode = path.read_text().splitlines(), path.stat().st_ino
    assert advance(spec, NOON + 50 * SECOND) == ()
    assert kinds(advance(spec, NOON + 90 * SECOND)) == {POWER: "rewritten"}
    after = path.read_text().splitlines()
    assert path.stat().st_ino == inode
    assert (before[0].split()[:6], after[0].split()[:6]) == (
        ["#", "2026-08-18", "written", "12:00:03Z", "rows", "720"],
        ["#", "2026-08-18", "written", "12:01:03Z", "rows", "721"],
    )
    assert after[1:-1] == before[1:]


def test_new_files_appear_when_their_periods_end(only: Callable[..., InstrumentSpec]) -> None:
    spec = only("cl61", "radar", "hatpro")
    advance(spec, NOON - MINUTE)
    assert advance(spec, NOON + 3 * SECOND) == ()
    assert set(kinds(advance(spec, NOON + 6 * SECOND))) == {
        "cl61/gamb2le_depolarisation_lidar_ceilometer_aurora_20260818_115500.nc"
    }
    changes = advance(spec, NOON + 26 * SECOND)
    assert [path.rpartition(".")[2] for path in kinds(changes)] == [
        "HKD",
        "LV1",
        "LV0",
        "BLB",
        "BRT",
        "HKD",
        "IRT",
        "MET",
    ]
    assert {path.rpartition("/")[2][:13] for path in kinds(changes)} == {"260818_110000", "HATPROG5-AURO"}
    assert set(kinds(changes).values()) == {"new"}


@pytest.mark.parametrize(("stream", "path"), [("asfs_logger", LOGGER), ("asfs_fast_sonic", SONIC)])
def test_a_flux_file_grows_for_an_hour_and_then_gets_its_late_value_in_place(
    only: Callable[..., InstrumentSpec], stream: str, path: str
) -> None:
    spec = only(stream)
    advance(spec, NOON + 30 * MINUTE)
    half = (spec.root / path).read_bytes()
    assert kinds(advance(spec, NOON + HOUR)) == {path: "appended"}
    full, inode = (spec.root / path).read_bytes(), (spec.root / path).stat().st_ino
    assert full.startswith(half)
    assert full.count(b'"NAN"') == 1
    assert kinds(advance(spec, NOON + HOUR + 6 * MINUTE))[path] == "rewritten"
    final = (spec.root / path).read_bytes()
    assert (len(final), (spec.root / path).stat().st_ino) == (len(full), inode)
    differing = [pair for pair in zip(full.splitlines(), final.splitlines(), strict=True) if pair[0] != pair[1]]
    assert len(differing) == 1
    assert re.sub(rb",\d+\.\d+,", b',"NAN",', differing[0][1], count=1) == differing[0][0]


@pytest.mark.parametrize("stream", ["asfs_logger", "asfs_fast_sonic"])
def test_the_first_flux_file_of_a_day_gets_another_header_three_days_later(
    only: Callable[..., InstrumentSpec], stream: str
) -> None:
    spec = only(stream)
    over = NOON + 12 * HOUR
    advance(spec, over + 48 * HOUR)
    before = tree(spec.root)
    assert advance(spec, over + 49 * HOUR) == ()
    (change,) = advance(spec, over + 50 * HOUR, since=over + 48 * HOUR)
    assert change.kind == "rewritten"
    assert change.path.endswith("_202608180000.dat")
    old, new = (content.splitlines() for _, content in (before[change.path], tree(spec.root)[change.path]))
    assert old[1:] == new[1:]
    assert (old[0] != new[0], len(new[0]) - len(old[0])) == (True, 3)


def test_many_steps_lead_to_the_same_tree_as_one(spec: InstrumentSpec, tmp_path: Path) -> None:
    rng, flown, until, since = random.Random(5), replace(spec, root=tmp_path / "flown"), NOON, NOON
    advance(spec, until)
    advance(flown, until)
    end = NOON + 14 * HOUR
    while until < end:
        longest = 20 * MINUTE if rng.random() < 0.9 else 3 * HOUR
        until = min(end, until + SECOND * rng.randint(1, int(longest.total_seconds())))
        flight = SECOND * rng.randint(0, 40)
        advance(spec, until, since=since)
        advance(flown, until, since=since, flight=max(timedelta(), min(flight, until - since)))
        since = max(since, until - flight)
    advance(spec, NOON + 90 * HOUR, since=end)
    advance(flown, NOON + 90 * HOUR, since=since)
    at_once = replace(spec, root=tmp_path / "at once")
    advance(at_once, NOON + 90 * HOUR)
    assert tree(spec.root) == tree(at_once.root)
    assert contents(flown.root) == contents(at_once.root)  # a write that takes longer also ends later
    assert advance(at_once, NOON + 90 * HOUR) == ()


@pytest.mark.parametrize("flight", [timedelta(), 7 * SECOND])
def test_modification_times_are_never_after_the_sky_time(spec: InstrumentSpec, flight: timedelta) -> None:
    for until in (NOON, NOON + 4.5 * SECOND, NOON + 70 * SECOND):
        advance(spec, until, flight=flight)
        latest = max(mtime for mtime, _ in tree(spec.root).values())
        assert NOON.timestamp() - 11 < latest / 1e9 <= until.timestamp()


def test_only_written_files_get_the_given_modification_time(spec: InstrumentSpec) -> None:
    advance(spec, NOON)
    before = tree(spec.root)
    changes = advance(spec, NOON + MINUTE, mtimes=GIVEN)
    given = int(GIVEN.timestamp()) * 1_000_000_000 + 125_000_000
    for path, (mtime, _) in tree(spec.root).items():
        assert mtime == (given if path in kinds(changes) else before[path][0])
    after = tree(spec.root)
    assert advance(spec, NOON + MINUTE) == ()
    assert tree(spec.root) == after


def test_with_mtimes_clock_the_file_system_sets_the_times(only: Callable[..., InstrumentSpec], tmp_path: Path) -> None:
    (tmp_path / "mark").touch()
    spec = only("vaisalamet", "power")
    advance(spec, NOON, mtimes="clock")
    assert all(mtime >= (tmp_path / "mark").stat().st_mtime_ns for mtime, _ in tree(spec.root).values())


def test_in_flight_whole_and_rewritten_files_are_half_written(spec: InstrumentSpec, tmp_path: Path) -> None:
    whole = replace(spec, root=tmp_path / "whole")
    until = NOON + 7.5 * SECOND  # during the writes of ceilometer and power, before the first of the radar
    advance(spec, until, flight=10 * SECOND)
    advance(whole, until)
    expected, found = contents(whole.root), contents(spec.root)
    halves = {path for path in expected if found[path] != expected[path]}
    ceilometer = "cl61/gamb2le_depolarisation_lidar_ceilometer_aurora_20260818_115500.nc"
    assert halves == {ceilometer, POWER, VAISALA, LOGGER, SONIC}
    for path in (ceilometer, POWER):
        assert found[path] == expected[path][: len(expected[path]) // 2]
    for path in (VAISALA, LOGGER, SONIC):
        assert expected[path].startswith(found[path])
        assert not found[path].endswith(b"\n")
    assert kinds(advance(spec, until)) == dict.fromkeys(halves, "appended")
    assert contents(spec.root) == expected


def test_without_flight_no_line_is_ever_half_written(only: Callable[..., InstrumentSpec]) -> None:
    spec = only("vaisalamet", "asfs_logger", "asfs_fast_sonic", "power")
    rng, until = random.Random(7), NOON
    for _ in range(40):
        until += timedelta(milliseconds=rng.randint(1, 60_000))
        advance(spec, until)
        assert all(content.endswith(b"\n") for _, content in tree(spec.root).values())


def test_a_rewrite_takes_at_most_twenty_seconds_so_the_file_is_complete_in_between(
    only: Callable[..., InstrumentSpec],
) -> None:
    spec = only("power")
    advance(spec, NOON + 10 * SECOND, flight=HOUR)
    half = (spec.root / POWER).read_bytes()
    advance(spec, NOON + 40 * SECOND, flight=HOUR)
    assert (spec.root / POWER).read_bytes().startswith(half)
    assert (spec.root / POWER).read_bytes().count(b"\n") == 2 + 720


def test_half_written_and_damaged_files_are_repaired(only: Callable[..., InstrumentSpec]) -> None:
    spec = only("cl61", "vaisalamet")
    advance(spec, NOON)
    right = tree(spec.root)
    half, damaged = sorted(right)[5], VAISALA
    (spec.root / half).write_bytes(right[half][1][:100])
    (spec.root / damaged).write_bytes(b"x" + right[damaged][1][1:])
    assert kinds(advance(spec, NOON)) == {half: "appended", damaged: "rewritten"}
    assert tree(spec.root) == right


def test_a_stream_that_was_recovered_late_has_its_old_times(only: Callable[..., InstrumentSpec]) -> None:
    advance(only("radar"), NOON, mtimes=GIVEN)
    changes = advance(only("hatpro"), NOON)
    assert {change.stream for change in changes} == {"hatpro"}
    found = tree(only("hatpro").root)
    assert all(found[path][0] < NOON.timestamp() * 1e9 for path in kinds(changes))


def test_nothing_is_deleted_and_nothing_is_written_before_the_first_day(spec: InstrumentSpec) -> None:
    assert advance(replace(spec, unexpected=True), NOON - 13 * HOUR) == ()
    assert not spec.root.exists()
    advance(spec, NOON)
    paths = set(tree(spec.root))
    advance(spec, NOON - HOUR)
    assert set(tree(spec.root)) == paths


def test_without_a_number_of_days_the_days_never_end(only: Callable[..., InstrumentSpec]) -> None:
    spec = replace(only("power", "vaisalamet"), days=None)
    advance(spec, NOON + 36 * HOUR - SECOND)
    assert sorted(path.name for path in (spec.root / "power/level1").iterdir()) == [
        f"power_data_{day}.csv" for day in ("20260818", "20260819")
    ]
    changes = advance(spec, NOON + 37 * HOUR, since=NOON + 36 * HOUR - SECOND)
    assert kinds(changes) == {
        "power/level1/power_data_20260819.csv": "rewritten",
        "power/level1/power_data_20260820.csv": "new",
        "vaisalamet/vaisala_met_level0_20-08-2026.dat": "new",
    }


def test_times_must_be_utc_and_in_order(spec: InstrumentSpec) -> None:
    with pytest.raises(SpecError, match="until must be UTC"):
        advance(spec, NOON.replace(tzinfo=None))
    with pytest.raises(SpecError, match="since at or before until"):
        advance(spec, NOON, since=NOON + SECOND)
    with pytest.raises(SpecError, match="flight must be 0 or longer"):
        advance(spec, NOON, flight=-SECOND)
