"""The restore drill: fetches a random finalized day from the archive and compares it with its manifest.

A backup that was never restored is a hope. The drill reads only what a reader of the archive alone has: the
finalization and the manifest in the archive, and the files that it lists. Nothing is kept but the result.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from random import Random, SystemRandom
from typing import Annotated

from aurora_platform.archive import manifest
from aurora_platform.archive.finalize import Finalizations
from aurora_platform.archive.fixity_record import FixityRecord
from aurora_platform.archive.read_back import ReadBack, describe_difference
from aurora_platform.archive.stores import Records
from aurora_platform.errors import EvidenceError, HostError, TransferError
from aurora_platform.fs.atomic import publish_file
from aurora_platform.fs.staging import Staging
from aurora_platform.fs.versions import FileVersion
from aurora_platform.layout import OUTGOING, STAGING, WXCAM_PRODUCTS, ArchiveLayout, open_state
from aurora_platform.report_fields import BYTES, SHOWN, Show
from aurora_platform.text import Count, counted, format_transfer
from aurora_platform.transport.protocols import ArchiveHost

_MAX_MANIFEST = 1 << 30  # bytes; an archive must not fill our disk with one


@dataclass
class DrillReport:
    """The result of a drill."""

    at: Annotated[str, SHOWN]
    """When it began; ISO 8601, UTC."""
    stream: Annotated[str | None, Show(rank=1)] = None
    day: Annotated[str | None, Show(rank=2)] = None
    """None where no day is finalized yet."""
    host: Annotated[str | None, SHOWN] = None
    files: Annotated[int, Show("restored_files", rank=3)] = 0
    bytes: Annotated[int, BYTES] = 0
    seconds: Annotated[float, SHOWN] = 0.0
    wrong: Annotated[Count, Show(rank=4)] = field(default_factory=Count)
    """Files that the archive did not give back as finalized, each with the reason."""
    error: str = ""
    """Why the day could not be fetched at all."""

    @property
    def is_success(self) -> bool:
        """Whether a day was restored as it was finalized."""
        return self.day is not None and not self.wrong.total and not self.error

    @property
    def target(self) -> str:
        """What ``aurora repair`` repairs of it: a collection of products is repaired as a whole."""
        return str(self.stream) if self.stream == WXCAM_PRODUCTS else f"{self.stream} --day {self.day}"

    def summary(self) -> str:
        """The report in one line, for the operator."""
        if self.day is None:
            return self.error or "no day is finalized now, so there is nothing to restore"
        text = f"{self.stream} {self.day}: {counted(self.files, 'file')} fetched from the archive"
        text += f" and found as finalized; {format_transfer(self.bytes, self.seconds)}"
        if self.error:
            return f"{self.stream} {self.day} could not be restored: {self.error}"
        return text if not self.wrong.total else f"{text}; WRONG: {self.wrong.total}, the first {self.wrong.first[0]}"


def drill(
    records: Records,
    hosts: Sequence[ArchiveHost],
    *,
    only: tuple[str, date] | None = None,
    random: Random | None = None,
    log: Callable[[str], None] = lambda text: None,
) -> DrillReport:
    """Restore a finalized day into a private directory, compare it with its manifest, and store the result.

    Parameters
    ----------
    records, hosts
        The site's records, and the hosts of its archive in order of preference.
    only
        The stream, or ``wxcam_products``, and the day; None: any finalized day.
    random
        Chooses the day.
    """
    open_state(records.layout.state)
    began = time.monotonic()
    report = DrillReport(datetime.now(UTC).isoformat(timespec="seconds"))
    chosen = only or _choose(records, random or SystemRandom())
    if chosen is not None:
        name, day = chosen
        report.stream, report.day = name, str(day)
        log(f"restoring {name} of {day} from the archive, into a private directory")
        errors = []
        for host in hosts:
            try:
                _restore(records, host, name, day, report)
            except (HostError, TransferError, EvidenceError) as error:
                errors.append(f"{host.name}: {error}")
            else:
                report.host = host.name
                errors.clear()
                break
        report.error = "; ".join(errors)
    report.seconds = time.monotonic() - began
    _store(records, report)
    return report


def _choose(records: Records, random: Random) -> tuple[str, date] | None:
    """Choose a complete day of any stream, or of the camera's products; None where there is none."""
    days = [
        (name, key)
        for name in (*records.site.streams, WXCAM_PRODUCTS)
        for key in records.finalizations(name).all_keys()
        if isinstance(key, date)
    ]
    random.shuffle(days)
    return next(((name, day) for name, day in days if _is_complete(records.finalizations(name), day)), None)


def _is_complete(finalizations: Finalizations, day: date) -> bool:
    try:
        finalization = finalizations.read(day)
    except EvidenceError:  # the verification of the day reports it
        return False
    return finalization is not None and finalization.complete


def _restore(records: Records, host: ArchiveHost, name: str, day: date, report: DrillReport) -> None:
    finalizations, layout = records.finalizations(name), ArchiveLayout.of(records.archive)
    staging = Staging(records.site.paths.raw / OUTGOING, records.layout.locks, records.site.limits.lock)
    staging.sweep()
    read_back = ReadBack(host.fetching(), staging, "drill")
    expected = _archived_manifest(read_back, layout, finalizations, day)
    report.files, report.bytes, report.wrong = 0, 0, Count()
    versions = {path: record.version for path, record in expected.items()}
    for read in read_back.checksums(finalizations.archive_root, versions):
        record = expected[read.path]
        if why := describe_difference(read, record.version, record.sha256):
            report.wrong.add(f"{read.path}: {why}")
            continue
        report.files += 1
        report.bytes += read.version.size


def _archived_manifest(
    read_back: ReadBack, layout: ArchiveLayout, finalizations: Finalizations, day: date
) -> dict[str, FixityRecord]:
    """Fetch the manifest of a day from the archive; :class:`EvidenceError` where it is not the one of this site."""
    finalization = finalizations.read(day)
    if finalization is None or not finalization.complete:
        raise EvidenceError(f"{finalizations.stream} {day} is not finalized")
    local = finalizations.manifest(day, finalization.revision)
    path = finalizations.archived_path(local)
    with read_back.fetched(layout.manifests, {path: FileVersion(_MAX_MANIFEST, 0)}) as (directory, read):
        if read[path].sha256 != finalization.manifest_sha256:
            why = read[path].error or "its SHA-256 is not that of the finalization"
            raise EvidenceError(f"{layout.manifests}/{path}: {why}")
        return {relpath: record for relpath, record in manifest.read(directory / path) if record.error != manifest.LOST}


@dataclass(frozen=True)
class DrillHistory:
    """The last drill of a site, and the last that succeeded."""

    last: DrillReport | None = None
    last_success: DrillReport | None = None


def read_history(file: Path) -> DrillHistory:
    """Read the stored results; empty where there are none, or the file is damaged."""
    try:
        data = json.loads(file.read_bytes())
        return DrillHistory(*(_report_of(data.get(key)) for key in ("last", "last_success")))
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return DrillHistory()


def _report_of(data: dict[str, object] | None) -> DrillReport | None:
    if data is None:
        return None
    report = DrillReport(**data)  # type: ignore[arg-type]
    return replace(report, wrong=Count(**report.wrong))  # type: ignore[arg-type]


def _store(records: Records, report: DrillReport) -> None:
    file = records.layout.restore_drill
    last_success = report if report.is_success else read_history(file).last_success
    data = {"last": asdict(report), "last_success": asdict(last_success) if last_success else None}
    staging = Staging(records.layout.state / STAGING, records.layout.locks, records.site.limits.lock)
    with staging.claim("restore_drill") as staged:
        staged.write_text(json.dumps(data, indent=2) + "\n")
        publish_file(staged, file)
