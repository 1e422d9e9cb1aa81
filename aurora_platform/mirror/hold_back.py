"""Holds back files that must not be fetched: the door for whoever knows which copies are proved.

The mirror itself knows nothing of archives and finalizations; a :class:`ReplacementGuard` decides.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Set
from typing import Protocol

from aurora_platform.fs.versions import FileVersion, ScannedEntry
from aurora_platform.mirror.plan import HELD_BACK, Plan

type Guarded = tuple[Mapping[str, str], Set[str]]
"""Path -> reason of the files that must not be fetched; and the paths of those that must not be published in another
version than the listed one."""


class ReplacementGuard(Protocol):
    """Decides which files of a source may be fetched, and so replace their copies."""

    def held_files(self) -> Mapping[str, FileVersion]:
        """Return path -> the version at the source that is held back already."""
        ...

    def hold_back(self, listed: Collection[ScannedEntry[str]], fetched: Mapping[str, FileVersion | None]) -> Guarded:
        """Decide about the files that would be fetched.

        Parameters
        ----------
        listed
            All settled files of the requested days, as the source has them.
        fetched
            Path of each file that would be fetched -> the version of the local copy that it replaces; None where there
            is none.
        """
        ...


class NoGuard:
    """The guard of a site without an archive: each change at the source is copied."""

    def held_files(self) -> Mapping[str, FileVersion]:
        """See :meth:`ReplacementGuard.held_files`."""
        return {}

    def hold_back(self, listed: Collection[ScannedEntry[str]], fetched: Mapping[str, FileVersion | None]) -> Guarded:
        """See :meth:`ReplacementGuard.hold_back`."""
        return {}, frozenset()


def hold_back(plan: Plan, guard: ReplacementGuard) -> None:
    """Move the files that ``guard`` holds back from those to fetch to the refused ones."""
    fetched = {file.path: day.replaced.get(file.path) for day in plan.days.values() for file in day.fetch}
    if not fetched:
        return
    listed = [file for day in plan.days.values() for file in (*day.fetch, *day.unchanged)]
    held, exact = guard.hold_back(listed, fetched)
    for day in plan.days.values():
        for file in day.fetch:
            if file.path in held:
                day.refuse(file.path, f"{HELD_BACK}: {held[file.path]}")
        day.fetch = [file for file in day.fetch if file.path not in held]
        day.exact = {file.path for file in day.fetch if file.path in exact}
