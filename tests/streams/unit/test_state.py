"""When days were last seen on their host: the latest look is kept, and nothing in the file stops anybody."""

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
some = settings(max_examples=150)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where it is remembered; its directory is not there yet."""
    return tmp_path / "state" / "sources" / "wxcam.json"


def test_what_was_seen_is_remembered(place: Path) -> None:
    assert read_days_at_source(place) == {}
    seen = {DAY: DayAtSource(CLOCK + 1, 2, 3), NEXT: DayAtSource(CLOCK, 0, 0)}
    record_days_at_source(place, seen)
    assert read_days_at_source(place) == seen
    assert json.loads(place.read_text()) == {"2026-08-18": [CLOCK + 1, 2, 3], "2026-08-19": [CLOCK, 0, 0]}


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


@some
@given(st.permutations(range(6)))
def test_the_latest_look_at_a_day_is_kept_in_whatever_order_they_are_told(
    tmp_path_factory: pytest.TempPathFactory, order: list[int]
) -> None:
    place = tmp_path_factory.getbasetemp() / "in_any_order.json"
    place.unlink(missing_ok=True)
    for number in order:
        record_days_at_source(place, {DAY: DayAtSource(CLOCK + number, number, 0)})
    assert read_days_at_source(place) == {DAY: DayAtSource(CLOCK + 5, 5, 0)}


def test_of_two_looks_within_a_second_the_one_that_was_told_last_is_kept(place: Path) -> None:
    # A host tells its clock in whole seconds: the sensor that missed a file and the run that brought it may share one.
    record_days_at_source(place, {DAY: DayAtSource(CLOCK, 1, 0)})
    record_days_at_source(place, {DAY: DayAtSource(CLOCK, 0, 0)})
    assert read_days_at_source(place)[DAY].is_complete


def test_a_look_at_some_days_leaves_what_is_known_of_others(place: Path) -> None:
    record_days_at_source(place, {DAY: DayAtSource(CLOCK, 0, 0)})
    record_days_at_source(place, {NEXT: DayAtSource(CLOCK - 5, 1, 1)})
    record_days_at_source(place, {})
    assert read_days_at_source(place) == {DAY: DayAtSource(CLOCK, 0, 0), NEXT: DayAtSource(CLOCK - 5, 1, 1)}


def test_the_file_does_not_grow_with_the_years(place: Path) -> None:
    for number in range(400):
        record_days_at_source(place, {DAY + timedelta(days=number): DayAtSource(CLOCK + number, 0, 0)})
    kept = read_days_at_source(place)
    assert sorted(kept) == [DAY + timedelta(days=number) for number in range(340, 400)]
    assert place.stat().st_size < 4000


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["2026-08-18", "soon", ""]), inner, max_size=3)
    ),
    max_leaves=8,
)
ROWS = st.dictionaries(st.just("2026-08-18"), JSON | st.lists(JSON, min_size=3, max_size=3), min_size=1)


@some
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
def test_whatever_is_in_the_file_stops_nobody_and_is_written_over(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    place = tmp_path_factory.getbasetemp() / "garbage.json"
    place.write_bytes(content)
    known = read_days_at_source(place)
    assert all(isinstance(day, date) and isinstance(seen, DayAtSource) for day, seen in known.items())
    record_days_at_source(place, {NEXT: DayAtSource(CLOCK, 0, 0)})
    assert read_days_at_source(place)[NEXT] == DayAtSource(CLOCK, 0, 0)
    assert json.loads(place.read_bytes())["2026-08-19"] == [CLOCK, 0, 0]


def write_without_pause(place: Path, seed: int, stop: Event) -> None:
    chance = random.Random(seed)
    while not stop.is_set():
        days = [DAY + timedelta(days=n) for n in chance.sample(range(60), 30)]
        # Three numbers that belong together: a mixture of two writers' would be seen.
        number = chance.randrange(10**6)
        record_days_at_source(place, {day: DayAtSource(number, number, number) for day in days})


def test_of_writers_at_the_same_time_one_leaves_a_whole_file_at_every_moment(place: Path) -> None:
    record_days_at_source(place, {DAY: DayAtSource(0, 0, 0)})
    stop = fork.Event()
    writers = [fork.Process(target=write_without_pause, args=(place, seed, stop)) for seed in range(4)]
    for writer in writers:
        writer.start()
    versions = set()
    try:
        while len(versions) < 20:
            assert all(writer.is_alive() for writer in writers)
            content = place.read_bytes()
            rows = json.loads(content)
            assert rows
            assert all(one == two == three for one, two, three in rows.values())
            versions.add(content)
    finally:
        stop.set()
        for writer in writers:
            writer.join(patient(60))
    assert [writer.exitcode for writer in writers] == [0] * 4
    assert [path.name for path in place.parent.iterdir()] == [place.name]


def remember_on_a_full_disk(place: Path) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
    with pytest.raises(OSError, match="File too large"):
        record_days_at_source(place, {DAY: DayAtSource(CLOCK + 1, 0, 0)})


def test_what_cannot_be_written_is_an_error_and_what_was_known_stays(place: Path) -> None:
    record_days_at_source(place, {DAY: DayAtSource(CLOCK, 1, 1)})
    writer = fork.Process(target=remember_on_a_full_disk, args=(place,))  # the limit is for this process alone
    writer.start()
    writer.join()
    assert writer.exitcode == 0
    assert read_days_at_source(place) == {DAY: DayAtSource(CLOCK, 1, 1)}
    assert [path.name for path in place.parent.iterdir()] == [place.name]


def test_a_clock_that_was_far_ahead_once_does_not_have_the_last_word(tmp_path: Path) -> None:
    now = time.time_ns()
    record_days_at_source(tmp_path / "wxcam.json", {DAY: DayAtSource(now + 3600 * 10**9, 0, 0)})
    record_days_at_source(tmp_path / "wxcam.json", {DAY: DayAtSource(now, 1, 0)})
    assert read_days_at_source(tmp_path / "wxcam.json")[DAY] == DayAtSource(now, 1, 0)
