"""The own list of a collection: the finalization of its files that belong to no UTC day.

A file enters the list when it is proved and has rested for a day. It stays in the list, in its finalized version, as
long as the archive has that version; so a push that replaces it knows that the earlier version must be kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta

from aurora_platform.archive.compare import EXPECT_ALL_NS, Compared, MatchClass, class_of
from aurora_platform.archive.finalize import Finalizations
from aurora_platform.archive.fixity_record import FixityRecord
from aurora_platform.fs.versions import as_ns
from aurora_platform.layout import OWN_LIST, Side
from aurora_platform.text import MOST_NAMED, printable

RESTED = timedelta(days=1)
"""A file that changes more often is compared, and not listed."""
_ADD_EVERY = timedelta(days=1)
"""New files alone make at most one revision of a list in this time."""


class OwnList:
    """Collects the next revision of an own list from the comparison of its files."""

    def __init__(self, finalizations: Finalizations, clock_ns: int, is_sent: Callable[[Iterable[str]], bool]) -> None:
        """``is_sent`` tells whether a push has sent some of these files since the places were listed."""
        self._finalizations = finalizations
        self._is_sent = is_sent
        self._now = datetime.fromtimestamp(clock_ns / 1e9, UTC)
        self._rested_ns = clock_ns - as_ns(RESTED)
        self._files = list[tuple[str, FixityRecord]]()
        self._is_changed = False
        """Whether a listed file has another version, or is in the list no more."""
        self._wrong = list[str]()
        self._has_unclear = False
        """Whether a file of the archive is not proved, and in no finalization that is known."""

    @property
    def files(self) -> int:
        """The number of files that the list would have."""
        return len(self._files)

    def add(self, compared: Compared, by_side: Mapping[Side, FixityRecord], finalized: FixityRecord | None) -> None:
        archived = by_side.get("gws")
        self._has_unclear |= archived is not None and finalized is None and not compared.is_proved
        if compared.is_proved and archived is not None:
            if compared.right is finalized or archived.version.mtime_ns <= self._rested_ns:
                self._list(compared.path, archived, finalized)
                return
        elif finalized is not None:
            in_archive = class_of(finalized, archived, EXPECT_ALL_NS)
            if in_archive in (MatchClass.IDENTICAL, MatchClass.PENDING):
                self._list(compared.path, finalized, finalized)
                return
            if compared.right is finalized:
                self._list(compared.path, finalized, finalized)
                if len(self._wrong) < MOST_NAMED:
                    self._wrong.append(f"{printable(compared.path)}: {in_archive} in the archive")
                return
        self._is_changed |= finalized is not None

    def _list(self, path: str, record: FixityRecord, finalized: FixityRecord | None) -> None:
        self._files.append((path, record))
        self._is_changed |= finalized is not None and finalized.sha256 != record.sha256

    def publish(self) -> bool:
        """Publish the list, or withdraw it; returns whether that changed anything."""
        why_not = "; ".join(self._wrong)
        is_withdrawn = bool(why_not) and self._finalizations.withdraw(OWN_LIST, why_not)
        earlier = self._finalizations.read(OWN_LIST)
        is_lost = earlier is None and bool(self._finalizations.why_missing(OWN_LIST))
        if (is_lost and self._has_unclear) or (earlier is None and not self._files):
            return False  # such a file may have been finalized: a list without it would let a push replace it
        is_as_before = earlier is not None and earlier.complete is not bool(why_not)
        has_only_grown = is_as_before and not self._is_changed
        if earlier is not None and has_only_grown and datetime.fromisoformat(earlier.since) > self._now - _ADD_EVERY:
            return is_withdrawn
        files = sorted(self._files, key=lambda file: file[0])
        # While one file is wrong, the list is not complete; it vouches for all the others, and for new ones.
        is_published = self._finalizations.complete(
            OWN_LIST, files, is_sent=lambda: self._is_sent(path for path, _ in files), why_not=why_not
        )
        return is_published or is_withdrawn
