"""A finalized file that changes at its source: a revision within the window, and held back after it or in numbers."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from aurora_platform.archive.change_guard import held_files
from aurora_platform.archive.change_rule import MOST_OF_STREAM
from aurora_platform.mirror.scan import scan
from aurora_platform.transport.listing import LocalSource
from tests.archive.mirrored import OLD, OPEN, MirroredSite, mirrored_site, readable_bytes
from tests.archive.places import DAY, STREAM, name_of

Make = Callable[..., MirroredSite]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    return lambda changes: mirrored_site(tmp_path, changes)


def test_a_change_within_the_window_replaces_the_copies_and_the_archive_keeps_the_finalized_version(make: Make) -> None:
    site = make(OPEN)
    good = site.finalize_days(6)
    site.change([name_of(0)])
    assert site.mirror().total("copied") == 1
    site.push()
    assert site.verify_and_publish().report.days[0].verdict.is_final
    assert {*good.values(), b"of somebody else"} <= readable_bytes(site)
    finalization = site.records.finalizations(STREAM).read(DAY)
    assert finalization is not None
    assert finalization.revision == 2


def test_no_local_copy_is_replaced_while_the_archive_has_lost_its_finalized_version(make: Make) -> None:
    site = make(OPEN)
    good = site.finalize_days(6)
    site.place("gws", name_of(0)).unlink()
    site.flip("gws", name_of(1))
    site.verify_and_publish(full=True)
    site.change([name_of(0), name_of(1), name_of(2)])
    report = site.mirror()
    assert report.total("copied") == 1, "only the file that the archive has"
    assert "the local copy may be the only one" in next(iter(report.days[0].refused))
    assert {name: site.place("local", name).read_bytes() for name in good if name != name_of(2)} == {
        name: content for name, content in good.items() if name != name_of(2)
    }
    assert set(good.values()) <= readable_bytes(site)
    site.place("gws", name_of(1)).unlink()  # as before a repair
    site.verify_and_publish(full=True)
    site.push()
    site.verify_and_publish()
    assert site.mirror().total("copied") == 2
    site.push()
    assert site.verify_and_publish().report.days[0].verdict.is_final
    assert set(good.values()) <= readable_bytes(site)


def test_a_file_that_changes_again_before_its_day_is_finalized_again_is_replaced_again(make: Make) -> None:
    site = make(OPEN)
    good = site.finalize_days(6)
    site.write("source", name_of(0), b"the first change", number=100)
    site.mirror()
    site.push()
    site.write("source", name_of(0), b"the second change", number=200)
    assert not site.verify_and_publish().report.days[0].verdict.is_final
    assert site.mirror().total("copied") == 1
    site.push()
    assert site.verify_and_publish().report.days[0].verdict.is_final
    assert site.place("gws", name_of(0)).read_bytes() == b"the second change"
    assert set(good.values()) <= readable_bytes(site)


def test_a_later_change_is_held_back_from_the_local_copy_and_from_the_archive(make: Make) -> None:
    site = make(OLD)
    good = site.finalize_days(6)
    site.change([name_of(0)])
    for _ in ("before a verification", "after it"):
        report = site.mirror()
        [(reason, count)] = report.days[0].refused.items()
        assert (report.total("copied"), count.total) == (0, 1)
        assert "held back" in reason
        site.push()
        assert {name: site.place("local", name).read_bytes() for name in good} == good
        assert {name: site.place("gws", name).read_bytes() for name in good} == good
        found = site.verify_and_publish().report.days[0].verdict
        assert (found.is_final, found.held, found.first_held, found.problem_count) == (True, 1, name_of(0), 0)
        assert not found.has_all, "nothing of the stream is pruned meanwhile"


def test_a_held_change_starts_no_run_at_the_next_scan(make: Make) -> None:
    site = make(OLD)
    site.finalize_days(6)
    site.change([name_of(0)])
    stream, root = site.site.streams[STREAM], site.place("local")
    assert scan(stream, LocalSource(), root, [DAY]).missing == 1
    site.mirror()
    survey = scan(stream, LocalSource(), root, [DAY], held=held_files(site.site, STREAM))
    assert (survey.missing, survey.refusals) == (0, 1)
    site.change([name_of(0), name_of(1)])
    assert scan(stream, LocalSource(), root, [DAY], held=held_files(site.site, STREAM)).missing == 1


@pytest.mark.parametrize(
    ("files", "changed", "are_held"), [(6, 3, False), (6, 4, True), (100, 5, False), (100, 6, True)]
)
def test_many_changes_of_a_day_are_all_held_back_whatever_their_age(
    make: Make, files: int, changed: int, are_held: bool
) -> None:
    site = make(OPEN)
    good = site.finalize_days(files)
    site.change(sorted(good)[:changed])
    report = site.mirror()
    assert report.total("copied") == (0 if are_held else changed)
    if are_held:
        [(reason, _)] = report.days[0].refused.items()
        assert f"{changed} of {files} finalized files of {DAY} changed at the source" in reason
        assert {name: site.place("local", name).read_bytes() for name in good} == good
        found = site.verify_and_publish().report.days[0].verdict
        assert (found.is_final, found.held) == (True, changed)


def test_changes_that_come_a_few_at_a_time_are_counted_together(make: Make) -> None:
    site = make(OPEN)
    good = site.finalize_days(6)
    names = sorted(good)
    site.change(names[:2])
    assert site.mirror().total("copied") == 2
    site.change(names[:5])
    assert site.mirror().total("copied") == 0
    site.push()
    site.verify_and_publish()
    assert site.push().held.total == 2, "those that were copied before are not sent either"
    assert {name: site.place("gws", name).read_bytes() for name in good} == good


def test_changes_spread_over_many_days_are_held_back_by_their_number(make: Make) -> None:
    days = [date(2026, 3, 5) + timedelta(days=n) for n in range(18)]
    site = make(OPEN)
    good = site.finalize_days(3, *days)
    assert len(good) > MOST_OF_STREAM
    for day in days:
        site.change([name_of(number, day) for number in range(3)], day)
    report = site.mirror(*days)
    assert report.total("copied") == 0
    assert "54 finalized files of the stream changed" in next(iter(report.days[0].refused))
    assert {name: site.place("local", name).read_bytes() for name in good} == good


def test_other_bytes_with_the_same_mtime_are_named_and_withdraw_no_finalization(make: Make) -> None:
    site = make(OPEN)
    good = site.finalize_days(6)
    site.flip("source", name_of(0))
    found = site.verify_and_publish(full=True).report.days[0].verdict
    assert (found.is_final, found.held, found.problem_count) == (True, 1, 0)
    assert {name: site.place("gws", name).read_bytes() for name in good} == good


def test_a_change_that_the_source_takes_back_is_settled(make: Make) -> None:
    site = make(OLD)
    good = site.finalize_days(6)
    status = site.place("source", name_of(0)).stat()
    site.change([name_of(0)])
    site.mirror()
    site.verify_and_publish()
    site.place("source", name_of(0)).write_bytes(good[name_of(0)])
    os.utime(site.place("source", name_of(0)), ns=(status.st_atime_ns, status.st_mtime_ns))
    assert site.mirror().total("refused_count") == 0
    assert site.verify_and_publish().report.days[0].verdict.has_all
    assert held_files(site.site, STREAM) == {}


def test_a_damaged_finalization_holds_back_what_would_replace_a_file_of_its_day_only(make: Make) -> None:
    other = date(2026, 3, 6)
    site = make(OPEN)
    good = site.finalize_days(6, DAY, other)
    site.records.finalizations(STREAM).file(DAY).write_bytes(b"{")
    site.change([name_of(0)])
    site.change([name_of(0, other)], other)
    report = site.mirror(DAY, other)
    assert [day.copied for day in report.days] == [0, 1]
    assert "not a finalization" in next(iter(report.days[0].refused))
    assert site.place("local", name_of(0)).read_bytes() == good[name_of(0)]


def test_a_new_file_and_a_file_of_a_day_that_is_not_finalized_are_copied_as_before(make: Make) -> None:
    site = make(OLD)
    site.finalize_days(6)
    later = datetime.now(UTC).date() - timedelta(days=1)
    site.fill(2, later, sides=["source"])
    site.mirror(later)
    site.change([name_of(0, later)], later)
    site.write("source", name_of(50), b"recovered late")
    assert [day.copied for day in site.mirror(DAY, later).days] == [1, 1]


def test_a_file_written_again_on_another_day_by_its_mtime_is_still_protected(make: Make) -> None:
    site = make(OLD | {"day": "mtime"})
    good = site.finalize_days(6)
    later = DAY + timedelta(days=3)
    site.write("source", name_of(0), b"of somebody else", later)
    site.mirror(later)
    site.verify_and_publish(DAY, later)
    site.push_days(DAY, later)
    assert {name: site.place("gws", name).read_bytes() for name in good} == good
