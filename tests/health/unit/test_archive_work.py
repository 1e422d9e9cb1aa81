"""The restore drill and retention in the health files and mails, as the archive's part leaves them on disk."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from aurora_platform.archive.restore_drill import DrillReport
from aurora_platform.archive.retention_run import RetentionReport
from aurora_platform.health.alert_mail import compose
from aurora_platform.health.alert_rules import SnapshotFile
from aurora_platform.health.alert_state import Moment, Outgoing, State
from aurora_platform.health.alerts import advance_state
from aurora_platform.health.archive_work import check_restore_drill, read_restore_drill, read_retention
from aurora_platform.health.models import Level, RestoreDrill, RetentionRun, Snapshot, Software
from tests.health.snapshots import settings

NOW = datetime(2026, 6, 10, 12, tzinfo=UTC)
SETTINGS = settings()


def test_the_stored_reports_are_read_as_they_are_written(tmp_path: Path) -> None:
    success = DrillReport(NOW.isoformat(), "met", "2026-03-05", files=6)
    failed = DrillReport(NOW.isoformat(), "met", "2026-03-06", error="no host works")
    drill = tmp_path / "drill.json"
    drill.write_text(json.dumps({"last": vars(failed) | {"wrong": vars(failed.wrong)}, "last_success": None}))
    found = read_restore_drill(drill)
    assert found == RestoreDrill(at_utc=NOW, failed=True)
    record = vars(success) | {"wrong": vars(success.wrong)}
    drill.write_text(json.dumps({"last": record, "last_success": record}))
    found = read_restore_drill(drill)
    assert found is not None
    assert (found.failed, found.last_success_utc, found.last_success_day) == (False, NOW, "met 2026-03-05")
    run = tmp_path / "retention.json"
    run.write_text(json.dumps(vars(RetentionReport(NOW.isoformat(), files=3, bytes=100))))
    assert read_retention(run) == RetentionRun(at_utc=NOW, files=3, bytes=100)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"last": {}}', b'{"at": "2026-06-10T12:00:00", "files": 1}'])
def test_damaged_files_count_as_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    assert read_restore_drill(tmp_path / "file") is None
    assert read_retention(tmp_path / "file") is None
    assert read_retention(tmp_path / "missing") is None


@pytest.mark.parametrize(
    ("age", "level"), [(timedelta(days=8), Level.GREEN), (timedelta(days=16), Level.AMBER), (None, Level.GRAY)]
)
def test_an_old_restoration_is_amber_and_the_last_success_is_shown(age: timedelta | None, level: Level) -> None:
    last = NOW - age if age is not None else None
    check = check_restore_drill(
        RestoreDrill(at_utc=NOW, failed=False, last_success_utc=last, last_success_day="met D"), NOW
    )
    assert check.level is level
    assert ("met D" in check.message) is (age is not None)


def test_a_retention_run_that_deleted_files_is_mailed_once() -> None:
    def snapshot(at: datetime, files: int) -> SnapshotFile:
        run = RetentionRun(at_utc=at, files=files, bytes=1000)
        software = Software(version="1", python="3", dagster="1")
        taken = Snapshot(generated_at_utc=NOW, site="met", seconds=0, retention=run, software=software)
        return SnapshotFile("latest.json", taken)

    state, events = advance_state(State(), snapshot(NOW, 0), SETTINGS, Moment(NOW))
    assert [event.kind for event in events if event.key == "retention"] == []
    for expected in (["notice"], []):
        state, events = advance_state(state, snapshot(NOW, 7), SETTINGS, Moment(NOW))
        assert [event.kind for event in events if event.key == "retention"] == expected
    later = NOW + timedelta(days=1)
    state, events = advance_state(state, snapshot(later, 2), SETTINGS, Moment(later))
    [event] = [event for event in events if event.key == "retention"]
    mail = compose(Outgoing(message_id="<1@x>", made_at=later, events=(event,)), "met", SETTINGS)
    assert mail["Subject"] == "[met] 1 done: retention"
    text = mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert "deleted 2 local copies, 1.0 kB" in text
    assert "since" not in text
