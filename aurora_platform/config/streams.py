"""Settings of a stream: which files of a host belong to it, and the UTC day of each file."""

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cached_property, lru_cache
from typing import Literal, Self

from pydantic import Field, model_validator
from wcmatch import glob

from aurora_platform.config.types import (
    Bound,
    BytesPerDay,
    DayName,
    DayRule,
    Duration,
    Name,
    RawDirectory,
    RelativePath,
    Settings,
    SourcePath,
)


class SourceVerification(Settings):
    """How much a verification may read on the instrument host, which may run on solar power."""

    source: Literal["checksum", "size"] = "checksum"
    """``checksum``: each file is read and hashed there; ``size``: only size and mtime are compared."""
    budget: BytesPerDay | None = None
    """How much is read per UTC day on the host, by all its streams together; unset: no limit."""


class Stream(Settings):
    """One kind of file that an instrument host writes."""

    host: Name
    path: SourcePath
    raw: RawDirectory
    include: tuple[RelativePath, ...] = Field(min_length=1)
    day: DayRule
    start: date
    settle: Duration = timedelta(minutes=5)
    lookback: Duration = timedelta(days=2)
    revisable: Duration | None = None
    """How long after its UTC day a finalized file may get a new version by itself; unset: ``lookback``."""
    verify: SourceVerification = SourceVerification()
    stale_after: Duration = timedelta(minutes=90)
    append: bool | None = None
    """Whether files only grow at their end, so that a partial copy is useful; unset: True if settle is 0s."""
    enabled: bool = True
    every: Bound | None = None
    """How often a file is expected; unset: no check for missing files."""
    prunable: bool = True
    """Whether files may become candidates for pruning on the host."""
    day_dirs: tuple[RelativePath, ...] = ()
    """Directories of one UTC day on the host, as ``strftime`` templates; empty: files may be anywhere."""
    day_names: tuple[DayName, ...] = ()
    """Names of the files of one UTC day, as ``strftime`` templates with ``*`` and ``?``; empty: any name."""
    description: str = ""

    @model_validator(mode="after")
    def _one_kind_of_day_templates(self) -> Self:
        if self.day_dirs and self.day_names:
            raise ValueError("day_dirs or day_names, not both: with day_dirs only these directories are listed")
        return self

    @property
    def revisable_for(self) -> timedelta:
        """How long a finalized day may be revised: days that are older than this before now are final."""
        return self.lookback if self.revisable is None else self.revisable

    @property
    def is_appended(self) -> bool:
        """Whether a copy of a file that grew meanwhile is a valid part of it, not a mixture of versions."""
        return not self.settle if self.append is None else self.append

    @cached_property
    def _included(self) -> re.Pattern[str]:
        return _compiled(self.include)

    @cached_property
    def _last_part(self) -> re.Pattern[str]:
        """Matches the last component of every included path; needed, but not sufficient."""
        if any(set("[\\") & set(pattern) for pattern in self.include):
            return re.compile("")  # a slash may be in brackets or escaped, so patterns cannot be split at slashes
        return _compiled(["*" if last == "**" else last for last in (p.rpartition("/")[2] for p in self.include)])

    @cached_property
    def _included_by_name(self) -> re.Pattern[str]:
        return _compiled([pattern for pattern in self.include if pattern.rpartition("/")[2].strip("*")])

    def includes(self, path: str) -> bool:
        """Whether ``path`` (relative to the stream's root) belongs to this stream, by its name alone."""
        # Most files of a camera host do not belong; the last component shows that in a fifth of the time.
        return self._last_part.match(path[path.rfind("/") + 1 :]) is not None and self._included.match(path) is not None

    def names_a_file(self, path: str) -> bool:
        """Whether a pattern matches the file name of ``path``; patterns that end in ``*`` alone do not count."""
        return self._included_by_name.match(path) is not None

    @cached_property
    def _day(self) -> re.Pattern[str] | None:
        return None if self.day == "mtime" else re.compile(self.day)

    def live_from(self, now: datetime) -> date:
        """The first day of the live window, which the live lane lists; older days are history."""
        return max(self.start, (now - self.lookback).date())

    def day_of(self, path: str, mtime_ns: int) -> date | None:
        """The UTC day of a file, or None if its name holds no valid date."""
        if self._day is None:
            # Whole seconds: a float would round the last nanoseconds of a day into the next.
            return datetime.fromtimestamp(mtime_ns // 1_000_000_000, UTC).date()
        match = self._day.search(path)
        if match is None:
            return None
        parts = match.groupdict()
        return _day_named(parts.get("Y"), parts.get("y"), parts.get("m"), parts.get("d"), parts.get("j"))


@lru_cache(1024)  # most files are of the same day as the file before
def _day_named(
    year: str | None, year_of_2000: str | None, month: str | None, day: str | None, day_of_year: str | None
) -> date | None:
    try:
        number = int(year) if year else 2000 + int(year_of_2000 or "")
        if day_of_year is None:
            return date(number, int(month or ""), int(day or ""))
        found = date(number, 1, 1) + timedelta(days=int(day_of_year) - 1)
    except (ValueError, OverflowError):
        return None
    return found if found.year == number else None


def _compiled(include: Sequence[str]) -> re.Pattern[str]:
    """One expression for all patterns; without patterns it matches nothing."""
    # Cameras write both .jpg and .JPG; the rest of a name is matched as written.
    patterns = [re.sub(r"\.[A-Za-z0-9]+$", _either_case, pattern) for pattern in include]
    positive, _ = glob.translate(patterns, flags=glob.GLOBSTAR | glob.FORCEUNIX)
    return re.compile("|".join(f"(?:{expression})" for expression in positive) or r"(?!)")


def _either_case(match: re.Match[str]) -> str:
    return "".join(f"[{c.lower()}{c.upper()}]" if c.isalpha() else c for c in match[0])
