"""The own list of a collection: the finalization of its files that belong to no UTC day.

A file enters the list when it is proved and has rested for a day. It leaves the list only when the archive has a newer
version and keeps this one; so a push that replaces it knows that the earlier version must be kept.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cached_property

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

    def __init__(
        self,
        finalizations: Finalizations,
        clock_ns: int,
        is_sent: Callable[[Iterable[str]], bool],
        is_kept: Callable[[str, int | None, datetime], bool],
        earlier: Collection[str] = (),
    ) -> None:
        """Begin with the list as it is.

        Parameters
        ----------
        clock_ns
            The time, ns since epoch.
        is_sent
            Whether a push has sent some files since the places were listed.
        is_kept
            Whether a push has replaced a file in the archive since a time, and kept the earlier version: path, its size
            in bytes (None: any), time.
        earlier
            The paths that only earlier revisions list.
        """
        self._finalizations = finalizations
        self._is_sent = is_sent
        self._is_kept_since = is_kept
        self._earlier = earlier
        self._now = datetime.fromtimestamp(clock_ns / 1e9, UTC)
        self._rested_ns = clock_ns - as_ns(RESTED)
        self._files = list[tuple[str, FixityRecord]]()
        self._is_changed = False
        """Whether a listed file has another version, or is in the list no more."""
        self._wrong = list[str]()
        self._replaced = set[str]()
        """Paths of which the archive has a newer version than the finalized one, which it keeps."""

    @property
    def files(self) -> int:
        """The number of files that the list would have."""
        return len(self._files)

    def add(self, compared: Compared, by_side: Mapping[Side, FixityRecord], finalized: FixityRecord | None) -> None:
        path, archived = compared.path, by_side.get("gws")
        if compared.is_proved and archived is not None:
            if compared.right is finalized or archived.version.mtime_ns <= self._rested_ns:
                self._list(path, archived, finalized)
            else:
                self._drop_replaced(path, finalized)
            return
        if finalized is None:
            # Given up before, and made again: when a push has kept what was there, the name is free.
            if path in self._earlier and self._is_kept(path, None):
                self._replaced.add(path)
            return
        in_archive = class_of(finalized, archived, EXPECT_ALL_NS)
        is_archived = in_archive in (MatchClass.IDENTICAL, MatchClass.PENDING)
        is_newer_local = compared.right is not finalized
        if not is_archived and is_newer_local and self._is_kept(path, finalized):
            self._drop_replaced(path, finalized)
            return
        # A listing that does not show the finalized version is no proof that it is gone: it stays in the list.
        self._list(path, finalized, finalized)
        if not is_archived and len(self._wrong) < MOST_NAMED:
            waits = ", and its new version is not there yet" if is_newer_local else ""
            self._wrong.append(f"{printable(path)}: {in_archive} in the archive{waits}")

    def _drop_replaced(self, path: str, finalized: FixityRecord | None) -> None:
        """Leave a file out whose finalized version was replaced, and is kept."""
        self._replaced.add(path)
        self._is_changed |= finalized is not None

    def _list(self, path: str, record: FixityRecord, finalized: FixityRecord | None) -> None:
        self._files.append((path, record))
        self._is_changed |= finalized is not None and finalized.sha256 != record.sha256

    def _is_kept(self, path: str, finalized: FixityRecord | None) -> bool:
        """Whether a push has replaced the finalized version since the list was written, and kept it; None: any."""
        since, size = self._since, finalized.version.size if finalized is not None else None
        return since is not None and self._is_kept_since(path, size, since)

    @cached_property
    def _since(self) -> datetime | None:
        earlier = self._finalizations.read(OWN_LIST)
        return earlier.since_utc if earlier is not None else None

    def publish(self) -> bool:
        """Publish the list, or withdraw it; returns whether that changed anything."""
        why_not = "; ".join(self._wrong)
        is_withdrawn = bool(why_not) and self._finalizations.withdraw(OWN_LIST, why_not)
        earlier = self._finalizations.read(OWN_LIST)
        if earlier is None and not self._files:
            return False
        is_as_before = earlier is not None and earlier.complete is not bool(why_not)
        has_only_grown = is_as_before and not self._is_changed
        if earlier is not None and has_only_grown and earlier.is_younger(_ADD_EVERY, self._now):
            return is_withdrawn
        files = sorted(self._files, key=lambda file: file[0])
        # While one file is wrong, the list is not complete; it vouches for all the others, and for new ones.
        is_published = self._finalizations.complete(
            OWN_LIST,
            files,
            is_sent=lambda: self._is_sent(path for path, _ in files),
            replaced=self._replaced,
            why_not=why_not,
        )
        return is_published or is_withdrawn
