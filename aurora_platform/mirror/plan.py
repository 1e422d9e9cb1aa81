"""What to do with each entry of a listing: fetch it, leave it, wait for it, or refuse it.

Paths, sizes and times come from a host and are hostile until they have passed through here. Every entry that concerns
the requested days ends in exactly one :class:`Outcome`, so that the counts of a report add up:
seen = copied + unchanged + unsettled + refused.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from aurora_platform.config.streams import Stream
from aurora_platform.fs.versions import ScannedEntry
from aurora_platform.layout import INCOMING
from aurora_platform.mirror.mtime_resolution import Mtimes
from aurora_platform.mirror.work_directory import incoming
from aurora_platform.streams.classify import Classifier, Directories
from aurora_platform.streams.settled import is_settled
from aurora_platform.text import Count, printable
from aurora_platform.transport.listing import ListedEntry, Listing

# Why a file cannot be written here.
ON_THE_WAY = "a symlink or file stands here where a directory should"
UNDER_ITS_NAME = "something else stands here under its name"
_OURS = "in the directory where files are in the making here"
_IN_THE_MAKING = f"{INCOMING}/"


@dataclass
class DayPlan:
    """The plan for one UTC day: what is there, and what of it is to be fetched."""

    day: date
    seen: int = 0
    fetch: list[ScannedEntry[str]] = field(default_factory=list)
    unchanged: list[ScannedEntry[str]] = field(default_factory=list)
    unsettled: Count = field(default_factory=Count)
    refused: dict[str, Count] = field(default_factory=dict)

    def take(self, file: ScannedEntry[str]) -> None:
        """The file is settled, and not here in this version."""
        self.fetch.append(file)

    def keep(self, file: ScannedEntry[str]) -> None:
        """The file is settled and here."""
        self.unchanged.append(file)

    def refuse(self, name: bytes | str, reason: str) -> None:
        self.refused.setdefault(reason, Count()).add(name)

    @property
    def refused_count(self) -> int:
        return sum(count.total for count in self.refused.values())


@dataclass
class Plan:
    """The plans of all requested days, and what else the listing held."""

    days: dict[date, DayPlan]
    unexpected: int = 0
    """Files of the host that the stream does not include (AUTO, LONG and SHORT images)."""
    newest_ns: int | None = None
    """mtime of the newest file of the stream that was listed, ns since epoch, UTC."""
    ours: int = 0
    """Entries that the stream includes, of whatever day, and those that were refused."""

    @property
    def is_empty(self) -> bool:
        """Whether no file was listed, of whatever stream."""
        return not self.ours and not self.unexpected

    @property
    def unmatched(self) -> int:
        """How many files were listed where not one of them is the stream's: ``include`` may be wrong."""
        return 0 if self.ours else self.unexpected

    def of(self, day: date) -> DayPlan | None:
        """The plan of a day, if it is asked for."""
        return self.days.get(day)

    def lost(self, entry: ListedEntry, reason: str) -> None:
        """An entry that may not be used, and that is in no asked day's place."""

    def listed(self, entry: ListedEntry) -> None:
        """An entry that is a file of this stream, of whatever day."""
        self.newest_ns = max(self.newest_ns or 0, entry.version.mtime_ns)

    def intent(self) -> str:
        """What is about to be fetched, for the log."""
        fetch = [file for day in self.days.values() for file in day.fetch]
        return f"listed {sum(day.seen for day in self.days.values())} files of {len(self.days)} days; to fetch: " + (
            f"{len(fetch)} files, {sum(file.version.size for file in fetch) / 1e6:.1f} MB"
        )


def make_plan(
    stream: Stream, days: Sequence[date], listing: Listing, raw_root: Path, mtimes: Mtimes | None = None
) -> Plan:
    """Decide about every entry of ``listing``.

    Parameters
    ----------
    stream
        The stream's settings.
    days
        The UTC days that are asked for; entries of other days are passed over.
    listing
        What the host said; it is used up.
    raw_root
        The stream's local directory, for comparison by size and mtime.
    mtimes
        How mtimes are compared; without it, by what the last pass has learnt of the file system.
    """
    plan = Plan({day: DayPlan(day) for day in days})
    decide = Decider(stream, Directories(stream, days), listing.clock_ns, raw_root, mtimes)
    for entry in listing.entries:
        decide(entry, plan)
    return plan


class Decider:
    """Decides about one entry of a listing at a time, and tells the plan."""

    def __init__(
        self, stream: Stream, placed: Directories, clock_ns: int, raw_root: Path, mtimes: Mtimes | None = None
    ) -> None:
        self.stream = stream
        self.clock_ns = clock_ns
        self.classify = Classifier(stream, placed, clock_ns)
        self.local = _LocalTree(raw_root)
        self.mtimes = mtimes or Mtimes(incoming(raw_root, stream.raw))

    def __call__(self, entry: ListedEntry, plan: Plan) -> None:
        day, file, reason, is_dated = self.classify(entry)
        plan.ours += reason is not None or file is not None
        if is_dated:
            plan.listed(entry)
        if reason is not None:
            self._refuse(entry, day, reason, plan)
        elif file is None:
            plan.unexpected += entry.is_regular
        elif day is not None and (asked := plan.of(day)) is not None:
            asked.seen += 1
            self._settle(file, asked)

    def _refuse(self, entry: ListedEntry, day: date | None, reason: str, plan: Plan) -> None:
        here = plan.of(day) if day else None
        if here is None:
            plan.lost(entry, reason)
            return
        here.seen += 1
        here.refuse(entry.path, reason)

    def _settle(self, file: ScannedEntry[str], asked: DayPlan) -> None:
        if not is_settled(file.version.mtime_ns, self.clock_ns, self.stream.settle):
            asked.unsettled.add(file.path)
        elif file.path.startswith(_IN_THE_MAKING):
            asked.refuse(file.path, _OURS)
        elif isinstance(here := self.local.look(file.path), str):
            asked.refuse(file.path, here)
        elif here is not None and self.mtimes.is_version(here, file.version):
            asked.keep(file)
        else:
            asked.take(file)


class _LocalTree:
    """The local copy, asked about one file at a time; the directories on the way to it are looked at once."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)  # a pathlib.Path of each file would cost more than the rest, and intern its name for ever
        self._sound: dict[str, bool] = {"": True}

    def look(self, path: str) -> os.stat_result | str | None:
        """The regular file that is here under ``path``, if there is one; or why it cannot be written here: a symlink on
        the way would lead out of the raw root."""
        if not self._is_sound(path.rpartition("/")[0]):
            return ON_THE_WAY
        status = self._status(path)
        if status is None or stat.S_ISREG(status.st_mode):
            return status
        return UNDER_ITS_NAME

    def _status(self, path: str) -> os.stat_result | None:
        try:
            return os.lstat(f"{self.root}/{path}")
        except FileNotFoundError:
            return None

    def _is_sound(self, directory: str) -> bool:
        if directory not in self._sound:
            # From the top: below something that is no directory, nothing can be asked about.
            sound = self._is_sound(directory.rpartition("/")[0])
            status = self._status(directory) if sound else None
            self._sound[directory] = sound and (status is None or stat.S_ISDIR(status.st_mode))
        return self._sound[directory]


def describe_refused(refused: dict[str, Count]) -> list[tuple[str, int, str]]:
    """Rows for a table: reason, count, first names."""
    return [
        (reason, count.total, ", ".join(printable(n) for n in count.first)) for reason, count in sorted(refused.items())
    ]
