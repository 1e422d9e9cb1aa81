"""Scan of a source: it lists the source, compares it with the local copy, and fetches nothing.

Sensors and the reconcile schedule use it to decide whether a run is needed. It counts files and does not collect them,
so its memory does not grow with the source.
"""

from __future__ import annotations

import time
from bisect import insort
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from typing import Annotated

from aurora_platform.config.streams import Stream
from aurora_platform.fs.versions import FileVersion, ScannedEntry
from aurora_platform.mirror.plan import DayPlan, EntryPlanner, Plan
from aurora_platform.report_fields import BYTES, SHOWN, Show
from aurora_platform.streams.classify import Directories, day_directory_patterns
from aurora_platform.streams.state import DayAtSource
from aurora_platform.text import MOST_NAMED, Count, counted, format_age, human_size, printable
from aurora_platform.transport.listing import ListedEntry, Listing
from aurora_platform.transport.protocols import Source

_AHEAD_NS = 60 * 10**9  # a slow listing may hold files that are newer than the clock, which is read first


@dataclass
class DaySurvey(DayPlan):
    """Counts of one UTC day of a source: seen = present + missing + unsettled + refused."""

    present: int = 0
    missing: int = 0
    """Settled on the host, and missing or different locally."""
    missing_bytes: int = 0
    first_missing: list[str] = field(default_factory=list)
    """Their first names, sorted: a host lists in no order."""
    _sum: int = 0

    def add_missing(self, file: ScannedEntry[str], local: FileVersion | None = None) -> None:
        size, mtime_ns = file.version
        self.missing += 1
        self.missing_bytes += size
        if len(self.first_missing) < MOST_NAMED or file.path < self.first_missing[-1]:
            insort(self.first_missing, printable(file.path))
            del self.first_missing[MOST_NAMED:]
        # A sum does not depend on the order of the listing, and needs no list of files.
        record = f"{file.path}\0{size}\0{mtime_ns}".encode("utf-8", "surrogateescape")
        self._sum = (self._sum + int.from_bytes(blake2b(record, digest_size=8).digest())) % (1 << 64)

    def add_unchanged(self, file: ScannedEntry[str]) -> None:
        self.present += 1

    @property
    def fingerprint(self) -> str:
        """Identifies the set of missing files."""
        return f"{self._sum:016x}"


@dataclass
class Survey(Plan):
    """The result of a scan: counts of a source, and how the local copy differs from it."""

    days: dict[date, DayPlan] = field(default_factory=dict)
    start: date | None = None
    """The first day to count, if no days were requested by name."""
    clock_ns: int = 0
    """The host's clock at the listing, ns since epoch, UTC."""
    files: Annotated[int, Show(rank=2)] = 0
    bytes: Annotated[int, BYTES] = 0
    refused: Count = field(default_factory=Count)
    """Refused entries whose day is unknown."""
    unreadable: Annotated[Count, Show("directories_not_readable", rare=True)] = field(default_factory=Count)
    is_whole: bool = True
    """False if the time limit came before the end of the listing; the counts until then are right."""
    seconds: Annotated[float, SHOWN] = 0.0

    def day_plan(self, day: date) -> DayPlan | None:
        if self.start is not None and day >= self.start:
            return self.days.setdefault(day, DaySurvey(day))
        return self.days.get(day)

    def add_refused_without_day(self, entry: ListedEntry, reason: str) -> None:
        self.refused.add(entry.path)

    def add_listed(self, entry: ListedEntry) -> None:
        super().add_listed(entry)
        self.files += 1
        self.bytes += entry.version.size

    @property
    def behind(self) -> list[DaySurvey]:
        """The days with missing files, newest first."""
        days = [day for day in self.days.values() if isinstance(day, DaySurvey) and day.missing]
        return sorted(days, key=lambda day: day.day, reverse=True)

    @property
    def missing(self) -> Annotated[int, Show("missing_locally", rank=3)]:
        """Settled files that are missing or different locally."""
        return sum(day.missing for day in self.behind)

    @property
    def unsettled(self) -> Annotated[int, Show(rank=4)]:
        return sum(day.unsettled.total for day in self.days.values())

    @property
    def refusals(self) -> Annotated[int, Show("refused")]:
        return self.refused.total + sum(day.refused_count for day in self.days.values())

    @property
    def newest(self) -> Annotated[datetime | None, Show("newest_file", rank=1)]:
        """The mtime of the newest file, by the host's clock."""
        return None if self.newest_ns is None else datetime.fromtimestamp(self.newest_ns // 10**9, UTC)

    @property
    def age(self) -> timedelta | None:
        """The age of the newest file, by the host's clock; 0 s if the file is newer than the clock's reading."""
        if self.newest_ns is None:
            return None
        return timedelta(seconds=max(0, self.clock_ns - self.newest_ns) // 10**9)

    @property
    def ahead(self) -> timedelta | None:
        """How far the newest file is ahead of the host's clock; None if a slow listing explains it."""
        ahead_ns = (self.newest_ns or 0) - self.clock_ns
        return timedelta(seconds=ahead_ns // 10**9) if ahead_ns > _AHEAD_NS else None

    def days_at_source(self) -> dict[date, DayAtSource]:
        """Return the state to record of each requested day; see :class:`aurora_platform.streams.state.DayAtSource`."""
        if self.is_empty:
            return {}
        return {
            day.day: DayAtSource(self.clock_ns, day.missing, day.unsettled.total)
            for day in self.days.values()
            if isinstance(day, DaySurvey)
        }

    def summary(self) -> str:
        """Return the summary line for the operator."""
        if self.newest is None:
            newest = "no file of this stream on these days"
        else:
            age = f"{format_age((self.age or timedelta()).total_seconds())} old"
            if self.ahead:
                age = f"{format_age(self.ahead.total_seconds())} ahead of the host's clock"
            newest = f"newest {self.newest:%Y-%m-%d %H:%M:%S} UTC, {age}"
        parts = [f"{counted(self.files, 'file')} listed ({human_size(self.bytes)})", newest]
        parts += [none_matches(self.unmatched)] * bool(self.unmatched)
        parts += [f"{self.unsettled} unsettled"] * bool(self.unsettled)
        parts += [f"{self.refusals} refused"] * bool(self.refusals)
        parts += [f"{counted(self.unreadable.total, 'directory', 'directories')} not readable"] * bool(
            self.unreadable.total
        )
        return "; ".join(parts)


def none_matches(unmatched: int) -> str:
    """Return the message about listed files if the stream includes none of them."""
    return f"{counted(unmatched, 'file')} listed, none matches include in the site file"


def scan(
    stream: Stream,
    source: Source,
    raw_root: Path,
    days: Sequence[date] | None,
    within: timedelta | None = None,
    held: Mapping[str, FileVersion] | None = None,
) -> Survey:
    """List a source and compare it with its local copy.

    Parameters
    ----------
    stream, source
        The stream's settings, and its host.
    raw_root
        The stream's local directory.
    days
        UTC days to list; None is the whole source from ``stream.start`` on.
    within
        Time limit: after it, the survey holds what was listed until then, and is not ``is_whole``.
    held
        Path -> the version at the source that is held back (:mod:`aurora_platform.mirror.hold_back`): it counts as
        refused, and not as missing.

    Raises
    ------
    HostError
        If the host cannot be listed.
    """
    began = time.monotonic()
    directories = Directories(stream, days or [])
    listing = directories.list_source(source, stream.path)
    day_plans: dict[date, DayPlan] = {day: DaySurvey(day) for day in days or []}
    survey = Survey(day_plans, start=stream.start if days is None else None, clock_ns=listing.clock_ns)
    planner = EntryPlanner(stream, directories, listing.clock_ns, raw_root, held=held)
    return _fill(survey, listing, planner, began, within)


def scan_outside(
    stream: Stream, source: Source, raw_root: Path, days: Sequence[date], within: timedelta | None = None
) -> Survey:
    """List the entries that a scan of ``days`` leaves out and other scans may leave out, to find the refused ones.

    Parameters are those of :func:`scan`. With ``day_dirs``, these are the entries outside of all days' directories:
    every file among them is refused. With ``day_names``, these are all other names. Without either, a scan leaves out
    nothing.
    """
    directories = Directories(stream, days)
    if not stream.day_dirs and not directories.name_patterns:
        return Survey({})
    began = time.monotonic()
    listing = source.list(stream.path, [], day_directory_patterns(stream))
    if directories.name_patterns:
        listing = replace(listing, entries=_without_listed(directories, listing.entries))
    survey = Survey({}, clock_ns=listing.clock_ns)
    planner = EntryPlanner(stream, Directories(stream, []), listing.clock_ns, raw_root)
    return _fill(survey, listing, planner, began, within)


def _without_listed(directories: Directories, entries: Generator[ListedEntry]) -> Generator[ListedEntry]:
    """Leave out the entries that the scan of the days lists: nothing is counted twice."""
    with closing(entries):
        yield from (entry for entry in entries if not directories.is_listed(entry))


def _fill(survey: Survey, listing: Listing, planner: EntryPlanner, began: float, within: timedelta | None) -> Survey:
    for entry in listing.entries:
        planner.add_to(survey, entry)
        if within is not None and time.monotonic() - began > within.total_seconds():
            survey.is_whole = False
            break
    listing.entries.close()
    survey.unreadable = listing.unreadable
    survey.seconds = time.monotonic() - began
    return survey
