"""What a finalization vouches for, held against what is about to be sent over it.

The finalized manifest says what is right. A local file that differs from it is sent only where the source has that very
version: then the instrument has written it anew. Where the source does not have it (any more), the local file is the
one that is damaged, and the archive keeps the good copy. So it does with a file of a day that was never finalized, when
the source had it once and has it no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date

from aurora_platform.archive.fixity_record import FixityRecord
from aurora_platform.archive.ledger import Item
from aurora_platform.archive.stores import Records
from aurora_platform.archive.transfer import Sorted
from aurora_platform.errors import EvidenceError
from aurora_platform.fs.versions import FileVersion
from aurora_platform.layout import Side

_ALTERED = "differs from what its day was finalized with, and its source is not known to have it so"
_LEFT_ALONE = "is not the version that the archive has, and its source does not have it any more"
_ROTTEN = "its bytes are known to be others than those that the source, its day's finalization or the archive has"


class StreamGuard:
    """The finalizations of one stream, and what was last seen of its files, for one push."""

    def __init__(self, records: Records, stream: str) -> None:
        self._records = records
        self._stream = stream
        self._finalizations = records.finalizations(stream)
        self._known: dict[date, dict[str, FixityRecord] | str] = {}
        self._said: dict[date, int] = {}

    @property
    def archive(self) -> str:
        """The name of the archive."""
        return self._records.archive.name

    def sendable(self, items: Iterable[Item]) -> list[Item]:
        """Those of some files that may be sent, with care or without."""
        found = self.sort(items)
        return [*found.free, *found.vouched]

    def sort(self, items: Iterable[Item]) -> Sorted:
        """Say of each file whether it may be sent."""
        found, asked = Sorted(), list[tuple[Item, FixityRecord | None]]()
        for item in items:
            known = self._of_day(item.day)
            if isinstance(known, str):
                found.held.append((item, known))
            else:
                asked.append((item, known.get(self._path(item))))
        if asked:
            try:
                with self._records.evidence() as evidence:
                    places = [evidence.of_file(self._stream, self._path(item)) for item, _ in asked]
            except EvidenceError as error:
                return self._without_evidence(asked, str(error), found)
            for (item, finalized), known_places in zip(asked, places, strict=True):
                if why := _why_not(item.version, finalized, known_places):
                    found.held.append((item, why))
                else:
                    (found.free if finalized is None else found.vouched).append(item)
        return found

    def _without_evidence(self, asked: Sequence[tuple[Item, FixityRecord | None]], why: str, found: Sorted) -> Sorted:
        """Where nothing is known of the source, a file that differs from its finalization may be damaged."""
        for item, finalized in asked:
            if finalized is None:
                found.free.append(item)
            elif finalized.version.same_as(item.version):
                found.vouched.append(item)
            else:
                found.held.append((item, why))
        return found

    def _path(self, item: Item) -> str:
        return item.remote_path.removeprefix(f"{self._finalizations.there}/")

    def _of_day(self, day: date | None) -> dict[str, FixityRecord] | str:
        """What a day was finalized with, by path; or why nobody can tell. Read again when something else is said."""
        try:
            said = None if day is None else self._finalizations.file(day).lstat().st_mtime_ns
        except OSError:
            said = None
        if day is None or said is None:
            return {}
        if self._said.get(day) != said:
            try:
                self._known[day] = self._finalizations.proved(day)
            except EvidenceError as error:
                self._known[day] = str(error)
            self._said[day] = said
        return self._known[day]


def _why_not(version: FileVersion, finalized: FixityRecord | None, places: Mapping[Side, FixityRecord]) -> str | None:
    """Why a version of a local file may not take the place of what the archive has; None where it may."""
    source, local, gws = places.get("source"), places.get("local"), places.get("gws")
    sha256 = local.sha256 if local is not None and local.version.same_as(version) else None
    if source is not None and source.version.same_as(version):
        # What the source has is right, unless its bytes are known to be others.
        return _ROTTEN if _differ(sha256, source.sha256) else None
    if finalized is not None:
        if not finalized.version.same_as(version):
            return _ALTERED
        return _ROTTEN if _differ(sha256, finalized.sha256) else None
    if gws is None or source is not None:
        return None
    if not gws.version.same_as(version):
        return _LEFT_ALONE
    return _ROTTEN if _differ(sha256, gws.sha256) else None


def _differ(one: str | None, other: str | None) -> bool:
    return one is not None and other is not None and one != other
