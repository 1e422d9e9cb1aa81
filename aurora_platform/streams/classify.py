"""Classification of listed entries: the UTC day of a stream that an entry belongs to, or the reason of its refusal.

Nothing that a host lists is trusted before :class:`Classifier` has checked it. The mirror and the archive's evidence
use the same class, so that the evidence never misses a file that the mirror refuses.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from aurora_platform.config.streams import Stream
from aurora_platform.fs.paths import UnsafePathError, is_plain, safe_relative
from aurora_platform.fs.versions import DIRECTORY, FILE, SYMLINK, ScannedEntry
from aurora_platform.transport.listing import ListedEntry, Listing, matching
from aurora_platform.transport.protocols import Source

# A file may lie in the directory of the day before or after: clips are named by their begin or their end, so the last
# clip of a day may carry the next day's date.
_NEIGHBOUR = timedelta(days=1)
# With more directories than this on one command line, the whole source is listed instead.
_MOST_DIRECTORIES = 800
# find compares each name with each pattern: with more patterns, listing and classifying everything costs no more.
_MOST_NAMES = 64
# A host's clock may be off by a little; a file that is further ahead than this will not settle by waiting.
_AHEAD_NS = 86_400 * 1_000_000_000

# Parts of a path that find never writes below a listed root: of an absolute path, with "//" or "/./", or upwards.
_IMPOSSIBLE_PARTS = {"", ".", ".."}

# rsync's receiver treats such a name as one that was not requested, and ends the whole transfer.
_RSYNC_REJECTS = re.compile(r"\\[]*?[]")


class Directories:
    """Where a host keeps the files of some days: their directories, or name patterns, by the stream's templates."""

    def __init__(self, stream: Stream, days: Sequence[date]) -> None:
        self.stream = stream
        self._cached_directories: dict[date, set[str]] = {}
        self._prefixes: dict[date, tuple[str, ...]] = {}
        self.day_by_directory = {directory: day for day in days for directory in _directories_of(stream, day)}
        wanted = sorted({directory for day in days for directory in self._directories_around(day)})
        self.below = wanted if len(wanted) <= _MOST_DIRECTORIES else []
        self._depths = sorted({directory.count("/") + 1 for directory in self.day_by_directory})
        self.newest = max(days, default=None)
        patterns = sorted({name for day in days for near in _with_neighbours(day) for name in _names_of(stream, near)})
        self.name_patterns = patterns if len(patterns) <= _MOST_NAMES else []
        self._name_regexes: dict[date, re.Pattern[bytes]] = {}
        self._listed_names = matching(self.name_patterns)

    def list_source(self, source: Source, root: str) -> Listing:
        """List the files of these days below ``root``, the stream's directory on the source."""
        if self.name_patterns:
            return source.list(root, self.below, named=self.name_patterns)
        return source.list(root, self.below)

    def is_listed(self, entry: ListedEntry) -> bool:
        """Whether :meth:`list_source` lists entries of this name; for streams without day directories."""
        if not self.name_patterns or entry.kind == SYMLINK:
            return True
        return self._listed_names.fullmatch(_base_name(entry.path)) is not None

    def matches_day_names(self, path: bytes, day: date) -> bool:
        """Whether the listing of ``day`` includes the name of ``path``."""
        if not self.stream.day_names:
            return True
        if day not in self._name_regexes:
            self._name_regexes[day] = matching(
                name for near in _with_neighbours(day) for name in _names_of(self.stream, near)
            )
        return self._name_regexes[day].fullmatch(_base_name(path)) is not None

    def day_of(self, path: str) -> date | None:
        """Return the requested day in whose directories ``path`` lies; None if it lies elsewhere."""
        if not self.day_by_directory:
            return None
        parts = path.split("/")
        for depth in self._depths:
            if day := self.day_by_directory.get("/".join(parts[:depth])):
                return day
        return None

    def is_in_day_dirs(self, path: str, day: date) -> bool:
        """Whether the listing of ``day`` includes the directory of ``path``."""
        if day not in self._prefixes:
            self._prefixes[day] = tuple(f"{directory}/" for directory in self._directories_around(day))
        return not self.stream.day_dirs or path.startswith(self._prefixes[day])

    def _directories_around(self, day: date) -> set[str]:
        """Return the directories of a day and of its neighbour days."""
        if day not in self._cached_directories:
            self._cached_directories[day] = {
                directory for near in _with_neighbours(day) for directory in _directories_of(self.stream, near)
            }
        return self._cached_directories[day]


def most_days_by_name(stream: Stream) -> int:
    """Return for how many consecutive days one listing can name the files; 0 without ``day_names``."""
    return max(0, _MOST_NAMES // len(stream.day_names) - 2) if stream.day_names else 0  # two neighbour days


def _with_neighbours(day: date) -> list[date]:
    return [day + step * _NEIGHBOUR for step in (-1, 0, 1) if date.min < day < date.max]


def _base_name(path: bytes) -> bytes:
    return path.rpartition(b"/")[2]


def _names_of(stream: Stream, day: date) -> list[str]:
    # Only the directives: the C library would read the rest of the template in a locale.
    return [re.sub("%.", lambda part: day.strftime(part[0]), template) for template in stream.day_names]


def _directories_of(stream: Stream, day: date) -> list[str]:
    return [day.strftime(template) for template in stream.day_dirs]


# The number of digits that a directive of strftime writes; any other directive matches any text.
_DIGITS = {"%Y": 4, "%y": 2, "%m": 2, "%d": 2, "%j": 3, "%H": 2}


def day_directory_patterns(stream: Stream) -> list[str]:
    """Return patterns (``fnmatch``) for the directories of all days; empty if days have no directories."""
    return [re.sub(r"%.|[*?[\\]", _as_pattern, template) for template in stream.day_dirs]


def day_name_patterns(stream: Stream) -> list[str]:
    """Return patterns (``fnmatch``) for the paths of files with a name of any day; empty if days have no names."""
    names = [re.sub(r"%.|[\[\\]", _as_pattern, template) for template in stream.day_names]
    return [pattern for name in names for pattern in (name, f"*/{name}")]


def _as_pattern(match: re.Match[str]) -> str:
    part = match[0]
    if part == "%%":
        return "%"
    if part.startswith("%"):
        return "[0-9]" * _DIGITS[part] if part in _DIGITS else "*"
    return "[\\\\]" if part == "\\" else f"[{part}]"


def directories_to_list(stream: Stream, days: Sequence[date]) -> list[str]:
    """Return the directories to list for ``days``, relative to the stream's root; empty if it is the whole source."""
    return Directories(stream, days).below


_NO_FILE = {SYMLINK: "symlink", DIRECTORY: "directory named like a file"}


class Classification(NamedTuple):
    """The class of an entry: a file of its stream, refused for a reason, or, with neither, not of this stream."""

    day: date | None = None
    """Its UTC day; of a refused entry, the day that reports it."""
    file: ScannedEntry[str] | None = None
    reason: str | None = None
    is_dated: bool = False
    """Whether it is a regular file of the stream with a day, even if it lies in the wrong directory."""


_UNEXPECTED = Classification()


class Classifier:
    """Classifies one listed entry at a time."""

    def __init__(self, stream: Stream, directories: Directories, clock_ns: int) -> None:
        self.stream = stream
        self.directories = directories
        self.clock_ns = clock_ns
        self.today = datetime.fromtimestamp(clock_ns / 1e9, UTC).date()

    def __call__(self, entry: ListedEntry) -> Classification:
        text = entry.path.decode("utf-8", "surrogateescape")
        is_included = self.stream.names_a_file(text) if entry.kind == DIRECTORY else self.stream.includes(text)
        has_plain_path = is_plain(entry.path)
        is_impossible = not has_plain_path and text != "." and not _IMPOSSIBLE_PARTS.isdisjoint(text.split("/"))
        # A symlink is reported under any name, because its target is unknown. So is a path that find never writes.
        if not is_included and entry.kind != SYMLINK and not is_impossible:
            return _UNEXPECTED
        day, reason = self._day_or_reason(text, entry, has_plain_path)
        directory_day = self.directories.day_of(text)
        if reason is not None:
            # A listing of the whole source belongs to every day: its entries without a day go to the newest one.
            fallback = self.directories.newest if is_impossible or not self.directories.day_by_directory else None
            return Classification(directory_day or day or fallback, reason=reason)
        assert day is not None  # otherwise there is a reason
        if directory_day != day and not self.directories.is_in_day_dirs(text, day):
            return Classification(
                directory_day or day, reason="its directory and its name have different days", is_dated=True
            )
        if not self.directories.matches_day_names(entry.path, day):
            return Classification(
                directory_day or day, reason="its name does not match day_names of its day", is_dated=True
            )
        return Classification(day, ScannedEntry(text, entry.version), None, True)

    def is_of_another_day(self, entry: ListedEntry, wanted: Collection[date]) -> bool:
        """Whether an entry is a usual file of a day that is not ``wanted``; False where only a classification tells.

        Much faster than a classification: most files of a stream without day directories are of other days.
        """
        size, mtime_ns = entry.version
        if self.stream.day_dirs or self.stream.day == "mtime" or entry.kind != FILE or size < 0:
            return False
        if not 0 <= mtime_ns <= self.clock_ns + _AHEAD_NS or not is_plain(entry.path):
            return False
        day = self.stream.day_of(entry.path.decode(), mtime_ns)
        # A classification refuses a file that is dated in the future, on the newest day.
        return day is not None and day <= self.today and day not in wanted

    def _day_or_reason(self, text: str, entry: ListedEntry, has_plain_path: bool) -> tuple[date | None, str | None]:
        """Return the day of an entry, if it can be found, and the reason of its refusal, if there is one."""
        size, mtime_ns = entry.version
        if size < 0 or not 0 <= mtime_ns <= self.clock_ns + _AHEAD_NS:
            return None, "impossible size or mtime"
        day = self.stream.day_of(text, mtime_ns)
        if day is not None and day > self.today:
            return None, "dated in the future"
        if not (has_plain_path and entry.kind == FILE) and (reason := why_unusable(entry)) is not None:
            return day, reason
        return day, None if day else "no day in its name"


def why_unusable(entry: ListedEntry) -> str | None:
    """Return why the kind or the name of an entry forbids a copy; None for a regular file with a safe name."""
    try:
        path = safe_relative(entry.path)
    except UnsafePathError as error:
        return str(error)
    if _RSYNC_REJECTS.search(path):
        return "backslash before a wildcard in the name"
    return None if entry.kind == FILE else _NO_FILE.get(entry.kind, "not a regular file")
