"""Files whose day was finalized again with a new version: they count with the changes that come after them."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from aurora_platform.archive.acceptance import held_changes
from aurora_platform.archive.change_rule import Change, ChangeState
from aurora_platform.archive.fixity_record import FixityRecord
from aurora_platform.fs.versions import FileVersion
from tests.archive.mirrored import OPEN, MirroredSite, mirrored_site, readable_bytes
from tests.archive.places import DAY, STREAM, name_of

Make = Callable[..., MirroredSite]
OLD_VERSION, NEW_VERSION = FileVersion(10, 10**18), FileVersion(20, 2 * 10**18)


@pytest.fixture
def site(tmp_path: Path) -> MirroredSite:
    return mirrored_site(tmp_path, OPEN)


def revise(site: MirroredSite, names: list[str], day: date = DAY) -> int:
    """Change files at the source, mirror, push and finalize again; returns how many were copied."""
    for name in names:
        site.write("source", name, b"of somebody else", day, number=time.time_ns() % 10**9)
    copied = site.mirror(day).total("copied")
    site.push_days(day)
    assert site.verify_and_publish(day).report.days[0].verdict.is_final
    return copied


@pytest.mark.parametrize("verified_again", [0, 2])
def test_changes_are_counted_with_those_of_before_their_day_was_finalized_again(
    site: MirroredSite, verified_again: int
) -> None:
    good = site.finalize_days(30)
    names = sorted(good)
    assert revise(site, names[:3]) == 3
    for _ in range(verified_again):
        assert site.verify_and_publish().report.days[0].verdict.has_all
    assert revise(site, names[3:6]) == 0
    with site.records.evidence() as evidence:
        decisions = evidence.changes.of_stream(STREAM)
    assert {decisions[name].why for name in names[3:6]} == {f"6 of 30 finalized files of {DAY} changed at the source"}
    for name in names[3:]:
        assert site.place("local", name).read_bytes() == good[name]
        assert site.place("gws", name).read_bytes() == good[name]


def test_changes_one_at_a_time_stop_at_the_number_that_may_change_at_once(site: MirroredSite) -> None:
    names = sorted(site.finalize_days(100))
    assert [revise(site, [name]) for name in names[:7]] == [1, 1, 1, 1, 1, 0, 0]


def test_a_stream_that_corrects_a_few_files_of_each_of_many_days_is_not_held_back(site: MirroredSite) -> None:
    days = [date(2026, 3, 5) + timedelta(days=n) for n in range(17)]
    good = site.finalize_days(3, *days)
    for day in days[:16]:
        site.change([name_of(number, day) for number in range(3)], day)
    assert site.mirror(*days).total("copied") == 48
    site.push_days(*days)
    for _ in ("finalized again", "settled"):
        assert all(day.verdict.is_final for day in site.verify_and_publish(*days).report.days)
    last = [name_of(number, days[16]) for number in range(3)]
    assert revise(site, last, days[16]) == 3
    assert set(good.values()) <= readable_bytes(site)


def test_a_file_that_is_revised_again_counts_once_and_its_day_is_compared_no_more_often(site: MirroredSite) -> None:
    names = sorted(site.finalize_days(30))
    for _ in range(3):
        assert revise(site, names[:3]) == 3
    site.verify_and_publish()
    for _ in range(2):
        assert site.verify_and_publish().report.compared_days == []
    with site.records.evidence() as evidence:
        assert evidence.changes.of_stream(STREAM) == {}
        assert evidence.changes.revised(STREAM, DAY).keys() == set(names[:3])


def test_a_further_change_that_the_source_takes_back_lets_nothing_be_forgotten(site: MirroredSite) -> None:
    names = sorted(site.finalize_days(30))
    assert revise(site, names[:3]) == 3
    mtime_ns = site.place("source", names[0]).stat().st_mtime_ns
    site.write("source", names[0], b"something else again", number=1)
    assert site.mirror().total("copied") == 1
    site.write("source", names[0], b"of somebody else", number=mtime_ns % 10**9)
    assert site.mirror().total("copied") == 1
    assert site.verify_and_publish().report.days[0].verdict.is_final
    assert revise(site, names[3:4]) == 0


def test_a_change_that_is_taken_back_before_its_day_is_finalized_with_it_does_not_count(site: MirroredSite) -> None:
    good = site.finalize_days(30)
    names = sorted(good)
    before = site.place("source", names[0]).stat().st_mtime_ns
    site.change(names[:1])
    assert site.mirror().total("copied") == 1
    site.write("source", names[0], good[names[0]], number=before % 10**9)
    site.mirror()
    assert site.verify_and_publish().report.days[0].verdict.is_final
    assert revise(site, names[1:4]) == 3


def test_a_change_that_an_operator_accepts_does_not_count(site: MirroredSite) -> None:
    names = sorted(site.finalize_days(30))
    assert revise(site, names[:3]) == 3
    assert revise(site, names[3:4]) == 0
    with site.records.verification(STREAM, site.places()) as verification:
        held = held_changes(verification, DAY)
        verification.evidence.changes.accept(STREAM, [change.decision for change in held])
    assert [change.decision.change.path for change in held] == [names[3]]
    assert site.mirror().total("copied") == 1
    site.push()
    site.verify_and_publish()
    assert site.verify_and_publish().report.days[0].verdict.has_all
    with site.records.evidence() as evidence:
        assert evidence.changes.of_stream(STREAM) == {}
        assert evidence.changes.revised(STREAM, DAY) == {}, "somebody has looked at this day"
    assert revise(site, names[4:5]) == 1


@pytest.mark.parametrize(("first_revisable", "counted"), [(DAY, {"a.csv": DAY}), (DAY + timedelta(days=1), {})])
def test_a_revised_file_counts_as_long_as_its_day_is_within_the_window(
    site: MirroredSite, first_revisable: date, counted: dict[str, date]
) -> None:
    with site.records.evidence() as evidence:
        changes = evidence.changes
        changes.store(STREAM, [Change("a.csv", DAY, NEW_VERSION)], {DAY: 6}, DAY)
        changes.store(STREAM, [], {DAY: 6}, first_revisable, [DAY], {DAY: {"a.csv": FixityRecord(NEW_VERSION)}})
        assert changes.of_stream(STREAM) == {}
        assert changes.revised(STREAM, date.min) == counted


def test_bytes_that_became_right_again_are_no_revision(site: MirroredSite) -> None:
    with site.records.evidence() as evidence:
        changes = evidence.changes
        change = Change("a.csv", DAY, OLD_VERSION, is_same_version=True)
        changes.store(STREAM, [change], {DAY: 6}, DAY)
        changes.store(STREAM, [], {DAY: 6}, DAY, [DAY], {DAY: {"a.csv": FixityRecord(OLD_VERSION)}})
        assert (changes.of_stream(STREAM), changes.revised(STREAM, date.min)) == ({}, {})


def test_a_decision_is_not_settled_by_a_listing_from_before_it(site: MirroredSite) -> None:
    began = datetime.now(UTC).timestamp() - 3600
    proved = {DAY: {"a.csv": FixityRecord(OLD_VERSION)}}
    with site.records.evidence() as evidence:
        changes = evidence.changes
        changes.store(STREAM, [Change("a.csv", DAY, NEW_VERSION)], {DAY: 6}, DAY)
        changes.store(STREAM, [], {DAY: 6}, DAY, [DAY], proved, began)
        assert changes.of_stream(STREAM)["a.csv"].state is ChangeState.REVISION
        changes.store(STREAM, [], {DAY: 6}, DAY, [DAY], proved, datetime.now(UTC).timestamp())
        assert changes.of_stream(STREAM) == {}
