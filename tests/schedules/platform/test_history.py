"""History is listed in batches of days, and a listing that ran out of time continues where it ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from aurora_platform.mirror.scan import scan
from aurora_platform.streams.classify import Directories, most_days_by_name
from aurora_platform.transport.listing import Listing, LocalSource
from schedules.reconcile import History, list_history
from tests.mirror.parts import FLAT, stream_of, write

ONE_DAY = timedelta(days=1)
TODAY = datetime.now(UTC).date()
LAST = TODAY - 3 * ONE_DAY  # the live window is two days and today
DAYS = 200
WITHIN = timedelta(seconds=30)


@dataclass
class TimedSource:
    """A real source, and a clock that goes on by ``seconds`` per listing."""

    seconds: float = 0.0
    now: float = 0.0
    named: list[Sequence[str]] = field(default_factory=list)

    def list(self, root: str, below: Sequence[str], without: Sequence[str] = (), named: Sequence[str] = ()) -> Listing:
        self.named.append(named)
        self.now += self.seconds
        return LocalSource().list(root, below, without, named)

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A flat directory with a file per day of history and of the live window."""
    root = tmp_path / "source"
    names = [f"met_{TODAY - n * ONE_DAY:%Y%m%d}_00.dat" for n in range(DAYS)]
    write(root, dict.fromkeys(names, b"x"))
    return root


def history(
    root: Path, monkeypatch: pytest.MonkeyPatch, source: TimedSource, newest: date | None = None, **changes: Any
) -> History:
    monkeypatch.setattr("schedules.reconcile.time", SimpleNamespace(monotonic=source.monotonic))
    stream = stream_of(root, FLAT, start=TODAY - (DAYS - 1) * ONE_DAY, **changes)
    return list_history(stream, source, root.parent / "local", WITHIN, newest)


def test_the_history_of_a_flat_stream_is_listed_in_batches_of_as_many_days_as_a_listing_can_name(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = TimedSource()
    found = history(root, monkeypatch, source)
    assert [len(named) for named in source.named] == [64, 64, 64, 13], "62, 62, 62 and 11 days, and two beside each"
    assert [day.day for day in found.incomplete] == [LAST - n * ONE_DAY for n in range(DAYS - 3)]
    assert found.continues_at is None
    assert found.summary == f"204 files listed from {TODAY - (DAYS - 1) * ONE_DAY} to {LAST}", (
        "197 days, and 7 beside a batch"
    )


@pytest.mark.parametrize("templates", range(1, 70, 4))
def test_a_batch_is_named_by_at_most_64_patterns(root: Path, templates: int) -> None:
    stream = stream_of(root, FLAT, day_names=[f"*_%Y%m%d_{n}" for n in range(templates)])
    most = most_days_by_name(stream)
    days = [LAST - n * ONE_DAY for n in range(most)]
    assert len(Directories(stream, days).name_patterns) == (most + 2) * templates * bool(most)
    assert not Directories(stream, [*days, LAST + ONE_DAY]).name_patterns


def test_a_history_that_runs_out_of_time_continues_at_the_day_where_it_ended(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newest, listed = None, []
    for _ in range(2):
        found = history(root, monkeypatch, TimedSource(seconds=16), newest)
        listed += [day.day for day in found.incomplete]
        newest = found.continues_at
    assert found.summary.startswith("76 files listed from "), "62 and 11 days, and 3 beside a batch"
    assert listed == [LAST - n * ONE_DAY for n in range(DAYS - 3)]
    assert newest is None


def test_a_batch_that_needs_more_than_a_ticks_time_does_not_keep_older_days_waiting(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_first(stream: Any, source: Any, raw_root: Any, days: Any, within: Any, held: Any) -> Any:
        survey = scan(stream, source, raw_root, days, within, held)
        survey.is_whole = len(source.named) > 1
        return survey

    monkeypatch.setattr("schedules.reconcile.scan", cut_first)
    found = history(root, monkeypatch, TimedSource(seconds=40))
    assert found.continues_at == LAST - 62 * ONE_DAY
    assert f"(incomplete from {LAST - 61 * ONE_DAY} to {LAST}: too many files for limits.look)" in found.summary


def test_a_flat_stream_without_day_names_is_listed_as_a_whole(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = TimedSource()
    found = history(root, monkeypatch, source, day_names=[])
    assert source.named == [()]
    assert [day.day for day in found.incomplete] == [LAST - n * ONE_DAY for n in range(DAYS - 3)]
