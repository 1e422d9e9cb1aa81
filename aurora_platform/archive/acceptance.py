"""What an operator may accept about a day: changes of finalized files that are held back, and files that are lost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date

from aurora_platform.archive.change_rule import ChangeState, Decision
from aurora_platform.archive.compare import PROBLEMS, Bounds, Clocks, compare_day
from aurora_platform.archive.finalize import Finalizations
from aurora_platform.archive.fixity_record import FixityRecord
from aurora_platform.archive.ledger_rows import Row
from aurora_platform.archive.verify_days import Verification
from aurora_platform.fs.versions import FileVersion
from aurora_platform.layout import FinalizedKey, Side


@dataclass(frozen=True, slots=True)
class HeldChange:
    """A change that is held back: the finalized version, and the decision about the version at the source."""

    decision: Decision
    finalized: FileVersion | None
    since: float | None
    """When the change was first seen, s since epoch."""

    @property
    def can_be_taken(self) -> bool:
        """Whether a pass can fetch it: bytes that changed without a new mtime look unchanged to every scan."""
        return not self.decision.change.is_same_version


@dataclass(frozen=True, slots=True)
class LostFile:
    """A file that the source had, and of which the archive does not have that version."""

    path: str
    last_seen: FixityRecord
    """As it was finalized, or else as the source had it last."""
    local: FileVersion | None
    """The version of the local copy, if there is one."""
    archived: FileVersion | None


def held_changes(verification: Verification, day: date) -> list[HeldChange]:
    """Return the changes of a day that are held back, by path.

    Raises
    ------
    EvidenceError
        Where the finalization of the day is damaged.
    """
    changes, proved = verification.evidence.changes, verification.finalizations.proved(day)
    found = []
    for path, decision in changes.of_stream(verification.name).items():
        if decision.change.day == day and decision.state is ChangeState.HELD:
            finalized = proved.get(path)
            since = changes.since(verification.name, path)
            found.append(HeldChange(decision, finalized.version if finalized else None, since))
    return found


def is_finalization_lost(verification: Verification, day: date) -> bool:
    """Whether a day was finalized, and its finalization is not on this machine any more."""
    return bool(verification.finalizations.why_missing(day))


@dataclass
class ArchivedFiles:
    """The files that a lost finalization may have had."""

    read: list[tuple[str, FixityRecord]] = field(default_factory=list)
    """Those that the archive shows, read there; and those that were once verified there, in that version."""
    unread: list[tuple[str, FixityRecord]] = field(default_factory=list)
    """Those of which no checksum is known."""
    not_shown: int = 0
    """How many of both the archive does not show now."""

    @property
    def total(self) -> int:
        """The number of files."""
        return len(self.read) + len(self.unread)

    def remake(self, finalizations: Finalizations, key: FinalizedKey) -> None:
        """Publish a finalization of these files in the place of the lost one; it is not complete."""
        why = "it was lost; its files are those that the archive had"
        finalizations.remake(key, self.read, why, self.unread)


def archived_files(
    files: Iterable[tuple[str, Mapping[Side, FixityRecord]]],
    rows: Iterable[Row],
    root: str,
    others: Mapping[str, FixityRecord] | None = None,
) -> ArchivedFiles:
    """Return the files that the archive has, or had: also those that it does not show now, which may be a mistake.

    Parameters
    ----------
    files
        The files of the day or list in the evidence.
    rows
        The rows of its files in the ledger.
    root
        Their directory in the archive.
    others
        More files that the archive may have had: what retention deleted here, what the source has lost.
    """
    others = others or {}
    shown, seen = dict[str, FixityRecord](), dict[str, FixityRecord]()
    for path, by_side in files:
        if "gws" in by_side:
            shown[path] = by_side["gws"]
        else:  # nobody knows what the archive had of it
            seen[path] = FixityRecord(next(iter(by_side.values())).version)
    seen |= {path: FixityRecord(record.version) for path, record in others.items() if path not in shown}
    recorded = {row.remote_path.removeprefix(f"{root}/"): row for row in rows}
    found = ArchivedFiles()
    for path in sorted(shown.keys() | recorded.keys() | seen.keys()):
        record, row = shown.get(path), recorded.get(path)
        found.not_shown += record is None
        if row is not None and (record is None or (record.sha256 is None and record.version.same_as(row.version))):
            # A row of a newer version, which was not copied yet, has no checksum: the path alone is vouched for.
            record = FixityRecord(row.version, row.remote_sha256)
        record = record or seen[path]
        (found.read if record.sha256 else found.unread).append((path, record))
    return found


def lost_files(verification: Verification, day: date) -> Iterator[LostFile]:
    """Yield the files that keep a day from being complete because their source has lost them, and no copy is good.

    Raises
    ------
    EvidenceError
        Where the finalization of the day is damaged.
    """
    name, evidence, archive = verification.name, verification.evidence, verification.archive
    records = verification.records_of(day)
    clocks = Clocks.of(evidence.listings(name, day), Bounds(archive.local_pending, archive.pending))
    for compared, by_side in compare_day(evidence.files(name, day), clocks, records):
        finalized = records.finalized.get(compared.path)
        last_seen = finalized or records.vanished.get(compared.path)
        if last_seen is None or "source" in by_side or compared.archive not in PROBLEMS:
            continue
        if finalized is None or compared.local in PROBLEMS:  # else the local copy of a finalized file is sent again
            local, archived = by_side.get("local"), by_side.get("gws")
            yield LostFile(compared.path, last_seen, _version(local), _version(archived))


def _version(record: FixityRecord | None) -> FileVersion | None:
    return None if record is None else record.version
