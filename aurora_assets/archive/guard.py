"""What a finalization vouches for, held against what is about to be sent over it.

The finalized manifest says what is right. A local file that differs from it is sent only where the source has that very
version: then the instrument has written it anew. Where the source does not have it (any more), the local file is the
one that is damaged, and the archive keeps the good copy.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from aurora_assets.archive.certify import Records
from aurora_assets.archive.errand import Sorted
from aurora_assets.archive.evidence import Evidence
from aurora_assets.archive.known import Known
from aurora_assets.archive.ledger import Item
from aurora_assets.errors import EvidenceError

_ALTERED = "differs from what its day was finalized with, and its source is not known to have it so"
_ROTTEN = "its bytes are not those that its day was finalized with"


class StreamGuard:
    """The finalizations of one stream, and what was last seen of its files, for one push."""

    def __init__(self, records: Records, stream: str) -> None:
        self._records = records
        self._stream = stream
        self._finalizations = records.finalizations(stream)
        self._known: dict[date, dict[str, Known] | str] = {}

    def is_finalized(self, day: date | None) -> bool:
        """Whether something is said of a day, be it that it is not complete any more."""
        return day is not None and self._finalizations.file(day).exists()

    def sort(self, items: Iterable[Item]) -> Sorted:
        """Say of each file whether it may be sent."""
        found, asked = Sorted(), list[tuple[Item, str, Known]]()
        for item in items:
            known = self._of_day(item.day)
            if isinstance(known, str):
                found.held.append((item, known))
                continue
            path = item.remote_path.removeprefix(f"{self._finalizations.there}/")
            if (finalized := known.get(path)) is None:
                found.free.append(item)
            else:
                asked.append((item, path, finalized))
        if asked:
            with self._records.evidence() as evidence:
                for item, path, finalized in asked:
                    why = _why_not(item, finalized, evidence, self._stream, path)
                    if why:
                        found.held.append((item, why))
                    else:
                        found.vouched.append(item)
        return found

    def _of_day(self, day: date | None) -> dict[str, Known] | str:
        """What a day was finalized with, by path; or why nobody can tell."""
        if day is None:
            return {}
        if day not in self._known:
            try:
                self._known[day] = self._finalizations.proved(day)
            except EvidenceError as error:
                self._known[day] = str(error)
        return self._known[day]


def _why_not(item: Item, finalized: Known, evidence: Evidence, stream: str, path: str) -> str | None:
    """Why a local file may not take the place of what was finalized; None where it may."""
    version = Known(item.size, item.mtime_ns)
    places = evidence.of_file(stream, path)
    local = places.get("local")
    sha256 = local.sha256 if local is not None and local.is_version_of(version) else None
    if finalized.is_version_of(version):
        return _ROTTEN if sha256 and finalized.sha256 and sha256 != finalized.sha256 else None
    source = places.get("source")
    if source is None or not source.is_version_of(version):
        return _ALTERED
    return _ALTERED if sha256 and source.sha256 and sha256 != source.sha256 else None
