"""Guards finalized local files: decides which changes at the source the mirror may fetch.

Implements :class:`aurora_platform.mirror.hold_back.ReplacementGuard`. Without it, the newest version would always win:
a compromised host, or a file system that truncates, would replace the local copy, and then the copy in the archive.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Set
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date

from aurora_platform.archive.change_rule import Change, ChangeState, first_revisable
from aurora_platform.archive.fixity import Evidence
from aurora_platform.archive.fixity_record import FixityRecord
from aurora_platform.archive.readonly import ReadOnlyRecords
from aurora_platform.archive.stores import Records
from aurora_platform.config.site import Site
from aurora_platform.errors import EvidenceError, NewerError
from aurora_platform.fs.versions import FileVersion, ScannedEntry
from aurora_platform.layout import Layout


class ChangeGuard:
    """The guard of one stream, by its finalizations and the stored decisions."""

    def __init__(self, records: Records, stream: str) -> None:
        self._records = records
        self._name = stream
        self._stream = records.site.streams[stream]
        self._finalizations = ReadOnlyRecords(records.site).finalizations(stream)

    def held_files(self) -> dict[str, FileVersion]:
        """See :meth:`aurora_platform.mirror.hold_back.ReplacementGuard.held_files`."""
        return held_files(self._records.site, self._name)

    def hold_back(
        self, listed: Collection[ScannedEntry[str]], fetched: Mapping[str, FileVersion | None]
    ) -> tuple[Mapping[str, str], Set[str]]:
        """See :meth:`aurora_platform.mirror.hold_back.ReplacementGuard.hold_back`."""
        found = self._compare(listed, fetched)
        if not any(change.path in fetched for change in found.changes):
            return found.held, found.exact  # nothing that is proved would be replaced
        try:
            held = found.held | self._decide(found, fetched)
        except EvidenceError as error:  # no decision can be stored: what is proved stays
            held = found.held | {change.path: str(error) for change in found.changes}
        return held, found.exact

    def _decide(self, found: _FinalizedFiles, fetched: Mapping[str, FileVersion | None]) -> dict[str, str]:
        """Decide about the changed files; returns path -> reason of those that are held back."""
        window = first_revisable(self._stream)
        with self._records.evidence() as evidence:
            decisions = evidence.changes.store(self._name, found.changes, found.counts, window, proved=found.proved)
            only_copies = {
                change.path: _ONLY_COPY
                for change in found.changes
                if _is_only_copy(
                    evidence, self._name, change.path, found.proved[change.day][change.path], fetched.get(change.path)
                )
            }
        return only_copies | {
            change.path: decisions[change.path].why
            for change in found.changes
            if decisions[change.path].state is ChangeState.HELD
        }

    def _compare(
        self, listed: Collection[ScannedEntry[str]], fetched: Mapping[str, FileVersion | None]
    ) -> _FinalizedFiles:
        """Compare the listed files with the finalizations of the days of those that would be fetched."""
        stored, earlier = self._read_evidence([path for path, local in fetched.items() if local is None])
        versions = {**earlier, **{path: local for path, local in fetched.items() if local is not None}}
        by_day = dict[date, list[ScannedEntry[str]]]()
        wanted = set[date]()
        for file in listed:
            day = self._stream.day_of(file.path, versions.get(file.path, file.version).mtime_ns)
            if day is not None:
                by_day.setdefault(day, []).append(file)
                if file.path in fetched:
                    wanted.add(day)
        found = _FinalizedFiles()
        for day in sorted(wanted):  # a day at a time: the finalized files of all of them may be many
            try:
                found.add(day, by_day[day], self._finalizations.proved(day), fetched.keys(), stored)
            except EvidenceError as error:  # what has no local copy is fetched: it may be new
                replaced = (file.path for file in by_day[day] if fetched.get(file.path) is not None)
                found.held |= dict.fromkeys(replaced, str(error))
        return found

    def _read_evidence(self, absent: Collection[str]) -> tuple[set[str], dict[str, FileVersion]]:
        """Return the paths with a stored decision; and, where days are given by the mtime, the version in which files
        without a local copy were archived, or else deleted locally: it tells in which day they were finalized.
        """
        stored, versions = set[str](), dict[str, FileVersion]()
        if not self._records.layout.fixity.exists():
            return stored, versions
        with suppress(EvidenceError, NewerError), ReadOnlyRecords(self._records.site).evidence() as evidence:
            stored |= evidence.changes.of_stream(self._name).keys()
            for path in absent if self._stream.day == "mtime" else ():
                archived = evidence.records_of(self._name, path).get("gws")
                version = archived.version if archived else evidence.released_version(self._name, path)
                if version is not None:
                    versions[path] = version
        return stored, versions


@dataclass
class _FinalizedFiles:
    """The finalized files among those of a source, and which of them have changed."""

    changes: list[Change] = field(default_factory=list)
    counts: dict[date, int] = field(default_factory=dict)
    """Day -> how many files its finalization lists."""
    proved: dict[date, dict[str, FixityRecord]] = field(default_factory=dict)
    """Day -> its finalized files, as far as they have changed, or have a stored decision."""
    exact: set[str] = field(default_factory=set)
    """The finalized files that would be fetched."""
    held: dict[str, str] = field(default_factory=dict)
    """Path -> reason, of files that would replace a local copy and whose finalization cannot be read."""

    def add(
        self,
        day: date,
        listed: Iterable[ScannedEntry[str]],
        proved: Mapping[str, FixityRecord],
        fetched: Set[str],
        stored: Set[str],
    ) -> None:
        """Add a day: its listed files, and its finalized files."""
        changes = [
            Change(path, day, version)
            for path, version, _ in listed
            if path in proved and not proved[path].version.same_as(version)
        ]
        self.changes += changes
        self.counts[day] = len(proved)
        kept = {change.path for change in changes} | (stored & proved.keys())
        self.proved[day] = {path: proved[path] for path in kept}
        self.exact |= fetched & proved.keys()


_ONLY_COPY = "the archive does not have its finalized version now, so the local copy may be the only one"


def _is_only_copy(
    evidence: Evidence, stream: str, path: str, finalized: FixityRecord, replaced: FileVersion | None
) -> bool:
    """Whether the local copy is the finalized version, and the archive did not have it when it was last listed.

    A local copy that was read and has other bytes is none.

    A local copy of another version is not protected: a file that changes a second time, before its day is finalized
    with the first change, is replaced like any other file of a day that is not finalized.
    """
    if replaced is None or not finalized.version.same_as(replaced):
        return False
    by_side = evidence.records_of(stream, path)
    local, archived = by_side.get("local"), by_side.get("gws")
    if local is not None and local.version.same_as(replaced) and local.sha256 not in (None, finalized.sha256):
        return False
    return not (
        archived is not None
        and archived.version.same_as(finalized.version)
        and archived.sha256 in (None, finalized.sha256)
    )


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
