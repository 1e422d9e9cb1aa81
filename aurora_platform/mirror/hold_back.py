"""Holds back files that must not replace their local copies: the door for whoever knows which copies are proved.

The mirror itself knows nothing of archives and finalizations; a :class:`ReplacementGuard` decides.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from aurora_platform.fs.versions import FileVersion, ScannedEntry
from aurora_platform.mirror.plan import HELD_BACK, Plan


class ReplacementGuard(Protocol):
    """Decides which files of a source may replace their local copies."""

    def held_files(self) -> Mapping[str, FileVersion]:
        """Return path -> the version at the source that is held back already."""
        ...

    def hold_back(
        self, listed: Collection[ScannedEntry[str]], replaced: Mapping[str, FileVersion]
    ) -> Mapping[str, str]:
        """Return path -> reason for the files that must not be fetched.

        Parameters
        ----------
        listed
            All settled files of the requested days, as the source has them.
        replaced
            Path -> the version of the local copy that a fetch would replace.
        """
        ...


class NoGuard:
    """The guard of a site without an archive: each change at the source is copied."""

    def held_files(self) -> Mapping[str, FileVersion]:
        """See :meth:`ReplacementGuard.held_files`."""
        return {}

    def hold_back(
        self, listed: Collection[ScannedEntry[str]], replaced: Mapping[str, FileVersion]
    ) -> Mapping[str, str]:
        """See :meth:`ReplacementGuard.hold_back`."""
        return {}


def hold_back(plan: Plan, guard: ReplacementGuard) -> None:
    """Move the files that ``guard`` holds back from those to fetch to the refused ones."""
    replaced = {path: version for day in plan.days.values() for path, version in day.replaced.items()}
    if not any(day.fetch for day in plan.days.values()):
        return
    listed = [file for day in plan.days.values() for file in (*day.fetch, *day.unchanged)]
    held = guard.hold_back(listed, replaced)
    for day in plan.days.values():
        for file in day.fetch:
            if file.path in held:
                day.refuse(file.path, f"{HELD_BACK}: {held[file.path]}")
        day.fetch = [file for file in day.fetch if file.path not in held]
