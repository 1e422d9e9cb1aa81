"""Evidence of another time, location or clock, or incomplete evidence, proves nothing."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from aurora_platform.archive import backlog
from aurora_platform.archive.prune_plan import plan_prune
from aurora_platform.archive.stores import Records
from aurora_platform.archive.verify_and_publish import verify_and_publish
from aurora_platform.archive.verify_days import Place
from aurora_platform.layout import SIDES, Layout, Side
from aurora_platform.transport.checksums import Checksum, LocalHasher
from aurora_platform.transport.listing import LocalSource
from tests.archive.places import DAY, STREAM, Observatory, name_of

A_DAY = 86400
TODAY = datetime.now(UTC).date()


@pytest.fixture
def observatory(tmp_path: Path) -> Observatory:
    return Observatory(tmp_path)


def database(observatory: Observatory) -> sqlite3.Connection:
    return sqlite3.connect(Layout.of(observatory.site).fixity)


class Dies:
    """A hasher that is killed while it reads."""

    def checksums(self, root: str, paths: Sequence[str]) -> Iterator[Checksum]:
        yield next(LocalHasher().checksums(root, paths))
        raise RuntimeError("killed")


@pytest.mark.parametrize("name", [f"met_{DAY:%Y%m%d}_\t.csv", f"met_{DAY:%Y%m%d}_\\[.csv"])
def test_a_refused_file_of_the_source_keeps_its_day_open_and_its_stream_unprunable(
    observatory: Observatory, name: str
) -> None:
    observatory.fill()
    observatory.write("source", f"met_{TODAY + timedelta(days=9):%Y%m%d}.csv", b"of a day in the future")
    (observatory.place("source") / "newest.csv").symlink_to("anything")
    assert observatory.verify_all().plan.candidates, "an entry that is not a file of a day opens no day"
    observatory.write("source", name, b"not to be copied")
    outcome = observatory.verify_all()
    verdict = next(found.verdict for found in outcome.report.days if found.day == DAY)
    assert (verdict.refused, verdict.problem_count, verdict.is_final) == (1, 0, False)
    assert "1 refused, the first met_" in verdict.sentence()
    finalization = observatory.records.finalizations(STREAM).read(DAY)
    assert finalization is not None
    assert (finalization.complete, finalization.why[:12]) == (False, "refused: met")
    assert outcome.plan.candidates == ()
    assert f"the first {DAY}: refused: met_" in outcome.plan.why


def test_a_file_that_day_names_does_not_match_keeps_its_day_open(tmp_path: Path) -> None:
    observatory = Observatory(tmp_path, {"day_names": ["met_%Y%m%d_*"]})
    observatory.fill()
    assert observatory.verify_and_publish().report.days[0].verdict.is_final
    # `day` puts it on that day, but `day_names` does not match it, so the mirror never copied it.
    observatory.write("source", f"met_{DAY:%Y%m%d}.csv", b"never mirrored")
    verdict = observatory.verify_and_publish().report.days[0].verdict
    assert (verdict.refused, verdict.is_final) == (1, False)
    assert "its name does not match day_names of its day" in verdict.sentence()


@pytest.mark.parametrize("side", ["local", "gws"])
def test_a_streams_directory_may_be_a_symlink_to_another_disk(observatory: Observatory, side: Side) -> None:
    observatory.fill()
    place = observatory.place(side)
    place.rename(observatory.home / "other_disk")
    place.symlink_to(observatory.home / "other_disk")
    assert observatory.verify_and_publish().report.days[0].verdict.is_final


def test_a_clock_of_the_instrument_that_is_ahead_does_not_end_a_day(tmp_path: Path) -> None:
    observatory = Observatory(tmp_path, {"start": str(TODAY)})
    observatory.fill(3, day=TODAY)
    written = int(time.time()) - 7200
    for side in SIDES:
        for place in observatory.place(side).rglob("*.csv"):
            os.utime(place, (written, written))
    ahead = LocalSource(lambda: time.time_ns() + 2 * A_DAY * 10**9)
    source = Place("ahead", ahead, LocalHasher(), str(observatory.place("source")))
    verdict = observatory.verify_and_publish(TODAY, places={"source": [source]}).report.days[0].verdict
    assert (verdict.proved, verdict.is_final) == (3, False)
    assert observatory.records.finalizations(STREAM).read(TODAY) is None


def test_days_that_a_killed_run_listed_but_did_not_compare_give_no_candidates(
    observatory: Observatory,
) -> None:
    observatory.fill()
    assert observatory.verify_all().plan.candidates
    [archived] = observatory.places()["gws"]
    dying = Place(archived.host, archived.source, Dies(), archived.root, archived.below)
    with pytest.raises(RuntimeError, match="killed"):
        observatory.verify_and_publish(full=True, places={"gws": [dying]})
    plan = observatory.verify_and_publish(TODAY).plan
    assert plan.candidates == ()
    assert "not compared since" in plan.why
    assert observatory.verify_all().plan.candidates


def test_files_from_before_the_start_of_a_stream_are_not_candidates(observatory: Observatory) -> None:
    old = observatory.fill()
    new = observatory.fill(day=DAY + timedelta(days=9))
    assert sorted(observatory.verify_all().plan.candidates) == sorted(old + new)
    later = Observatory(observatory.home, {"start": str(DAY + timedelta(days=5))})
    assert sorted(later.verify_all().plan.candidates) == sorted(new)


def test_checksums_of_one_archive_prove_nothing_of_another(observatory: Observatory) -> None:
    names = observatory.fill()
    observatory.verify_all()
    observatory.flip("gws", names[0])
    (observatory.home / "far").rename(observatory.home / "elsewhere")
    archived = Place("far", LocalSource(), LocalHasher(), str(observatory.home / "elsewhere/raw"), "met")
    outcome = observatory.verify_and_publish(places={"gws": [archived]})
    assert outcome.report.read == {"gws": len(names)}
    assert outcome.report.days[0].verdict.gaps == [f"{names[0]}: different checksum in the archive"]
    assert outcome.plan.candidates == ()


def test_records_from_before_the_local_clock_was_set_back_are_listed_and_read_again(observatory: Observatory) -> None:
    observatory.fill()
    observatory.verify_all()
    with database(observatory) as db:
        db.execute("UPDATE look SET at = at + ?", (400 * A_DAY,))
        db.execute("UPDATE file SET hashed_at = hashed_at + ?", (400 * A_DAY,))
    with observatory.records.evidence() as evidence:
        assert evidence.oldest_listing(STREAM, DAY, DAY)[0] == 0
        assert evidence.oldest_attempt(STREAM, DAY, DAY) == 0
    assert backlog.whole_verification(observatory.records, STREAM, DAY, datetime.now(UTC)).days
    plan = observatory.verify_and_publish(TODAY).plan
    assert plan.candidates == ()
    assert "clock was set back" in plan.why
    assert observatory.verify_all().report.read == dict.fromkeys(SIDES, 6)


def test_a_local_clock_that_is_ahead_makes_no_file_old_enough_to_be_pruned(observatory: Observatory) -> None:
    old, new = observatory.fill(), observatory.fill(day=TODAY - timedelta(days=3))
    observatory.verify_all()
    ahead = datetime.now(UTC) + timedelta(days=5)
    site = observatory.site
    with database(observatory) as db:  # listed since, with that clock
        db.execute("UPDATE look SET at = at + ?", (5 * A_DAY,))
        db.execute("UPDATE file SET hashed_at = hashed_at + ?", (5 * A_DAY,))
    with observatory.records.evidence() as evidence, pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", ahead.timestamp)
        plan = plan_prune(STREAM, site.streams[STREAM], observatory.records.archive, evidence, ahead)
    assert sorted(plan.candidates) == sorted(old), f"and none of {new}"


def test_a_stream_that_was_removed_from_the_site_file_keeps_no_candidates(observatory: Observatory) -> None:
    observatory.fill()
    assert observatory.verify_all().plan.candidates
    candidates = observatory.site.paths.manifests / "latest" / STREAM / "prune_candidates.tsv"
    assert name_of(0) in candidates.read_text()
    site = observatory.site.model_copy(update={"streams": {"other": observatory.site.streams[STREAM]}})
    verify_and_publish(Records(site), "other", [DAY], observatory.places(), publish_now=True)
    assert candidates.read_text() == "relpath\n"
