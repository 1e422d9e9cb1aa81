"""Deletes local copies of raw files that are old enough: the only module where Aurora deletes data.

Off unless the site file sets an age (``retention.raw.<stream>``). Deletes exact files, one by one: the local file and
its copy in the archive are both read on this machine immediately before (:mod:`aurora_platform.archive.read_back`), its
day must be finalized, and each deletion is logged before it is done. The mirror does not fetch a deleted file again,
even where the source still has it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import batched, islice
from pathlib import Path
from tempfile import NamedTemporaryFile

from aurora_platform.archive.fixity import Evidence
from aurora_platform.archive.fixity_record import FixityRecord
from aurora_platform.archive.read_back import ReadBack
from aurora_platform.archive.stores import Records
from aurora_platform.archive.verify_days import Place
from aurora_platform.errors import EvidenceError
from aurora_platform.fs.atomic import flush
from aurora_platform.fs.locks import hold_lock
from aurora_platform.fs.staging import Staging
from aurora_platform.fs.versions import FileVersion
from aurora_platform.layout import OUTGOING, verify_lock
from aurora_platform.text import Count, counted, human_size
from aurora_platform.transport.checksums import Checksum

_BATCH = 50  # files that are read together immediately before they are deleted


@dataclass
class RetireReport:
    """The local files that were deleted (or would be), and the old files that stay."""

    dry_run: bool
    files: int = 0
    bytes: int = 0
    first: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    """All deleted files; at most ``retention.files_per_run``."""
    kept: dict[str, Count] = field(default_factory=dict)
    """Reason -> old files that stay."""
    more: bool = False
    """Whether the bound of a run was reached."""

    def keep(self, path: str, reason: str) -> None:
        self.kept.setdefault(reason, Count()).add(path)

    def summary(self) -> str:
        """The report in one line, for the operator."""
        kept = sum(count.total for count in self.kept.values())
        verb = "would delete" if self.dry_run else "deleted"
        text = f"{verb} {counted(self.files, 'file')}, {human_size(self.bytes)}; {counted(kept, 'old file')} kept"
        return text + ("; there are more: run it again" if self.more else "")


def retire(
    records: Records,
    name: str,
    local: Place,
    archive: Place,
    *,
    dry_run: bool = True,
    now: datetime | None = None,
    log: Callable[[str], None] = lambda text: None,
) -> RetireReport:
    """Delete local copies of a stream that are older than its retention, or only list them.

    Parameters
    ----------
    records, name
        The site's records, and the stream.
    local, archive
        The local tree and the archive.
    dry_run
        Delete nothing and read nothing: list the files that would be read and deleted.

    Raises
    ------
    EvidenceError
        Where the site file sets no retention for this stream, or the archive is the same directory as the local tree.
    HostError
        Where the archive cannot be read; no more files are deleted then.
    """
    site = records.site
    age = site.retention.raw.get(name)
    if age is None:
        raise EvidenceError(
            f"{name}: nothing to do: set retention.raw.{name} (for example 90d) to allow deleting local copies"
        )
    before = (now or datetime.now(UTC)) - age
    result = RetireReport(dry_run)
    layout = records.layout
    retired_file = layout.finalizations.retired(name)
    assert archive.transfer is not None  # its files are fetched before the local copies are deleted
    read_back = ReadBack(archive.transfer, Staging(site.paths.raw / OUTGOING, layout.locks, site.limits.lock), name)
    with records.evidence() as evidence, hold_lock(layout.locks, verify_lock(name), site.limits.lock):
        old = _candidates(records, evidence, name, before, result)
        for batch in _batches(old, site.retention.files_per_run, result):
            if dry_run:
                for path, _, record in batch:
                    _count(result, path, record)
                continue
            _refuse_same_directory(name, local, archive)
            log(f"reading {len(batch)} files, local and from the archive")
            _delete(name, batch, local, archive, read_back, evidence, retired_file, result)
    return result


_Candidate = tuple[str, date, FixityRecord]


def _candidates(
    records: Records, evidence: Evidence, name: str, before: datetime, result: RetireReport
) -> Iterator[_Candidate]:
    """Yield local files of finalized days that are old enough, by the last verification; oldest days first."""
    finalizations, last = records.finalizations(name), before.date() - timedelta(days=1)
    old_ns = int(before.timestamp()) * 10**9
    for day in sorted(evidence.verdicts(name)):
        if day > last:
            return
        why = "its day is not finalized"
        try:
            finalization = finalizations.read(day)
            proved = finalizations.proved(day) if finalization and finalization.complete else {}
        except EvidenceError as error:  # the error of one day: the others go on
            finalization, proved, why = None, {}, str(error)
        for path, by_side in evidence.files(name, day):
            local = by_side.get("local")
            if local is None:
                continue
            if finalization is None or not finalization.complete:
                result.keep(path, why)
            elif local.version.mtime_ns > old_ns:
                result.keep(path, "written later than its day")
            elif path not in proved or proved[path].sha256 != local.sha256:
                result.keep(path, "not the finalized version")
            else:
                yield path, day, local


def _batches(candidates: Iterator[_Candidate], most: int, result: RetireReport) -> Iterator[Sequence[_Candidate]]:
    # Collects all candidates before the first deletion: deleting changes the evidence that this iterates over.
    chosen = list(islice(candidates, most))
    result.more = next(candidates, None) is not None
    return batched(chosen, _BATCH)


def _refuse_same_directory(name: str, local: Place, archive: Place) -> None:
    """Refuse where the archive lists a new local file: then it is the same directory, and not a copy."""
    try:
        with NamedTemporaryFile(dir=local.base, prefix=".aurora-retire-") as mark:
            listed = list(archive.list([os.path.basename(mark.name)]).entries)
    except OSError as error:
        raise EvidenceError(f"{local.base}: cannot delete files in it: {error.strerror}") from None
    if listed:
        raise EvidenceError(
            f"{name}: {archive.base} on {archive.host} is the same directory as the local {local.base}, not a copy: "
            "nothing is deleted"
        )


def _delete(
    name: str,
    batch: Sequence[_Candidate],
    local: Place,
    archive: Place,
    read_back: ReadBack,
    evidence: Evidence,
    retired_file: Path,
    result: RetireReport,
) -> None:
    paths = [path for path, _, _ in batch]
    local_read = {checksum.path: checksum for checksum in local.hasher.checksums(local.base, paths)}
    versions = {path: record.version for path, _, record in batch}
    archive_read = {checksum.path: checksum for checksum in read_back.checksums(archive.base, versions)}
    for path, day, record in batch:
        if why := _why_not(record, local_read.get(path), archive_read.get(path)):
            result.keep(path, why)
            evidence.forget_checksums(name, [path])  # the next verification reads it again, and reports what is wrong
            continue
        _log_deletion(retired_file, name, day, path, record, archive.host)
        evidence.release(name, day, path, record)
        if _unlink(local.base, path, local_read[path]):
            _count(result, path, record)
            result.deleted.append(path)
        else:
            result.keep(path, "changed since it was read")


def _why_not(record: FixityRecord, local: Checksum | None, archive: Checksum | None) -> str | None:
    """Why a file stays; None where both sides, read just now, have the finalized bytes."""
    if local is None or local.sha256 is None:
        return "cannot be read locally"
    if archive is None or archive.sha256 is None:
        return "cannot be read back from the archive"
    if local.sha256 != record.sha256:
        return "not the version that was verified"
    return None if archive.sha256 == local.sha256 else "DIFFERENT in the archive"


def _unlink(base: str, path: str, read: Checksum) -> bool:
    """Delete exactly this file, if it is still the version that was read; follows no symlink in its path."""
    *folders, leaf = path.split("/")
    opened = [os.open(base, os.O_RDONLY | os.O_DIRECTORY)]
    try:
        for folder in folders:
            opened.append(os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=opened[-1]))
        status = os.stat(leaf, dir_fd=opened[-1], follow_symlinks=False)
        if FileVersion.of(status) != read.version:
            return False
        os.unlink(leaf, dir_fd=opened[-1])
    except OSError:
        return False
    finally:
        for handle in opened:
            os.close(handle)
    return True


def _log_deletion(retired_file: Path, name: str, day: date, path: str, record: FixityRecord, host: str) -> None:
    """Write a line per deletion, flushed to disk before the deletion."""
    retired_file.parent.mkdir(parents=True, exist_ok=True)
    line = {
        "at_utc": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "stream": name,
        "day": str(day),
        "relpath": path,
        "size": record.version.size,
        "mtime_ns": record.version.mtime_ns,
        "sha256": record.sha256,
        "read_in_the_archive_by": host,
    }
    with retired_file.open("a") as out:
        out.write(json.dumps(line) + "\n")
    flush(retired_file)


def _count(result: RetireReport, path: str, record: FixityRecord) -> None:
    result.files += 1
    result.bytes += record.version.size
    if len(result.first) < 10:
        result.first.append(path)
