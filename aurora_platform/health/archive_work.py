"""Reads what the archive's scheduled work has stored: the last restore drill and the last retention run."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from aurora_platform.health.models import Check, Level, RestoreDrill, RetentionRun
from aurora_platform.text import counted, format_age, human_size

_OLD_DRILL = timedelta(days=15)  # two drills of the default schedule and a day


class _Stored(BaseModel):
    # Written by the archive's part; what this does not need is ignored.
    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)


class _Drill(_Stored):
    at: AwareDatetime
    stream: str | None = None
    day: str | None = None
    error: str = ""
    wrong: dict[str, Any] = {}


class _Drills(_Stored):
    last: _Drill
    last_success: _Drill | None = None


class _Retention(_Stored):
    at: AwareDatetime
    files: int
    bytes: int


def read_restore_drill(file: Path) -> RestoreDrill | None:
    """Read the last restore drill; None where there was none, or its file is damaged."""
    try:
        stored = _Drills.model_validate_json(file.read_bytes())
    except (OSError, ValidationError):
        return None
    success = stored.last_success
    return RestoreDrill(
        at_utc=stored.last.at,
        failed=bool(stored.last.error or stored.last.wrong.get("total")),
        last_success_utc=success.at if success else None,
        last_success_day=f"{success.stream} {success.day}" if success else None,
    )


def read_retention(file: Path) -> RetentionRun | None:
    """Read the last retention run; None where there was none, or its file is damaged."""
    try:
        stored = _Retention.model_validate_json(file.read_bytes())
    except (OSError, ValidationError):
        return None
    return RetentionRun(at_utc=stored.at, files=stored.files, bytes=stored.bytes)


def check_restore_drill(drill: RestoreDrill, now: datetime) -> Check:
    """Rate the restore drill: red where the last one failed, amber where the last success is old."""
    if drill.last_success_utc is None:
        level, message = Level.GRAY, "no day was restored yet"
    else:
        age = now - drill.last_success_utc
        level = Level.AMBER if age > _OLD_DRILL else Level.GREEN
        message = f"last success {format_age(max(0.0, age.total_seconds()))} ago: {drill.last_success_day}"
    return Check(
        level=Level.RED if drill.failed else level,
        component="restore drill",
        message=message + ("; the last drill FAILED" if drill.failed else ""),
        details="Stage: archive. See: aurora drill; the schedule restore_drill",
    )


def retention_sentence(run: RetentionRun) -> str:
    """What a retention run deleted, for the mail."""
    return (
        f"deleted {counted(run.files, 'local copy', 'local copies')}, {human_size(run.bytes)}, at "
        f"{run.at_utc:%Y-%m-%d %H:%M:%S} UTC; each was read back from the archive before"
    )
