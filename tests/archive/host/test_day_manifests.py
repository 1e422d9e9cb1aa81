"""Manifests by day: a pass writes those of the days that have changed, and a publication is made of them."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from pathlib import Path

import pytest

from aurora_platform.archive import backlog, manifest
from aurora_platform.archive.day_records import DayRecords
from aurora_platform.archive.fixity import Evidence
from aurora_platform.archive.manifest_store import stamps
from aurora_platform.archive.stores import Records
from aurora_platform.archive.verify_and_publish import publish, verify_and_publish
from aurora_platform.layout import SIDES, Layout
from tests.archive.host.test_manifest_store import read_latest
from tests.archive.places import DAY, STREAM, Observatory, name_of

NEXT = DAY + timedelta(days=1)
COUNTS = ("source_count", "local_count", "gws_count")


@pytest.fixture
def observatory(tmp_path: Path) -> Observatory:
    made = Observatory(tmp_path)
    made.fill(4)
    made.fill(4, day=NEXT)
    return made


def manifests(observatory: Observatory) -> Path:
    return observatory.site.paths.manifests


def states(root: Path) -> dict[str, int]:
    """The inode of each file below a directory: a file that is written again has another."""
    return {str(path.relative_to(root)): path.stat().st_ino for path in root.rglob("*") if path.is_file()}


def rows(observatory: Observatory) -> list[tuple]:
    with closing(sqlite3.connect(Layout.of(observatory.site).fixity)) as db:
        return [*db.execute("SELECT * FROM file"), *db.execute("SELECT * FROM day_manifest")]


def published(observatory: Observatory) -> dict:
    return observatory.records.publication().summary()["streams"][STREAM]


def passed(observatory: Observatory) -> dict:
    return json.loads(Layout.of(observatory.site).pass_counts(STREAM).read_bytes())


def test_a_pass_without_changes_writes_no_manifest_and_no_row_of_a_file(observatory: Observatory) -> None:
    observatory.verify_and_publish(DAY, NEXT)
    before = states(manifests(observatory)), rows(observatory)
    done = observatory.verify_and_publish(DAY, NEXT, publish_now=False)
    assert (states(manifests(observatory)), rows(observatory)) == before
    assert not done.is_published


def test_a_pass_writes_only_the_manifests_of_the_days_that_have_changed(observatory: Observatory) -> None:
    observatory.verify_and_publish(DAY, NEXT)
    before = states(manifests(observatory) / "days")
    assert sorted({name.split("/")[1] for name in before}) == [str(DAY), str(NEXT)]
    assert len(before) == 6
    observatory.write("source", name_of(9, NEXT), b"late", NEXT)
    observatory.verify_and_publish(DAY, NEXT, publish_now=False)
    after = states(manifests(observatory) / "days")
    assert {name for name in before if after.get(name) == before[name]} == {name for name in before if str(DAY) in name}
    assert len(after) == 6, "earlier revisions are removed"


def test_the_manifest_of_a_side_is_those_of_its_days_in_their_order(observatory: Observatory) -> None:
    observatory.verify_and_publish(NEXT, DAY)
    for side in SIDES:
        found = [path for path, _ in manifest.read(manifests(observatory) / "latest" / STREAM / f"{side}.tsv")]
        assert found == sorted(name_of(n) for n in range(4)) + sorted(name_of(n, NEXT) for n in range(4))


def test_a_verification_with_more_files_needs_no_more_statements(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements = list[str]()
    opened = Evidence._open_database

    def open_traced(self: Evidence, path: Path, script: str) -> None:
        opened(self, path, script)
        self._db.set_trace_callback(statements.append)

    monkeypatch.setattr(Evidence, "_open_database", open_traced)
    counts = []
    for files in (10, 60):
        observatory = Observatory(tmp_path / str(files))
        observatory.fill(files)
        for full in (False, True):
            statements.clear()
            assert observatory.verify_and_publish(full=full).report.read == dict.fromkeys(SIDES, files)
            # Each row that fires a trigger is traced as its statement once more; an executemany has one line per row.
            found = [text for text, _ in groupby(statements) if " INTO listed " not in text]
            counts.append((files, full, len([text for text in found if " INTO checksum " not in text])))
    by_files = [[count for files, _, count in counts if files == wanted] for wanted in (10, 60)]
    assert by_files[0] == by_files[1]


def test_counts_of_a_newer_pass_are_in_the_state_file_and_latest_keeps_those_of_its_own_tables(
    observatory: Observatory,
) -> None:
    observatory.verify_and_publish(DAY, NEXT)
    observatory.write("source", name_of(9), b"late")
    done = observatory.verify_and_publish(publish_now=False)
    assert not done.is_published
    assert [passed(observatory)[name] for name in COUNTS] == [9, 8, 8]
    assert passed(observatory)["local_missing_count"] == 1
    assert [published(observatory)[name] for name in COUNTS] == [8, 8, 8]
    assert read_latest(manifests(observatory) / "latest") == {"source": 8, "local": 8, "gws": 8}
    with observatory.records.evidence() as evidence:
        publish(observatory.records, evidence)
    assert read_latest(manifests(observatory) / "latest") == {"source": 9, "local": 8, "gws": 8}


@pytest.mark.parametrize(("minutes", "is_published"), [(14, False), (16, True), (-5, True)])
def test_a_pass_publishes_where_latest_is_older_than_publish_every_or_of_the_future(
    observatory: Observatory, minutes: int, is_published: bool
) -> None:
    observatory.verify_and_publish()
    file = manifests(observatory) / "latest" / "summary.json"
    summary = json.loads(file.read_bytes())
    made = datetime.now(UTC) - timedelta(minutes=minutes)
    file.write_text(json.dumps(summary | {"generated_at_utc": made.isoformat(timespec="seconds")}))
    assert observatory.verify_and_publish(publish_now=False).is_published is is_published


def test_the_newest_days_are_verified_again_where_latest_is_old_although_nothing_else_has_happened(
    observatory: Observatory,
) -> None:
    observatory.verify_and_publish(DAY, NEXT)
    now = datetime.now(UTC)
    assert not backlog.verification(observatory.records, STREAM, [DAY, NEXT], now).days
    found = backlog.verification(observatory.records, STREAM, [DAY, NEXT], now + timedelta(minutes=16))
    assert (found.days, found.why) == ([DAY, NEXT], "the manifests are older than 15m")


def test_a_damaged_verdict_of_a_new_day_asks_for_another_verification(observatory: Observatory) -> None:
    observatory.verify_and_publish(DAY, NEXT)
    damage_verdict(observatory, NEXT, "{")
    found = backlog.verification(observatory.records, STREAM, [DAY, NEXT], datetime.now(UTC))
    assert (found.days, found.why) == ([DAY, NEXT], "the verdict of a day is damaged")


def test_rows_that_change_outside_of_a_pass_are_in_the_manifests_after_the_next_pass_of_any_day(
    observatory: Observatory,
) -> None:
    observatory.verify_and_publish(DAY, NEXT)
    with observatory.records.evidence() as evidence:
        record = evidence.records_of(STREAM, name_of(0))["local"]
        evidence.release(STREAM, DAY, name_of(0), record)
    assert observatory.verify_and_publish(NEXT).report.compared_days == []
    assert read_latest(manifests(observatory) / "latest") == {"source": 8, "local": 7, "gws": 8}
    # Its verdict is of before the change, so the day is compared again.
    assert observatory.verify_and_publish(DAY).report.compared_days == [DAY]


@pytest.mark.parametrize("step", ["begin", "save"])
def test_a_pass_that_ends_while_it_writes_manifests_leaves_a_publication_whole_and_the_next_pass_writes_them(
    observatory: Observatory, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    observatory.verify_and_publish(DAY, NEXT)
    observatory.write("source", name_of(9), b"late")

    def fail(*_: object) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(DayRecords, step, fail)
        with pytest.raises(RuntimeError, match="killed"):
            observatory.verify_and_publish()
    with observatory.records.evidence() as evidence:
        publish(observatory.records, evidence)  # by the pass of another stream
    assert read_latest(manifests(observatory) / "latest") == {"source": 8, "local": 8, "gws": 8}
    observatory.verify_and_publish(NEXT)
    assert read_latest(manifests(observatory) / "latest") == {"source": 9, "local": 8, "gws": 8}
    assert len(states(manifests(observatory) / "days")) == 6


def test_files_that_a_killed_pass_has_left_are_removed_by_the_next_pass_of_their_day(observatory: Observatory) -> None:
    observatory.verify_and_publish(DAY, NEXT)
    before = states(manifests(observatory) / "days")
    for name in ("1_gws.tsv", "9_source.tsv"):
        (manifests(observatory) / "days" / STREAM / str(DAY) / name).write_text(manifest.HEADER)
    observatory.verify_and_publish(DAY, publish_now=False)
    assert states(manifests(observatory) / "days") == before


def test_a_manifest_of_a_day_that_somebody_deleted_is_written_again_by_the_next_pass(observatory: Observatory) -> None:
    observatory.verify_and_publish(DAY, NEXT)
    before = states(manifests(observatory) / "latest" / STREAM)
    for path in (manifests(observatory) / "days" / STREAM / str(DAY)).iterdir():
        path.unlink()
    log = list[str]()
    with observatory.records.evidence() as evidence:
        publish(observatory.records, evidence, log=log.append)
    assert [f"{STREAM} is published as before" in line for line in log] == [True]
    assert states(manifests(observatory) / "latest" / STREAM) == before
    observatory.verify_and_publish(NEXT)
    assert len(states(manifests(observatory) / "days")) == 6


def test_entries_of_the_history_share_the_days_that_did_not_change(observatory: Observatory) -> None:
    observatory.verify_and_publish(DAY, NEXT)
    history = manifests(observatory) / "history"
    [first] = [history / stamp for stamp in stamps(history)]
    first = first.rename(history / "20260101T000000Z")
    whole = history / "20251231T000000Z" / STREAM  # of the version before
    whole.mkdir(parents=True)
    (whole / "gws.tsv").write_text(manifest.HEADER)
    observatory.write("source", name_of(9, NEXT), b"late", NEXT)
    observatory.verify_and_publish(DAY, NEXT)
    second = history / stamps(history)[-1]
    assert second != first
    assert {side: len(list((second / STREAM / side).iterdir())) for side in SIDES} == dict.fromkeys(SIDES, 2)
    for side in SIDES:
        of_day, of_next = (Path(STREAM, side, f"{day}.tsv") for day in (DAY, NEXT))
        assert (first / of_day).samefile(second / of_day)
        assert not (first / of_next).samefile(second / of_next)
    assert len(list(manifest.read(first / STREAM / "source" / f"{NEXT}.tsv"))) == 4
    assert len(list(manifest.read(second / STREAM / "source" / f"{NEXT}.tsv"))) == 5
    assert (whole / "gws.tsv").read_text() == manifest.HEADER


def test_a_whole_pass_over_unchanged_days_compares_none_of_them(observatory: Observatory) -> None:
    with observatory.records.ledger() as ledger:
        path = f"{observatory.place('gws')}/{name_of(0)}"
        ledger.add_file(observatory.place("local", name_of(0)), path, "gws")
    first = observatory.verify_and_publish(DAY, NEXT)
    assert first.report.compared_days == [DAY, NEXT]
    again = observatory.verify_and_publish(DAY, NEXT)
    assert again.report.compared_days == []
    assert [day.verdict for day in again.report.days] == [day.verdict for day in first.report.days]
    with observatory.records.evidence() as evidence:
        assert sorted(evidence.verdicts(STREAM)) == [DAY, NEXT]
    observatory.flip("gws", name_of(0, NEXT))
    assert observatory.verify_and_publish(DAY, NEXT, full=True).report.days[1].verdict.problem_count == 1


def test_a_stream_of_the_version_before_gets_the_manifests_of_all_its_days_by_its_first_pass(
    observatory: Observatory,
) -> None:
    observatory.verify_and_publish(DAY, NEXT)
    latest = manifests(observatory) / "latest" / STREAM
    before = {path.name: path.read_bytes() for path in latest.iterdir()}
    make_as_before(observatory)
    with observatory.records.evidence() as evidence:
        publish(observatory.records, evidence)
    assert {path.name: path.read_bytes() for path in latest.iterdir()} == before
    observatory.write("source", name_of(9, NEXT), b"late", NEXT)
    observatory.verify_and_publish(NEXT)
    assert sorted(path.name for path in (manifests(observatory) / "days" / STREAM).iterdir()) == [str(DAY), str(NEXT)]
    assert read_latest(manifests(observatory) / "latest") == {"source": 9, "local": 8, "gws": 8}


def make_as_before(observatory: Observatory) -> None:
    """Take back what this version adds to evidence and manifests."""
    with closing(sqlite3.connect(Layout.of(observatory.site).fixity)) as db:
        for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            db.execute(f"DROP TRIGGER {name}")
        for (name,) in db.execute(
            "SELECT name FROM sqlite_master WHERE name LIKE 'day_%' AND type = 'table'"
        ).fetchall():
            db.execute(f"DROP TABLE {name}")
        db.execute("PRAGMA user_version = 1")
        db.commit()
    root = manifests(observatory)
    for path in (root / "days").rglob("*.tsv"):
        path.unlink()
    summary = json.loads((root / "latest" / "summary.json").read_bytes())
    del summary["streams"][STREAM]["evidence"]
    (root / "latest" / "summary.json").write_text(json.dumps(summary))


def damage_verdict(observatory: Observatory, day: date, text: str) -> None:
    with closing(sqlite3.connect(Layout.of(observatory.site).fixity)) as db:
        db.execute("UPDATE verdict SET counts = ? WHERE day = ?", (text, str(day)))
        db.execute("UPDATE day_manifest SET verdict = ? WHERE day = ?", (text, str(day)))
        db.commit()


def test_a_damaged_verdict_is_an_error_of_its_day_until_it_is_verified_again(observatory: Observatory) -> None:
    assert observatory.verify_all().plan.candidates
    for text in ("", "{", "[]", "null", '{"files": "many"}', '{"unknown": 1}', "[" * 100_000):
        damage_verdict(observatory, DAY, text)
        outcome = observatory.verify_and_publish(NEXT)
        assert outcome.plan.candidates == (), text
        assert f"1 of its days are not complete, the first {DAY}: its verdict is damaged" in outcome.plan.why
        assert read_latest(manifests(observatory) / "latest") == {"source": 8, "local": 8, "gws": 8}
        assert len(observatory.verify_and_publish(DAY).plan.candidates) == 8


class TestCandidates:
    """The list of candidates is kept while nothing that it depends on has changed."""

    @staticmethod
    def inode(observatory: Observatory) -> int:
        return (manifests(observatory) / "latest" / STREAM / "prune_candidates.tsv").stat().st_ino

    def test_it_stays_the_same_file_while_only_young_days_change(self, observatory: Observatory) -> None:
        today = datetime.now(UTC).date()
        observatory.verify_all()
        before = self.inode(observatory)
        observatory.write("source", name_of(1, today), b"new", today - timedelta(days=1))
        os.utime(observatory.place("source", name_of(1, today)), (datetime.now(UTC).timestamp() - 3600,) * 2)
        observatory.verify_and_publish(today)
        assert published(observatory)["source_count"] == 9
        assert self.inode(observatory) == before
        assert published(observatory)["prune_candidate_count"] == 8

    def test_it_is_made_anew_where_an_old_day_changed(self, observatory: Observatory) -> None:
        observatory.verify_all()
        for side in SIDES:
            observatory.write(side, name_of(9), b"recovered")
        assert name_of(9) in observatory.verify_and_publish(DAY).plan.candidates

    def test_it_is_made_anew_where_one_more_day_is_old_enough(self, observatory: Observatory) -> None:
        with_more = datetime.now(UTC).date() - timedelta(days=8)
        observatory.fill(2, day=with_more)
        later = Observatory(observatory.home, archive={"prune_after": "30d"})
        assert len(later.verify_all().plan.candidates) == 8
        assert len(observatory.verify_and_publish(NEXT).plan.candidates) == 10

    def test_it_is_made_anew_where_a_checksum_of_it_is_as_old_as_scrub(self, observatory: Observatory) -> None:
        observatory.verify_all()
        file = manifests(observatory) / "latest" / "summary.json"
        summary = json.loads(file.read_bytes())
        made_of = summary["streams"][STREAM]["evidence"]
        read_at = datetime.now(UTC).timestamp() - made_of["oldest_read"]
        assert 0 <= read_at < 3600
        before = self.inode(observatory)
        observatory.verify_and_publish(NEXT)
        assert self.inode(observatory) == before
        made_of["oldest_read"] -= 91 * 86400
        file.write_text(json.dumps(summary))
        observatory.verify_and_publish(NEXT)
        assert self.inode(observatory) != before

    def test_a_pass_that_does_not_publish_changes_no_list_of_another_stream(self, observatory: Observatory) -> None:
        observatory.verify_all()
        before = states(manifests(observatory) / "latest")
        streams = observatory.site.streams | {"other": observatory.site.streams[STREAM]}
        records = Records(observatory.site.model_copy(update={"streams": streams}))
        assert not verify_and_publish(records, "other", [DAY], observatory.places()).is_published
        assert states(manifests(observatory) / "latest") == before
