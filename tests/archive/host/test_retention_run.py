"""A retention run deletes what may be deleted, tidies up, and stores one report."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from aurora_platform.archive.retention_run import RetentionReport, read_last_run, run_retention
from aurora_platform.archive.stores import Records
from aurora_platform.archive.verify_days import Place
from aurora_platform.config.archive import Retention
from aurora_platform.fs.locks import hold_lock
from aurora_platform.layout import mirror_lock
from tests.archive.places import STREAM, Observatory, name_of


@pytest.fixture
def observatory(tmp_path: Path) -> Observatory:
    """A finalized day of six files in three directories."""
    observatory = Observatory(tmp_path)
    observatory.fill()
    assert observatory.verify_and_publish().report.days[0].verdict.is_final
    return observatory


def run(
    observatory: Observatory, *, archive: Place | None = None, streams: tuple[str, ...] = (STREAM,)
) -> RetentionReport:
    retention = Retention(raw=dict.fromkeys(streams, timedelta(days=7)))
    places = observatory.places()
    records = Records(observatory.site.model_copy(update={"retention": retention}))
    return run_retention(records, lambda stream: (places["local"][0], archive or places["gws"][0]))


def test_old_local_copies_their_directories_and_leftovers_of_killed_runs_are_removed(observatory: Observatory) -> None:
    leftover = observatory.home / "raw/.outgoing/push.raw.met"
    leftover.mkdir(parents=True)
    (observatory.place("local") / "kept").mkdir()
    (observatory.place("local", "2") / "of somebody else").touch()
    report = run(observatory)
    assert (report.files, report.directories, report.leftovers, report.errors) == (6, 2, 1, {})
    assert sorted(place.name for place in observatory.place("local").iterdir()) == ["2", "kept"]
    assert not leftover.exists()
    assert read_last_run(observatory.records.layout.retention) == report
    assert len(list(observatory.place("gws").rglob("*.csv"))) == 6
    assert run(observatory).files == 0


def test_directories_stay_while_the_mirror_works_on_the_stream(observatory: Observatory) -> None:
    with hold_lock(observatory.records.layout.locks, mirror_lock(STREAM), timedelta(0)):
        report = run(observatory)
    assert (report.files, report.directories) == (6, 0)
    assert observatory.place("local", "0").is_dir()


def test_an_archive_that_cannot_be_read_is_an_error_of_its_stream_and_nothing_is_deleted(
    observatory: Observatory,
) -> None:
    gone = replace(observatory.places()["gws"][0], root=str(observatory.home / "not mounted"))
    report = run(observatory, archive=gone)
    assert (report.files, list(report.errors)) == (0, [STREAM])
    assert len(list(observatory.place("local").rglob("*.csv"))) == 6
    assert STREAM in report.summary()


def test_a_file_that_the_archive_has_lost_since_stays(observatory: Observatory) -> None:
    observatory.place("gws", name_of(0)).unlink()
    report = run(observatory)
    assert (report.files, report.kept) == (5, 1)
    assert observatory.place("local", name_of(0)).exists()


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"unknown": 1}'])
def test_a_damaged_report_counts_as_none(observatory: Observatory, content: bytes) -> None:
    file = observatory.records.layout.retention
    file.write_bytes(content)
    assert read_last_run(file) is None


def test_retention_keeps_at_least_a_week() -> None:
    with pytest.raises(ValidationError):
        Retention(raw={STREAM: timedelta(days=6)})
