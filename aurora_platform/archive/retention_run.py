"""A retention run: deletes what retention allows of all streams, tidies up, and stores one report."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from aurora_platform.archive.retention import RetireReport, retire
from aurora_platform.archive.stores import Records
from aurora_platform.archive.tidy_up import remove_emptied_directories, sweep_leftovers
from aurora_platform.archive.verify_days import Place
from aurora_platform.errors import AuroraError
from aurora_platform.fs.atomic import publish_file
from aurora_platform.fs.staging import Staging
from aurora_platform.layout import STAGING, open_state
from aurora_platform.report_fields import BYTES, RARE, SHOWN, Show
from aurora_platform.text import counted, human_size


@dataclass
class RetentionReport:
    """The result of a retention run over all streams that have a retention."""

    at: Annotated[str, SHOWN]
    """When it began; ISO 8601, UTC."""
    files: Annotated[int, Show("deleted_files", rank=1)] = 0
    bytes: Annotated[int, BYTES] = 0
    kept: Annotated[int, Show("old_files_kept", rank=2)] = 0
    directories: Annotated[int, Show("directories_removed", rank=3)] = 0
    leftovers: Annotated[int, Show("leftovers_removed", rare=True)] = 0
    streams: dict[str, str] = field(default_factory=dict)
    """Stream -> its report in one line."""
    errors: Annotated[dict[str, str], RARE] = field(default_factory=dict)
    """Stream -> why nothing (more) of it was deleted."""

    def add(self, stream: str, report: RetireReport) -> None:
        """Add the report of a stream."""
        self.files += report.files
        self.bytes += report.bytes
        self.kept += sum(count.total for count in report.kept.values())
        self.streams[stream] = report.summary()

    def summary(self) -> str:
        """The report in one line, for the operator and for the mail."""
        text = f"deleted {counted(self.files, 'local copy', 'local copies')}, {human_size(self.bytes)}, each after its "
        text += f"copy in the archive was read back; {counted(self.kept, 'old file')} kept"
        return text + "".join(f"; {stream}: {why}" for stream, why in self.errors.items())


def run_retention(
    records: Records,
    places: Callable[[str], tuple[Place, Place]],
    *,
    log: Callable[[str], None] = lambda text: None,
) -> RetentionReport:
    """Delete what retention allows of every stream; an error of one stream does not stop the others.

    ``places`` returns the local tree and the archive of a stream.
    """
    open_state(records.layout.state)
    report = RetentionReport(datetime.now(UTC).isoformat(timespec="seconds"))
    for stream in records.site.retention.raw:
        try:
            local, archive = places(stream)
            done = retire(records, stream, local, archive, dry_run=False, log=log)
        except AuroraError as error:
            report.errors[stream] = str(error)
            log(f"{stream}: {error}")
            continue
        report.add(stream, done)
        report.directories += remove_emptied_directories(records, stream, done.deleted)
        log(f"{stream}: {done.summary()}")
    report.leftovers = sweep_leftovers(records)
    _store(records, report)
    return report


def _store(records: Records, report: RetentionReport) -> None:
    staging = Staging(records.layout.state / STAGING, records.layout.locks, records.site.limits.lock)
    with staging.claim("retention") as staged:
        staged.write_text(json.dumps(asdict(report), indent=2) + "\n")
        publish_file(staged, records.layout.retention)


def read_last_run(file: Path) -> RetentionReport | None:
    """Read the report of the last run; None where there is none, or the file is damaged."""
    try:
        return RetentionReport(**json.loads(file.read_bytes()))
    except (OSError, ValueError, TypeError, RecursionError):
        return None
