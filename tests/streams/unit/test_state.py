"""Recorded state of days at their source: the latest scan is kept, and a malformed file is no error."""

import json
import random
import resource
import time
from datetime import date, timedelta
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aurora_platform.streams.state import DayAtSource, read_days_at_source, record_days_at_source
from tests.patience import patient

DAY = date(2026, 8, 18)
NEXT = DAY + timedelta(days=1)
CLOCK = 1_787_000_000 * 10**9
fork = get_context("fork")
few_examples = settings(max_examples=150)


@pytest.fixture
def state_file(tmp_path: Path) -> Path:
    """The file of the records; its directory does not exist yet."""
    return tmp_path / "state" / "sources" / "wxcam.json"


def test_recorded_days_are_read_back(state_file: Path) -> None:
    assert read_days_at_source(state_file) == {}
    state = {DAY: DayAtSource(CLOCK + 1, 2, 3), NEXT: DayAtSource(CLOCK, 0, 0)}
    record_days_at_source(state_file, state)
    assert read_days_at_source(state_file) == state
    assert json.loads(state_file.read_text()) == {"2026-08-18": [CLOCK + 1, 2, 3], "2026-08-19": [CLOCK, 0, 0]}


@pytest.mark.parametrize(
    ("day_at_source", "is_complete"),
    [
        (DayAtSource(1, 0, 0), True),
        (DayAtSource(1, 1, 0), False),
        (DayAtSource(1, 0, 1), False),
        (DayAtSource(1, 2, 2), False),
    ],
)
def test_a_day_is_complete_where_nothing_was_missing_and_nothing_unsettled(
    day_at_source: DayAtSource, is_complete: bool
) -> None:
    assert day_at_source.is_complete is is_complete


@few_examples
@given(st.permutations(range(6)))
def test_the_latest_scan_of_a_day_is_kept_in_any_order_of_recording(
    tmp_path_factory: pytest.TempPathFactory, order: list[int]
) -> None:
    state_file = tmp_path_factory.getbasetemp() / "in_any_order.json"
    state_file.unlink(missing_ok=True)
    for number in order:
        record_days_at_source(state_file, {DAY: DayAtSource(CLOCK + number, number, 0)})
    assert read_days_at_source(state_file) == {DAY: DayAtSource(CLOCK + 5, 5, 0)}


def test_of_two_scans_within_a_second_the_last_recorded_is_kept(state_file: Path) -> None:
    # A host lists its clock in whole seconds: a sensor before a run and the run may have the same clock.
    record_days_at_source(state_file, {DAY: DayAtSource(CLOCK, 1, 0)})
    record_days_at_source(state_file, {DAY: DayAtSource(CLOCK, 0, 0)})
    assert read_days_at_source(state_file)[DAY].is_complete


def test_recording_some_days_keeps_the_records_of_others(state_file: Path) -> None:
    record_days_at_source(state_file, {DAY: DayAtSource(CLOCK, 0, 0)})
    record_days_at_source(state_file, {NEXT: DayAtSource(CLOCK - 5, 1, 1)})
    record_days_at_source(state_file, {})
    assert read_days_at_source(state_file) == {DAY: DayAtSource(CLOCK, 0, 0), NEXT: DayAtSource(CLOCK - 5, 1, 1)}


def test_the_file_does_not_grow_with_the_years(state_file: Path) -> None:
    for number in range(400):
        record_days_at_source(state_file, {DAY + timedelta(days=number): DayAtSource(CLOCK + number, 0, 0)})
    kept = read_days_at_source(state_file)
    assert sorted(kept) == [DAY + timedelta(days=number) for number in range(340, 400)]
    assert state_file.stat().st_size < 4000


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["2026-08-18", "soon", ""]), inner, max_size=3)
    ),
    max_leaves=8,
)
ROWS = st.dictionaries(st.just("2026-08-18"), JSON | st.lists(JSON, min_size=3, max_size=3), min_size=1)


@few_examples
@given(st.binary(max_size=40) | (JSON | ROWS).map(lambda value: json.dumps(value).encode()))
@example(b"")
@example(b"{}")
@example(b'{"2026-08-18": [1, 2')  # cut off
@example(b'{"2026-08-18": [1e999, 0, 0]}')
@example(b'{"2026-08-18": [NaN, 0, 0]}')
@example(b'{"2026-08-18": [' + b"9" * 5000 + b", 0, 0]}")
@example(b'{"2026-08-18": ' + b"[" * 2000)
@example(b'{"2026-02-31": [1, 0, 0]}')
@example(b"\x00" * 4096)  # what a power cut may leave
def test_any_content_of_the_file_is_ignored_and_overwritten(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    state_file = tmp_path_factory.getbasetemp() / "garbage.json"
    state_file.write_bytes(content)
    recorded = read_days_at_source(state_file)
    assert all(isinstance(day, date) and isinstance(state, DayAtSource) for day, state in recorded.items())
    record_days_at_source(state_file, {NEXT: DayAtSource(CLOCK, 0, 0)})
    assert read_days_at_source(state_file)[NEXT] == DayAtSource(CLOCK, 0, 0)
    assert json.loads(state_file.read_bytes())["2026-08-19"] == [CLOCK, 0, 0]


def write_without_pause(state_file: Path, seed: int, stop: Event) -> None:
    chance = random.Random(seed)
    while not stop.is_set():
        days = [DAY + timedelta(days=n) for n in chance.sample(range(60), 30)]
        # Three equal numbers: a mixture of two writers would be found.
        number = chance.randrange(10**6)
        record_days_at_source(state_file, {day: DayAtSource(number, number, number) for day in days})


def test_concurrent_writers_leave_a_complete_file_at_every_moment(state_file: Path) -> None:
    record_days_at_source(state_file, {DAY: DayAtSource(0, 0, 0)})
    stop = fork.Event()
    writers = [fork.Process(target=write_without_pause, args=(state_file, seed, stop)) for seed in range(4)]
    for writer in writers:
        writer.start()
    versions = set()
    try:
        while len(versions) < 20:
            assert all(writer.is_alive() for writer in writers)
            content = state_file.read_bytes()
            rows = json.loads(content)
            assert rows
            assert all(first == second == third for first, second, third in rows.values())
            versions.add(content)
    finally:
        stop.set()
        for writer in writers:
            writer.join(patient(60))
    assert [writer.exitcode for writer in writers] == [0] * 4
    assert [entry.name for entry in state_file.parent.iterdir()] == [state_file.name]


def record_on_a_full_disk(state_file: Path) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
    with pytest.raises(OSError, match="File too large"):
        record_days_at_source(state_file, {DAY: DayAtSource(CLOCK + 1, 0, 0)})


def test_a_failed_write_is_an_error_and_the_old_record_stays(state_file: Path) -> None:
    record_days_at_source(state_file, {DAY: DayAtSource(CLOCK, 1, 1)})
    writer = fork.Process(target=record_on_a_full_disk, args=(state_file,))  # the limit is for that process only
    writer.start()
    writer.join()
    assert writer.exitcode == 0
    assert read_days_at_source(state_file) == {DAY: DayAtSource(CLOCK, 1, 1)}
    assert [entry.name for entry in state_file.parent.iterdir()] == [state_file.name]


def test_the_record_of_a_clock_that_was_ahead_is_replaced(tmp_path: Path) -> None:
    now = time.time_ns()
    record_days_at_source(tmp_path / "wxcam.json", {DAY: DayAtSource(now + 3600 * 10**9, 0, 0)})
    record_days_at_source(tmp_path / "wxcam.json", {DAY: DayAtSource(now, 1, 0)})
    assert read_days_at_source(tmp_path / "wxcam.json")[DAY] == DayAtSource(now, 1, 0)
