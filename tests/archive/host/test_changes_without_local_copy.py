"""A finalized file that changes at its source where it has no local copy, or while it is copied."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from aurora_platform.archive.change_guard import held_files
from aurora_platform.archive.fixity_record import FixityRecord
from aurora_platform.fs.versions import FileVersion
from aurora_platform.mirror.scan import scan
from aurora_platform.transport.listing import LocalSource
from tests.archive.mirrored import OLD, OPEN, MirroredSite, mirrored_site, readable_bytes
from tests.archive.places import DAY, STREAM, name_of

Make = Callable[..., MirroredSite]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    return lambda changes: mirrored_site(tmp_path, changes)


def retire(site: MirroredSite, name: str) -> None:
    """Delete a local copy as retention does."""
    place = site.place("local", name)
    with site.records.evidence() as evidence:
        sha256 = evidence.records_of(STREAM, name)["local"].sha256
        evidence.release(STREAM, DAY, name, FixityRecord(FileVersion.of(place.stat()), sha256))
    place.unlink()


@pytest.mark.parametrize("is_retired", [True, False])
def test_a_later_change_is_held_back_where_the_local_copy_was_deleted(make: Make, is_retired: bool) -> None:
    site = make(OLD)
    good = site.finalize_days(6)
    retire(site, name_of(0)) if is_retired else site.place("local", name_of(0)).unlink()
    site.change([name_of(0)])
    for _ in ("before a verification", "after it"):
        report = site.mirror()
        [(reason, count)] = report.days[0].refused.items()
        assert (report.total("copied"), count.total) == (0, 1)
        assert "held back" in reason
        site.push()
        verdict = site.verify_and_publish().report.days[0].verdict
        assert not is_retired or (verdict.is_final, verdict.held, verdict.gaps) == (True, 1, [])
    assert not site.place("local", name_of(0)).exists()
    assert {name: site.place("gws", name).read_bytes() for name in good} == good
    survey = scan(
        site.site.streams[STREAM], LocalSource(), site.place("local"), [DAY], held=held_files(site.site, STREAM)
    )
    assert (survey.missing, survey.refusals) == (0, 1)


def test_many_changes_are_held_back_also_where_no_local_copy_is_left(make: Make) -> None:
    site = make(OPEN)
    good = site.finalize_days(6)
    for name in good:
        site.place("local", name).unlink()
    site.change(sorted(good)[:4])
    assert site.mirror().total("copied") == 2
    assert {name: site.place("local", name).exists() for name in good} == {
        name: name in sorted(good)[4:] for name in good
    }


def test_local_copies_that_were_lost_come_back_in_their_finalized_version(make: Make) -> None:
    site = make(OLD)
    good = site.finalize_days(6)
    for name in good:
        site.place("local", name).unlink()
    assert site.mirror().total("copied") == 6
    assert {name: site.place("local", name).read_bytes() for name in good} == good


@pytest.mark.parametrize("evidence_of", ["archive", "released copy"])
def test_a_file_without_local_copy_that_is_written_on_another_day_by_its_mtime_is_held_back(
    make: Make, evidence_of: str
) -> None:
    site = make(OLD | {"day": "mtime"})
    site.finalize_days(6)
    retire(site, name_of(0))
    if evidence_of == "released copy":
        site.place("gws", name_of(0)).unlink()
        site.verify_and_publish()
    later = DAY + timedelta(days=3)
    site.write("source", name_of(0), b"of somebody else", later)
    report = site.mirror(later)
    assert report.total("copied") == 0
    assert "held back" in next(iter(report.days[0].refused))
    site.write("source", name_of(50), b"a new file", later)
    assert site.mirror(later).total("copied") == 1


@pytest.mark.parametrize("is_local", [True, False])
@pytest.mark.parametrize("append", [True, False])
def test_a_version_that_came_after_the_decision_replaces_no_finalized_copy(
    make: Make, is_local: bool, append: bool
) -> None:
    site = make(OPEN | {"settle": "0s", "append": append})
    good = site.finalize_days(6)
    if not is_local:
        site.place("local", name_of(0)).unlink()
    else:
        site.write("source", name_of(0), b"the version that is decided about", number=100)
    longer = good[name_of(0)] * 2
    report = site.mirror(change=lambda: site.write("source", name_of(0), longer, number=200))
    assert (report.total("copied"), report.days[0].unsettled.total) == (0, 1)
    kept = {name: site.place("local", name).read_bytes() for name in good if is_local or name != name_of(0)}
    assert kept.items() <= good.items()
    assert site.place("local", name_of(0)).exists() is is_local
    assert site.mirror().total("copied") == 1
    assert longer in readable_bytes(site)


def test_a_file_of_a_day_that_is_not_finalized_is_copied_in_the_version_that_it_has_by_then(make: Make) -> None:
    site = make(OPEN | {"settle": "0s"})
    site.write("source", name_of(0), b"first")
    report = site.mirror(change=lambda: site.write("source", name_of(0), b"first and more", number=200))
    assert report.total("copied") == 1
    assert site.place("local", name_of(0)).read_bytes() == b"first and more"
