"""Guards finalized local files: decides which changes at the source the mirror may fetch.

Implements :class:`aurora_platform.mirror.hold_back.ReplacementGuard`. Without it, the newest version would always win:
a compromised host, or a file system that truncates, would replace the local copy, and then the copy in the archive.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from datetime import date

from aurora_platform.archive.change_rule import Change, ChangeState, first_revisable
from aurora_platform.archive.fixity import Evidence
from aurora_platform.archive.fixity_record import FixityRecord
from aurora_platform.archive.readonly import ReadOnlyRecords
from aurora_platform.archive.stores import Records
from aurora_platform.config.site import Site
from aurora_platform.config.streams import Stream
from aurora_platform.errors import EvidenceError, NewerError
from aurora_platform.fs.versions import FileVersion, ScannedEntry
from aurora_platform.layout import Layout


class ChangeGuard:
    """The guard of one stream, by its finalizations and the stored decisions."""

    def __init__(self, records: Records, stream: str) -> None:
        self._records = records
        self._name = stream
        self._stream = records.site.streams[stream]
        self._finalizations = records.finalizations(stream)

    def held_files(self) -> dict[str, FileVersion]:
        """See :meth:`aurora_platform.mirror.hold_back.ReplacementGuard.held_files`."""
        return held_files(self._records.site, self._name)

    def hold_back(
        self, listed: Collection[ScannedEntry[str]], replaced: Mapping[str, FileVersion]
    ) -> Mapping[str, str]:
        """See :meth:`aurora_platform.mirror.hold_back.ReplacementGuard.hold_back`."""
        days = {path: self._stream.day_of(path, version.mtime_ns) for path, version in replaced.items()}
        proved, damaged = self._proved({day for day in days.values() if day is not None})
        held = {path: damaged[day] for path, day in days.items() if day in damaged}
        changes = list(changes_of(self._stream, proved, listed, replaced))
        if not any(change.path in replaced for change in changes):
            return held  # nothing that is proved would be replaced
        try:
            with self._records.evidence() as evidence:
                finalized_files = {day: len(files) for day, files in proved.items()}
                decisions = evidence.changes.store(self._name, changes, finalized_files, first_revisable(self._stream))
                only_copies = {
                    change.path: _ONLY_COPY
                    for change in changes
                    if _is_only_copy(
                        evidence, self._name, change.path, proved[change.day][change.path], replaced.get(change.path)
                    )
                }
        except EvidenceError as error:  # no decision can be stored: what is proved stays
            return held | {change.path: str(error) for change in changes}
        held |= only_copies
        return held | {
            change.path: decisions[change.path].why
            for change in changes
            if decisions[change.path].state is ChangeState.HELD
        }

    def _proved(self, days: Collection[date]) -> tuple[dict[date, dict[str, FixityRecord]], dict[date, str]]:
        """Read the finalized files of some days; and the errors of the days that cannot be read."""
        proved, damaged = dict[date, dict[str, FixityRecord]](), dict[date, str]()
        for day in days:
            try:
                self._finalizations.require_present(day)
                proved[day] = self._finalizations.proved(day)
            except EvidenceError as error:
                damaged[day] = str(error)
        return proved, damaged


_ONLY_COPY = "the archive does not have its finalized version now, so the local copy may be the only one"


def _is_only_copy(
    evidence: Evidence, stream: str, path: str, finalized: FixityRecord, replaced: FileVersion | None
) -> bool:
    """Whether the local copy is the finalized version, and the archive did not have it when it was last listed.

    A local copy of another version is not protected: a file that changes a second time, before its day is finalized
    with the first change, is replaced like any other file of a day that is not finalized.
    """
    if replaced is None or not finalized.version.same_as(replaced):
        return False
    archived = evidence.records_of(stream, path).get("gws")
    return not (
        archived is not None
        and archived.version.same_as(finalized.version)
        and archived.sha256 in (None, finalized.sha256)
    )


def changes_of(
    stream: Stream,
    proved: Mapping[date, Mapping[str, FixityRecord]],
    listed: Iterable[ScannedEntry[str]],
    replaced: Mapping[str, FileVersion],
) -> Iterable[Change]:
    """Yield the listed files that differ from the version that was finalized.

    Parameters
    ----------
    proved
        Day -> its finalized files.
    listed
        Files of the source.
    replaced
        Path -> the version of the local copy. Where days are given by the mtime, it tells in which day a file was
        finalized.
    """
    for path, version, _ in listed:
        day = stream.day_of(path, replaced[path].mtime_ns if path in replaced else version.mtime_ns)
        finalized = proved.get(day, {}).get(path) if day is not None else None
        if day is not None and finalized is not None and not finalized.version.same_as(version):
            yield Change(path, day, version)


def guard_of(site: Site, stream: str) -> ChangeGuard | None:
    """The guard of a stream; None for a site without an archive, where nothing is finalized."""
    return None if site.archive is None else ChangeGuard(Records(site), stream)


def held_files(site: Site, stream: str) -> dict[str, FileVersion]:
    """Return path -> the version at the source that is held back; empty where that cannot be read. Writes nothing.

    A scan that does not know them only starts a run too many, and the run's guard decides.
    """
    if site.archive is None or not Layout.of(site).fixity.exists():
        return {}
    with suppress(EvidenceError, NewerError), ReadOnlyRecords(site).evidence() as evidence:
        return evidence.changes.held(stream)
    return {}
