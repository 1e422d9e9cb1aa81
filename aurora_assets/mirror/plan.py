"""What to do with each entry of a listing: fetch it, leave it, wait for it, or refuse it.

Paths, sizes and times come from a host and are hostile until they have passed through here. Every entry that concerns
the requested days ends in exactly one :class:`Outcome`, so that the counts of a report add up:
seen = copied + unchanged + unsettled + refused.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from aurora_assets.files import FileId, Tally, UnsafePathError, is_settled, safe_relative, shown
from aurora_assets.mirror.listing import DIRECTORY, FILE, SYMLINK, Entry, Listing
from aurora_assets.site import Stream

# A file name does not stand in the directory of its neighbour day by more than this: clips are named by their begin or
# their end, so the last of a day may carry the next day's date.
_NEIGHBOUR = timedelta(days=1)
# More directories than this on one command line: list the whole source instead.
_MOST_DIRECTORIES = 800
# A host's clock may be off by a little; a file stamped further ahead than this will not settle by waiting.
_AHEAD_NS = 86_400 * 1_000_000_000

# Parts of a path that find never says below what it lists: of an absolute one, with "//" or "/./", or leading upwards.
_NEVER_SAID = {"", ".", ".."}

# rsync's receiver takes such a name for one that nobody asked for, and ends the whole transfer.
_NOT_FOR_RSYNC = re.compile(r"\\[]*?[]")


@dataclass
class DayPlan:
    """The plan for one UTC day: what is there, and what of it is to be fetched."""

    day: date
    seen: int = 0
    fetch: list[FileId] = field(default_factory=list)
    unchanged: list[FileId] = field(default_factory=list)
    unsettled: Tally = field(default_factory=Tally)
    refused: dict[str, Tally] = field(default_factory=dict)

    def take(self, file: FileId) -> None:
        """The file is settled, and not here in this version."""
        self.fetch.append(file)

    def keep(self, file: FileId) -> None:
        """The file is settled and here."""
        self.unchanged.append(file)

    def refuse(self, name: bytes | str, reason: str) -> None:
        self.refused.setdefault(reason, Tally()).add(name)

    @property
    def refused_count(self) -> int:
        return sum(tally.count for tally in self.refused.values())


@dataclass
class Plan:
    """The plans of all requested days, and what else the listing held."""

    days: dict[date, DayPlan]
    foreign: int = 0
    """Files of the host that the stream does not include (AUTO, LONG and SHORT images)."""
    newest_ns: int | None = None
    """mtime of the newest file of the stream that was listed, ns since epoch, UTC."""

    def of(self, day: date) -> DayPlan | None:
        """The plan of a day, if it is asked for."""
        return self.days.get(day)

    def lost(self, entry: Entry, reason: str) -> None:
        """An entry that may not be used, and that is in no asked day's place."""

    def listed(self, entry: Entry) -> None:
        """An entry that is a file of this stream, of whatever day."""
        self.newest_ns = max(self.newest_ns or 0, entry.mtime_ns)

    def intent(self) -> str:
        """What is about to be fetched, for the log."""
        fetch = [file for day in self.days.values() for file in day.fetch]
        return f"listed {sum(day.seen for day in self.days.values())} files of {len(self.days)} days; to fetch: " + (
            f"{len(fetch)} files, {sum(file.size for file in fetch) / 1e6:.1f} MB"
        )


class Directories:
    """The host's directories of each day, by the stream's templates."""

    def __init__(self, stream: Stream, days: Sequence[date]) -> None:
        self.stream = stream
        self._cached: dict[date, set[str]] = {}
        self._prefixes: dict[date, tuple[str, ...]] = {}
        self.owner = {t: day for day in days for t in _directories_of(stream, day)}
        wanted = sorted({t for day in days for t in self._around(day)})
        self.below = wanted if len(wanted) <= _MOST_DIRECTORIES else []
        self._depths = sorted({t.count("/") + 1 for t in self.owner})
        self.newest = max(days, default=None)

    def day_of(self, path: bytes) -> date | None:
        """The requested day in whose directories ``path`` lies; None where it lies elsewhere."""
        parts = path.decode("utf-8", "replace").split("/")
        for depth in self._depths:
            if day := self.owner.get("/".join(parts[:depth])):
                return day
        return None

    def would_list(self, path: str, day: date) -> bool:
        """Whether the listing of ``day`` would look where ``path`` lies."""
        if day not in self._prefixes:
            self._prefixes[day] = tuple(f"{place}/" for place in self._around(day))
        return not self.stream.day_dirs or path.startswith(self._prefixes[day])

    def _around(self, day: date) -> set[str]:
        """The directories of a day and of its neighbours."""
        if day not in self._cached:
            near = (day + step * _NEIGHBOUR for step in (-1, 0, 1) if date.min < day < date.max)
            self._cached[day] = {t for n in near for t in _directories_of(self.stream, n)}
        return self._cached[day]


def _directories_of(stream: Stream, day: date) -> list[str]:
    return [day.strftime(template) for template in stream.day_dirs]


def directories(stream: Stream, days: Sequence[date]) -> list[str]:
    """The directories to list for ``days``, relative to the stream's root; empty where it is the whole source."""
    return Directories(stream, days).below


def make_plan(stream: Stream, days: Sequence[date], listing: Listing, raw_root: Path) -> Plan:
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
    """
    plan = Plan({day: DayPlan(day) for day in days})
    decide = Decider(stream, Directories(stream, days), listing.clock_ns, raw_root)
    for entry in listing.entries:
        decide(entry, plan)
    return plan


class Decider:
    """Decides about one entry of a listing at a time, and tells the plan."""

    def __init__(self, stream: Stream, placed: Directories, clock_ns: int, raw_root: Path) -> None:
        self.stream = stream
        self.placed = placed
        self.clock_ns = clock_ns
        self.today = datetime.fromtimestamp(clock_ns / 1e9, UTC).date()
        self.local = _LocalTree(raw_root)

    def __call__(self, entry: Entry, plan: Plan) -> None:
        text = entry.path.decode("utf-8", "surrogateescape")
        ours = self.stream.names_a_file(text) if entry.kind == DIRECTORY else self.stream.includes(text)
        lies = text != "." and not _NEVER_SAID.isdisjoint(text.split("/"))
        # Nobody knows what is behind a link, so a link is shown whatever its name; so is what find would never say.
        if not ours and entry.kind != SYMLINK and not lies:
            plan.foreign += entry.kind == FILE
            return
        day, reason = _judge(self.stream, text, entry, self.today, self.clock_ns)
        home = self.placed.day_of(entry.path)
        if reason is not None:
            # A listing of the whole source is every day's: what has no day there is shown with the newest asked one.
            rest = self.placed.newest if lies or not self.placed.owner else None
            self._refuse(entry, home or day or rest, reason, plan)
            return
        plan.listed(entry)
        assert day is not None  # else _judge had a reason
        if home != day and not self.placed.would_list(text, day):
            self._refuse(entry, home or day, "in the directory of another day than its name says", plan)
            return
        asked = plan.of(day)
        if asked is not None:
            asked.seen += 1
            self._settle(FileId(text, entry.size, entry.mtime_ns), asked)

    def _refuse(self, entry: Entry, day: date | None, reason: str, plan: Plan) -> None:
        here = plan.of(day) if day else None
        if here is None:
            plan.lost(entry, reason)
            return
        here.seen += 1
        here.refuse(entry.path, reason)

    def _settle(self, file: FileId, asked: DayPlan) -> None:
        if not is_settled(file.mtime_ns, self.clock_ns, self.stream.settle):
            asked.unsettled.add(file.path)
        elif obstacle := self.local.obstacle(file.path):
            asked.refuse(file.path, obstacle)
        elif self.local.holds(file):
            asked.keep(file)
        else:
            asked.take(file)


def _judge(stream: Stream, text: str, entry: Entry, today: date, clock_ns: int) -> tuple[date | None, str | None]:
    """The day of an entry, as far as it tells one, and the reason, where it must not be used."""
    if entry.size < 0 or not 0 <= entry.mtime_ns <= clock_ns + _AHEAD_NS:
        return None, "impossible size or mtime"
    day = stream.day_of(text, entry.mtime_ns)
    if day is not None and day > today:
        return None, "dated in the future"
    try:
        safe_relative(entry.path)
    except UnsafePathError as error:
        return day, str(error)
    if _NOT_FOR_RSYNC.search(text):
        return day, "backslash before a wildcard in the name"
    if entry.kind != FILE:
        return day, {SYMLINK: "symlink", DIRECTORY: "directory named like a file"}.get(entry.kind, "not a regular file")
    return day, None if day else "no day in its name"


class _LocalTree:
    """The local copy, asked about one file at a time; the directories on the way to it are looked at once."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)  # a pathlib.Path of each file would cost more than the rest, and intern its name for ever
        self._sound: dict[str, bool] = {"": True}

    def obstacle(self, path: str) -> str | None:
        """Why ``path`` cannot be written here, if so: a symlink on the way would lead out of the raw root."""
        if not self._is_sound(os.path.dirname(path)):
            return "a symlink or file stands here where a directory should"
        status = self._status(path)
        return None if status is None or stat.S_ISREG(status.st_mode) else "something else stands here under its name"

    def holds(self, file: FileId) -> bool:
        """Whether the same version of a file is here, by size and mtime."""
        status = self._status(file.path)
        return status is not None and status.st_size == file.size and same_mtime(status.st_mtime_ns, file.mtime_ns)

    def _status(self, path: str) -> os.stat_result | None:
        try:
            return os.lstat(os.path.join(self.root, path))
        except FileNotFoundError:
            return None

    def _is_sound(self, directory: str) -> bool:
        if directory not in self._sound:
            # From the top: below something that is no directory, nothing can be asked about.
            sound = self._is_sound(os.path.dirname(directory))
            status = self._status(directory) if sound else None
            self._sound[directory] = sound and (status is None or stat.S_ISDIR(status.st_mode))
        return self._sound[directory]


def same_mtime(one_ns: int, other_ns: int) -> bool:
    """Whether two mtimes are equal; to the second where one of the file systems keeps no more than that."""
    whole = 1_000_000_000
    if one_ns % whole and other_ns % whole:
        return one_ns == other_ns
    return one_ns // whole == other_ns // whole


def describe_refused(refused: dict[str, Tally]) -> list[tuple[str, int, str]]:
    """Rows for a table: reason, count, first names."""
    return [
        (reason, tally.count, ", ".join(shown(n) for n in tally.first)) for reason, tally in sorted(refused.items())
    ]
