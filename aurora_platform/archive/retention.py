"""Deleting our own working copies of raw files that are old enough: the only place where Aurora deletes data.

Switched off unless the site file says how old (``retention.raw.<stream>``). Exact files, one by one: each is held
against its copy in the archive immediately before, by reading both; its day must be finalized; each deletion is logged
before it is done. Directories stay. What the source still has is not fetched again for that.
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
from aurora_platform.archive.stores import Records
from aurora_platform.archive.verify_days import Place
from aurora_platform.errors import EvidenceError
from aurora_platform.fs.atomic import flush
from aurora_platform.fs.locks import hold_lock
from aurora_platform.fs.versions import FileVersion
from aurora_platform.layout import verify_lock
from aurora_platform.text import Count
from aurora_platform.transport.checksums import Checksum

_BATCH = 50  # files that are read together immediately before they go


@dataclass
class Retired:
    """What was deleted here, or would be, and what stays although it is old enough."""

    dry_run: bool
    files: int = 0
    bytes: int = 0
    first: list[str] = field(default_factory=list)
    kept: dict[str, Count] = field(default_factory=dict)
    """Reason -> old files that stay."""
    more: bool = False
    """Whether the bound of a run was reached."""

    def keep(self, path: str, reason: str) -> None:
        self.kept.setdefault(reason, Count()).add(path)

    def summary(self) -> str:
        """The line that an operator reads."""
        kept = sum(count.total for count in self.kept.values())
        verb = "would delete" if self.dry_run else "deleted"
        text = f"{verb} {self.files} files, {self.bytes} bytes; {kept} old files stay"
        return text + ("; there are more: run it again" if self.more else "")


def retire(
    records: Records,
    name: str,
    here: Place,
    there: Place,
    *,
    dry_run: bool = True,
    now: datetime | None = None,
    log: Callable[[str], None] = lambda text: None,
) -> Retired:
    """Delete working copies of a stream that are older than the site file keeps them, or say which.

    Parameters
    ----------
    records, name
        The site's records, and the stream.
    here, there
        The working copy and the archive.
    dry_run
        Delete nothing, and read nothing: say what would be looked at and deleted.

    Raises
    ------
    EvidenceError
        Where the site file does not say that working copies of this stream may go, or the archive is where they are.
    HostError
        Where the archive cannot be read; nothing more is deleted then.
    """
    site = records.site
    age = site.retention.raw.get(name)
    if age is None:
        raise EvidenceError(f"{name}: no working copy is deleted: retention.raw.{name} would say from which age on")
    before = (now or datetime.now(UTC)) - age
    result = Retired(dry_run)
    layout = records.layout
    retired_file = layout.finalizations.retired(name)
    with records.evidence() as evidence, hold_lock(layout.locks, verify_lock(name), site.limits.lock):
        old = _candidates(records, evidence, name, before, result)
        for batch in _batches(old, site.retention.files_per_run, result):
            if dry_run:
                for path, _, record in batch:
                    _count(result, path, record)
                continue
            _refuse_one_place(name, here, there)
            log(f"reading {len(batch)} files here and in the archive")
            _delete(name, batch, here, there, evidence, retired_file, result)
    return result


_Candidate = tuple[str, date, FixityRecord]


def _candidates(
    records: Records, evidence: Evidence, name: str, before: datetime, result: Retired
) -> Iterator[_Candidate]:
    """Files here of finalized days that are old enough, as the last verification saw them; oldest days first."""
    finalizations, last = records.finalizations(name), before.date() - timedelta(days=1)
    old_ns = int(before.timestamp()) * 10**9
    for day in sorted(evidence.verdicts(name)):
        if day > last:
            return
        why = "its day is not finalized"
        try:
            said = finalizations.of(day)
            proved = finalizations.proved(day) if said and said.complete else {}
        except EvidenceError as error:  # one day's error: the others go on
            said, proved, why = None, {}, str(error)
        for path, places in evidence.files(name, day):
            local = places.get("local")
            if local is None:
                continue
            if said is None or not said.complete:
                result.keep(path, why)
            elif local.version.mtime_ns > old_ns:
                result.keep(path, "written later than its day")
            elif path not in proved or proved[path].sha256 != local.sha256:
                result.keep(path, "not what its day was finalized with")
            else:
                yield path, day, local


def _batches(candidates: Iterator[_Candidate], most: int, result: Retired) -> Iterator[Sequence[_Candidate]]:
    # All of them before the first is deleted: the evidence is being read meanwhile.
    chosen = list(islice(candidates, most))
    result.more = next(candidates, None) is not None
    return batched(chosen, _BATCH)


def _refuse_one_place(name: str, here: Place, there: Place) -> None:
    """Refuse where the archive has what is only here: then it is this directory, and no copy of it."""
    try:
        with NamedTemporaryFile(dir=here.base, prefix=".aurora-retire-") as mark:
            found = list(there.list([os.path.basename(mark.name)]).entries)
    except OSError as error:
        raise EvidenceError(f"{here.base}: nothing can be deleted there: {error.strerror}") from None
    if found:
        raise EvidenceError(
            f"{name}: {there.base} on {there.host} is the same directory as {here.base} here: no copy in an archive"
        )


def _delete(
    name: str,
    batch: Sequence[_Candidate],
    here: Place,
    there: Place,
    evidence: Evidence,
    retired_file: Path,
    result: Retired,
) -> None:
    paths = [path for path, _, _ in batch]
    ours = {checksum.path: checksum for checksum in here.hasher.checksums(here.base, paths)}
    theirs = {checksum.path: checksum for checksum in there.hasher.checksums(there.base, paths)}
    for path, day, record in batch:
        if why := _why_not(record, ours.get(path), theirs.get(path)):
            result.keep(path, why)
            evidence.forget(name, [path])  # the next verification reads it again, and says what is wrong
            continue
        _note(retired_file, name, day, path, record, there.host)
        evidence.release(name, day, path, record)
        if _unlink(here.base, path, ours[path]):
            _count(result, path, record)
        else:
            result.keep(path, "changed since it was read")


def _why_not(record: FixityRecord, ours: Checksum | None, theirs: Checksum | None) -> str | None:
    """Why a file stays; None where both sides have, read just now, what the day was finalized with."""
    if ours is None or ours.sha256 is None:
        return "cannot be read here"
    if theirs is None or theirs.sha256 is None:
        return "cannot be read in the archive"
    if ours.sha256 != record.sha256:
        return "not what was verified here"
    return None if theirs.sha256 == ours.sha256 else "DIFFERENT in the archive"


def _unlink(base: str, path: str, read: Checksum) -> bool:
    """Delete exactly that file, if it is still the version that was read; no symlink on the way is followed."""
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


def _note(retired_file: Path, name: str, day: date, path: str, record: FixityRecord, host: str) -> None:
    """A line for each deletion, on disk before it is done."""
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


def _count(result: Retired, path: str, record: FixityRecord) -> None:
    result.files += 1
    result.bytes += record.version.size
    if len(result.first) < 10:
        result.first.append(path)
