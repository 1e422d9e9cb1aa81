"""Plan of a pass: fetch, leave, wait for or refuse each listed entry.

Paths, sizes and times that a host lists are not trusted until they are checked here. Every entry of the requested days
has exactly one outcome, so that the counts of a report add up: seen = copied + unchanged + unsettled + refused.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from aurora_platform.config.streams import Stream
from aurora_platform.fs.versions import FileVersion, ScannedEntry
from aurora_platform.layout import INCOMING
from aurora_platform.mirror.mtime_resolution import MtimeComparison
from aurora_platform.mirror.work_directory import incoming_directory
from aurora_platform.streams.classify import Classifier, Directories
from aurora_platform.streams.settled import is_settled
from aurora_platform.text import Count, counted, human_size, printable
from aurora_platform.transport.listing import ListedEntry, Listing

# Reasons why a file cannot be written locally.
PATH_BLOCKED = "a local file or symlink stands where a directory is needed"
NAME_TAKEN = "its local name is taken by a directory, symlink or special file"
HELD_BACK = "held back, because its day is finalized"
"""Begin of the reason why a changed file must not replace its local copy."""
_RESERVED = f"its path is in {INCOMING}, the mirror's own work directory"
_RESERVED_PREFIX = f"{INCOMING}/"


@dataclass
class DayPlan:
    """The plan for one UTC day: the files on the host, and those of them to fetch."""

    day: date
    seen: int = 0
    fetch: list[ScannedEntry[str]] = field(default_factory=list)
    replaced: dict[str, FileVersion] = field(default_factory=dict)
    """Path of a file to fetch -> the version of the local copy that it replaces."""
    exact: set[str] = field(default_factory=set)
    """Paths of files to fetch that must not be published in another version than the listed one."""
    unchanged: list[ScannedEntry[str]] = field(default_factory=list)
    unsettled: Count = field(default_factory=Count)
    refused: dict[str, Count] = field(default_factory=dict)

    def add_missing(self, file: ScannedEntry[str], local: FileVersion | None = None) -> None:
        """Add a settled file that has no local copy of this version; ``local`` is the version of its local copy."""
        self.fetch.append(file)
        if local is not None:
            self.replaced[file.path] = local

    def add_unchanged(self, file: ScannedEntry[str]) -> None:
        """Add a settled file that has a local copy of this version."""
        self.unchanged.append(file)

    def refuse(self, name: bytes | str, reason: str) -> None:
        self.refused.setdefault(reason, Count()).add(name)

    @property
    def refused_count(self) -> int:
        return sum(count.total for count in self.refused.values())


@dataclass
class Plan:
    """The plans of all requested days, and counts of the other listed entries."""

    days: dict[date, DayPlan]
    unexpected: int = 0
    """Files of the host that the stream does not include (AUTO, LONG and SHORT images)."""
    newest_ns: int | None = None
    """mtime of the newest listed file of the stream, ns since epoch, UTC."""
    of_stream: int = 0
    """Entries of any day that the stream includes, and refused entries."""

    @property
    def is_empty(self) -> bool:
        """Whether no file of any stream was listed."""
        return not self.of_stream and not self.unexpected

    @property
    def unmatched(self) -> int:
        """The number of listed files if the stream includes none of them, else 0: ``include`` may be wrong."""
        return 0 if self.of_stream else self.unexpected

    def day_plan(self, day: date) -> DayPlan | None:
        """Return the plan of a requested day; None for any other day."""
        return self.days.get(day)

    def add_refused_without_day(self, entry: ListedEntry, reason: str) -> None:
        """Add a refused entry that belongs to no requested day; a plan ignores it."""

    def add_listed(self, entry: ListedEntry) -> None:
        """Add an entry that is a file of this stream, of any day."""
        self.newest_ns = max(self.newest_ns or 0, entry.version.mtime_ns)

    def summarize(self) -> str:
        """Return the log line about the files to fetch."""
        fetch = [file for day in self.days.values() for file in day.fetch]
        listed = counted(sum(day.seen for day in self.days.values()), "file")
        size = human_size(sum(file.version.size for file in fetch))
        return f"listed {listed} of {counted(len(self.days), 'day')}; to fetch: {counted(len(fetch), 'file')}, {size}"


def make_plan(
    stream: Stream,
    days: Sequence[date],
    listing: Listing,
    raw_root: Path,
    mtimes: MtimeComparison | None = None,
    held: Mapping[str, FileVersion] | None = None,
) -> Plan:
    """Decide about every entry of ``listing``.

    Parameters
    ----------
    stream
        The stream's settings.
    days
        The requested UTC days; entries of other days are ignored.
    listing
        The listing of the host; it is consumed.
    raw_root
        The stream's local directory, for comparison by size and mtime.
    mtimes
        How mtimes are compared; without it, by the resolution that the last pass has saved.
    held
        Path -> the version at the source that is held back (:mod:`aurora_platform.mirror.hold_back`).
    """
    plan = Plan({day: DayPlan(day) for day in days})
    planner = EntryPlanner(stream, Directories(stream, days), listing.clock_ns, raw_root, mtimes, held)
    for entry in listing.entries:
        planner.add_to(plan, entry)
    return plan


class EntryPlanner:
    """Decides about one listed entry at a time, and adds it to a plan."""

    def __init__(
        self,
        stream: Stream,
        directories: Directories,
        clock_ns: int,
        raw_root: Path,
        mtimes: MtimeComparison | None = None,
        held: Mapping[str, FileVersion] | None = None,
    ) -> None:
        self.stream = stream
        self.clock_ns = clock_ns
        self.classify = Classifier(stream, directories, clock_ns)
        self.local = _LocalTree(raw_root)
        self.mtimes = mtimes or MtimeComparison(incoming_directory(raw_root, stream.raw))
        self.held = held or {}

    def add_to(self, plan: Plan, entry: ListedEntry) -> None:
        """Classify an entry and add it to the plan."""
        day, file, reason, is_dated = self.classify(entry)
        plan.of_stream += reason is not None or file is not None
        if is_dated:
            plan.add_listed(entry)
        if reason is not None:
            self._refuse(entry, day, reason, plan)
        elif file is None:
            plan.unexpected += entry.is_regular
        elif day is not None and (day_plan := plan.day_plan(day)) is not None:
            day_plan.seen += 1
            self._add_file(file, day_plan)

    def _refuse(self, entry: ListedEntry, day: date | None, reason: str, plan: Plan) -> None:
        day_plan = plan.day_plan(day) if day else None
        if day_plan is None:
            plan.add_refused_without_day(entry, reason)
            return
        day_plan.seen += 1
        day_plan.refuse(entry.path, reason)

    def _add_file(self, file: ScannedEntry[str], day_plan: DayPlan) -> None:
        if not is_settled(file.version.mtime_ns, self.clock_ns, self.stream.settle):
            day_plan.unsettled.add(file.path)
        elif file.path.startswith(_RESERVED_PREFIX):
            day_plan.refuse(file.path, _RESERVED)
        elif isinstance(local := self.local.find(file.path), str):
            day_plan.refuse(file.path, local)
        elif local is not None and self.mtimes.is_version(local, file.version):
            day_plan.add_unchanged(file)
        elif self.held.get(file.path) == file.version:
            day_plan.refuse(file.path, HELD_BACK)
        else:
            day_plan.add_missing(file, None if local is None else FileVersion.of(local))


class _LocalTree:
    """The local copy, checked one file at a time; each parent directory is checked once."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)  # a pathlib.Path per file would cost more than all the rest, and intern its name for ever
        self._is_usable: dict[str, bool] = {"": True}

    def find(self, path: str) -> os.stat_result | str | None:
        """Return the status of the regular local file ``path``, None if it does not exist, or the reason why it cannot
        be written: a symlink among its parents would lead out of the raw root."""
        if not self._is_usable_directory(path.rpartition("/")[0]):
            return PATH_BLOCKED
        status = self._lstat(path)
        if status is None or stat.S_ISREG(status.st_mode):
            return status
        return NAME_TAKEN

    def _lstat(self, path: str) -> os.stat_result | None:
        try:
            return os.lstat(f"{self.root}/{path}")
        except FileNotFoundError:
            return None

    def _is_usable_directory(self, directory: str) -> bool:
        if directory not in self._is_usable:
            # From the top: lstat fails below a path that is not a directory.
            is_usable = self._is_usable_directory(directory.rpartition("/")[0])
            status = self._lstat(directory) if is_usable else None
            self._is_usable[directory] = is_usable and (status is None or stat.S_ISDIR(status.st_mode))
        return self._is_usable[directory]


def describe_refused(refused: dict[str, Count]) -> list[tuple[str, int, str]]:
    """Return rows for a table: reason, count, first names."""
    return [
        (reason, count.total, ", ".join(printable(n) for n in count.first)) for reason, count in sorted(refused.items())
    ]
