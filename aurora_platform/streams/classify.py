"""Where an entry of a listing belongs: to which UTC day of a stream, or to none, and why it may not be used.

Whatever a host says is hostile until it has passed through :class:`Classifier`. The mirror and the archive's evidence
use the same one, so that the evidence never misses a file that the mirror refuses.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from aurora_platform.config.streams import Stream
from aurora_platform.fs.paths import UnsafePathError, is_plain, safe_relative
from aurora_platform.fs.versions import DIRECTORY, FILE, SYMLINK, ScannedEntry
from aurora_platform.transport.listing import ListedEntry, Listing, matching
from aurora_platform.transport.protocols import Source

# A file name does not stand in the directory of its neighbour day by more than this: clips are named by their begin or
# their end, so the last of a day may carry the next day's date.
_NEIGHBOUR = timedelta(days=1)
# More directories than this on one command line: list the whole source instead.
_MOST_DIRECTORIES = 800
# find holds each name of a directory against each pattern: with more of them, to list and judge all is no more work.
_MOST_NAMES = 64
# A host's clock may be off by a little; a file stamped further ahead than this will not settle by waiting.
_AHEAD_NS = 86_400 * 1_000_000_000

# Parts of a path that find never says below what it lists: of an absolute one, with "//" or "/./", or leading upwards.
_NEVER_SAID = {"", ".", ".."}

# rsync's receiver takes such a name for one that nobody asked for, and ends the whole transfer.
_NOT_FOR_RSYNC = re.compile(r"\\[]*?[]")


class Directories:
    """Where the host has each day: in which directories, or under which names, by the stream's templates."""

    def __init__(self, stream: Stream, days: Sequence[date]) -> None:
        self.stream = stream
        self._cached: dict[date, set[str]] = {}
        self._prefixes: dict[date, tuple[str, ...]] = {}
        self.owner = {t: day for day in days for t in _directories_of(stream, day)}
        wanted = sorted({t for day in days for t in self._around(day)})
        self.below = wanted if len(wanted) <= _MOST_DIRECTORIES else []
        self._depths = sorted({t.count("/") + 1 for t in self.owner})
        self.newest = max(days, default=None)
        named = sorted({name for day in days for near in _around(day) for name in _names_of(stream, near)})
        self.named = named if len(named) <= _MOST_NAMES else []
        self._names: dict[date, re.Pattern[bytes]] = {}
        self._asked = matching(self.named)

    def listing(self, source: Source, root: str) -> Listing:
        """List what a source has of these days below ``root``, the stream's directory there."""
        return source.list(root, self.below, named=self.named) if self.named else source.list(root, self.below)

    def has_listed(self, entry: ListedEntry) -> bool:
        """Whether :meth:`listing` lists what has this name; not asked where days have directories."""
        return not self.named or entry.kind == SYMLINK or self._asked.fullmatch(_base(entry.path)) is not None

    def would_name(self, path: bytes, day: date) -> bool:
        """Whether the listing of ``day`` asks for the name of ``path``."""
        if not self.stream.day_names:
            return True
        if day not in self._names:
            self._names[day] = matching(name for near in _around(day) for name in _names_of(self.stream, near))
        return self._names[day].fullmatch(_base(path)) is not None

    def day_of(self, path: str) -> date | None:
        """The requested day in whose directories ``path`` lies; None where it lies elsewhere."""
        if not self.owner:
            return None
        parts = path.split("/")
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
            self._cached[day] = {t for near in _around(day) for t in _directories_of(self.stream, near)}
        return self._cached[day]


def _around(day: date) -> list[date]:
    return [day + step * _NEIGHBOUR for step in (-1, 0, 1) if date.min < day < date.max]


def _base(path: bytes) -> bytes:
    return path.rpartition(b"/")[2]


def _names_of(stream: Stream, day: date) -> list[str]:
    # Directive by directive: the rest is not for the C library, which would read it in a locale.
    return [re.sub("%.", lambda part: day.strftime(part[0]), template) for template in stream.day_names]


def _directories_of(stream: Stream, day: date) -> list[str]:
    return [day.strftime(template) for template in stream.day_dirs]


# How many digits a directive of strftime writes; any other is taken for anything.
_DIGITS = {"%Y": 4, "%y": 2, "%m": 2, "%d": 2, "%j": 3, "%H": 2}


def directories_of_any_day(stream: Stream) -> list[str]:
    """Patterns (``fnmatch``) of every directory that is some day's; empty where days have none."""
    return [re.sub(r"%.|[*?[\\]", _as_pattern, template) for template in stream.day_dirs]


def _as_pattern(match: re.Match[str]) -> str:
    part = match[0]
    if part == "%%":
        return "%"
    if part.startswith("%"):
        return "[0-9]" * _DIGITS[part] if part in _DIGITS else "*"
    return "[\\\\]" if part == "\\" else f"[{part}]"


def directories(stream: Stream, days: Sequence[date]) -> list[str]:
    """The directories to list for ``days``, relative to the stream's root; empty where it is the whole source."""
    return Directories(stream, days).below


_NO_FILE = {SYMLINK: "symlink", DIRECTORY: "directory named like a file"}


class Classification(NamedTuple):
    """What an entry is to its stream: a file, refused for a reason, or, with neither, not of this stream."""

    day: date | None = None
    """Its UTC day; of what is refused, the day with which to show it."""
    file: ScannedEntry[str] | None = None
    reason: str | None = None
    is_dated: bool = False
    """Whether it is a regular file of the stream with a day, also where it lies in the wrong directory."""


_UNEXPECTED = Classification()


class Classifier:
    """Judges one entry of a listing at a time."""

    def __init__(self, stream: Stream, placed: Directories, clock_ns: int) -> None:
        self.stream = stream
        self.placed = placed
        self.clock_ns = clock_ns
        self.today = datetime.fromtimestamp(clock_ns / 1e9, UTC).date()

    def __call__(self, entry: ListedEntry) -> Classification:
        text = entry.path.decode("utf-8", "surrogateescape")
        ours = self.stream.names_a_file(text) if entry.kind == DIRECTORY else self.stream.includes(text)
        is_usual = is_plain(entry.path)
        lies = not is_usual and text != "." and not _NEVER_SAID.isdisjoint(text.split("/"))
        # Nobody knows what is behind a link, so a link is shown whatever its name; so is what find would never say.
        if not ours and entry.kind != SYMLINK and not lies:
            return _UNEXPECTED
        day, reason = self._usable(text, entry, is_usual)
        home = self.placed.day_of(text)
        if reason is not None:
            # A listing of the whole source is every day's: what has no day there is shown with the newest asked one.
            rest = self.placed.newest if lies or not self.placed.owner else None
            return Classification(home or day or rest, reason=reason)
        assert day is not None  # else there was a reason
        if home != day and not self.placed.would_list(text, day):
            return Classification(
                home or day, reason="in the directory of another day than its name says", is_dated=True
            )
        if not self.placed.would_name(entry.path, day):
            return Classification(home or day, reason="not named as day_names says of its day", is_dated=True)
        return Classification(day, ScannedEntry(text, entry.version), None, True)

    def _usable(self, text: str, entry: ListedEntry, is_usual: bool) -> tuple[date | None, str | None]:
        """The day of an entry, as far as it tells one, and the reason, where it must not be used."""
        size, mtime_ns = entry.version
        if size < 0 or not 0 <= mtime_ns <= self.clock_ns + _AHEAD_NS:
            return None, "impossible size or mtime"
        day = self.stream.day_of(text, mtime_ns)
        if day is not None and day > self.today:
            return None, "dated in the future"
        if not (is_usual and entry.kind == FILE) and (reason := why_unusable(entry)) is not None:
            return day, reason
        return day, None if day else "no day in its name"


def why_unusable(entry: ListedEntry) -> str | None:
    """Why what an entry is, or how it is named, forbids to copy it; None for a regular file with a sound name."""
    try:
        path = safe_relative(entry.path)
    except UnsafePathError as error:
        return str(error)
    if _NOT_FOR_RSYNC.search(path):
        return "backslash before a wildcard in the name"
    return None if entry.kind == FILE else _NO_FILE.get(entry.kind, "not a regular file")
