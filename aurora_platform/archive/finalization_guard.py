"""Guards finalized files: decides which local files a push may send, so that no damaged copy replaces a good one.

The finalized manifest has the right version of each file. A local file that differs from it is sent only where the
source has the same version: then the instrument rewrote the file. Where the source does not have it (any more), the
local file counts as damaged, and the archive keeps the good copy. The same holds for a file of a day that was never
finalized, when the source once had the file and no longer has it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import date

from aurora_platform.archive.change_rule import ChangeState, Decision
from aurora_platform.archive.fixity_record import FixityRecord
from aurora_platform.archive.ledger import Item
from aurora_platform.archive.proved_files import ProvedFiles
from aurora_platform.archive.stores import Records
from aurora_platform.archive.transfer import GuardDecision
from aurora_platform.errors import EvidenceError
from aurora_platform.fs.versions import FileVersion
from aurora_platform.layout import Side

_NOT_AS_FINALIZED = (
    "differs from the version that its day was finalized with, and the source does not have this version"
)
_NOT_AS_ARCHIVED = "differs from the version in the archive, and the source does not have the file any more"
_BYTES_DIFFER = "its checksum differs from that of the source, of the finalized manifest or of the archive"


class StreamGuard:
    """Decides for the files of one stream whether a push may send them, by finalizations and evidence."""

    def __init__(self, records: Records, stream: str) -> None:
        self._records = records
        self._stream = stream
        self._finalizations = records.finalizations(stream)
        self._proved = ProvedFiles(self._finalizations)
        self.keeps_all = False

    @property
    def archive(self) -> str:
        """The name of the archive."""
        return self._records.archive.name

    def sendable(self, items: Iterable[Item]) -> list[Item]:
        """Return the files that may be sent, protected by a finalization or not."""
        decision = self.decide(items)
        return [*decision.unprotected, *decision.vouched]

    def decide(self, items: Iterable[Item]) -> GuardDecision:
        """Decide for each file whether it may be sent."""
        decision, to_check = GuardDecision(), list[tuple[Item, FixityRecord | None]]()
        items, given_up = list(items), set[Item]()
        days = self._finalized_days(items)
        keeps_undated = self.keeps_all or (self._is_dated_by_mtime and self._finalizations.has_any)
        for item in items:
            vouched = self._proved.of(days.get(item.remote_path, item.day))
            if vouched.error:
                decision.held.append((item, vouched.error))
                continue
            # Without any record of a copy, its mtime does not tell in which day an archived version was finalized.
            is_undated = keeps_undated and item.remote_path not in days
            if is_undated or self.keeps_all or self._path(item) in vouched.earlier:
                given_up.add(item)
            to_check.append((item, vouched.proved.get(self._path(item))))
        if to_check:
            try:
                with self._records.evidence() as evidence:
                    evidence_of_files = [evidence.records_of(self._stream, self._path(item)) for item, _ in to_check]
                    changes = evidence.changes.of_stream(self._stream)
            except EvidenceError as error:
                return self._decide_without_evidence(to_check, str(error), decision, given_up)
            for (item, finalized), by_side in zip(to_check, evidence_of_files, strict=True):
                if why := _why_not(item.version, finalized, by_side, changes.get(self._path(item))):
                    decision.held.append((item, why))
                else:
                    is_vouched = finalized is not None or item in given_up
                    (decision.vouched if is_vouched else decision.unprotected).append(item)
        return decision

    @property
    def _is_dated_by_mtime(self) -> bool:
        return self._records.site.streams[self._stream].day == "mtime"

    def locked(self) -> AbstractContextManager[None]:
        """See :meth:`aurora_platform.archive.transfer.Guard.locked`."""
        return self._finalizations.locked()

    def days_of(self, items: Sequence[Item]) -> set[date]:
        """Return the days whose finalizations list these files."""
        days = self._finalized_days(items)
        found = {days.get(item.remote_path, item.day) for item in items}
        return {day for day in found if day is not None}

    def _decide_without_evidence(
        self,
        to_check: Sequence[tuple[Item, FixityRecord | None]],
        why: str,
        decision: GuardDecision,
        given_up: Collection[Item],
    ) -> GuardDecision:
        """Without evidence about the source, a file that differs from its finalization may be damaged: hold it back."""
        for item, finalized in to_check:
            if finalized is None:
                (decision.vouched if item in given_up else decision.unprotected).append(item)
            elif finalized.version.same_as(item.version):
                decision.vouched.append(item)
            else:
                decision.held.append((item, why))
        return decision

    def _finalized_days(self, items: Sequence[Item]) -> dict[str, date]:
        """Return remote path -> the day of the version in the archive, where it may be another than that of the item.

        Where days are given by the mtime, a file that is written again moves to another day, and its finalized version
        is in the earlier one.
        """
        if not self._is_dated_by_mtime:
            return {}
        stream = self._records.site.streams[self._stream]
        # Where the evidence is lost, the ledger still has what was copied.
        versions = self._records.copied_versions([item.remote_path for item in items])
        with suppress(EvidenceError), self._records.evidence() as evidence:  # the caller reports damaged evidence
            for item in items:
                archived = evidence.records_of(self._stream, self._path(item)).get("gws")
                if archived is not None:
                    versions[item.remote_path] = archived.version
        found = {item.remote_path: self._path(item) for item in items if item.remote_path in versions}
        days = {remote: stream.day_of(path, versions[remote].mtime_ns) for remote, path in found.items()}
        return {remote: day for remote, day in days.items() if day is not None}

    def _path(self, item: Item) -> str:
        return item.remote_path.removeprefix(f"{self._finalizations.archive_root}/")


def _why_not(
    version: FileVersion,
    finalized: FixityRecord | None,
    by_side: Mapping[Side, FixityRecord],
    change: Decision | None,
) -> str | None:
    """Why a version of a local file may not replace the version in the archive; None where it may."""
    source, local, gws = by_side.get("source"), by_side.get("local"), by_side.get("gws")
    sha256 = local.sha256 if local is not None and local.version.same_as(version) else None
    if finalized is not None and finalized.version.same_as(version):
        return _BYTES_DIFFER if _differ(sha256, finalized.sha256) else None
    if finalized is not None and (change is None or not change.change.version.same_as(version)):
        return _NOT_AS_FINALIZED
    if finalized is not None and change is not None and change.state is ChangeState.HELD:
        return f"held back: {change.why}"
    if source is not None and source.version.same_as(version):
        # The version of the source is right, unless the local checksum is vouched to differ.
        return _BYTES_DIFFER if _differ(sha256, source.sha256) else None
    if finalized is not None:
        return None  # the mirror saw this version at the source, and no verification has listed it since
    if gws is None or source is not None:
        return None
    if not gws.version.same_as(version):
        return _NOT_AS_ARCHIVED
    return _BYTES_DIFFER if _differ(sha256, gws.sha256) else None


def _differ(first: str | None, second: str | None) -> bool:
    return first is not None and second is not None and first != second
