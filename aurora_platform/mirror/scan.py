"""A look at a source without fetching anything: what is there, and which days have something that is not here.

Sensors and the reconcile schedule decide by it whether a run is needed. It counts and does not collect, so memory does
not grow with the source.
"""

from __future__ import annotations

import time
from bisect import insort
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from hashlib import blake2b
from pathlib import Path

from aurora_platform.config.streams import Stream
from aurora_platform.fs.versions import ScannedEntry
from aurora_platform.mirror.plan import DayPlan, Decider, Plan
from aurora_platform.streams.classify import Directories, directories_of_any_day
from aurora_platform.streams.state import DayAtSource
from aurora_platform.text import MOST_NAMED, Count, counted, printable
from aurora_platform.transport.listing import ListedEntry, Listing
from aurora_platform.transport.protocols import Source

_AHEAD_NS = 60 * 10**9  # a file may be written since the host's clock was read, by a listing that takes its time


@dataclass
class DaySurvey(DayPlan):
    """One UTC day of a source, counted: seen = present + missing + unsettled + refused."""

    present: int = 0
    missing: int = 0
    """Settled on the host, and not here, or here in another version."""
    missing_bytes: int = 0
    first_missing: list[str] = field(default_factory=list)
    """The first names of them, in order of the alphabet: a host lists in no order."""
    _sum: int = 0

    def take(self, file: ScannedEntry[str]) -> None:
        size, mtime_ns = file.version
        self.missing += 1
        self.missing_bytes += size
        if len(self.first_missing) < MOST_NAMED or file.path < self.first_missing[-1]:
            insort(self.first_missing, printable(file.path))
            del self.first_missing[MOST_NAMED:]
        # A sum, so that the order in which a host lists its files does not matter, and none is kept.
        record = f"{file.path}\0{size}\0{mtime_ns}".encode("utf-8", "surrogateescape")
        self._sum = (self._sum + int.from_bytes(blake2b(record, digest_size=8).digest())) % (1 << 64)

    def keep(self, file: ScannedEntry[str]) -> None:
        self.present += 1

    @property
    def fingerprint(self) -> str:
        """What tells one set of missing files from another."""
        return f"{self._sum:016x}"


@dataclass
class Survey(Plan):
    """What a source holds, and how the local copy differs from it."""

    days: dict[date, DayPlan] = field(default_factory=dict)
    start: date | None = None
    """Where the days were not asked for by name: the first one to count."""
    clock_ns: int = 0
    """The host's clock when it was listed."""
    files: int = 0
    bytes: int = 0
    refused: Count = field(default_factory=Count)
    """Entries that may not be used, and that tell no day."""
    unreadable: Count = field(default_factory=Count)
    is_whole: bool = True
    """False where time was up before the listing's end; what was seen is true all the same."""
    seconds: float = 0.0

    def of(self, day: date) -> DayPlan | None:
        if self.start is not None and day >= self.start:
            return self.days.setdefault(day, DaySurvey(day))
        return self.days.get(day)

    def lost(self, entry: ListedEntry, reason: str) -> None:
        self.refused.add(entry.path)

    def listed(self, entry: ListedEntry) -> None:
        super().listed(entry)
        self.files += 1
        self.bytes += entry.version.size

    @property
    def behind(self) -> list[DaySurvey]:
        """The days with something that is not here, newest first."""
        found = [day for day in self.days.values() if isinstance(day, DaySurvey) and day.missing]
        return sorted(found, key=lambda day: day.day, reverse=True)

    @property
    def unsettled(self) -> int:
        return sum(day.unsettled.total for day in self.days.values())

    @property
    def refusals(self) -> int:
        return self.refused.total + sum(day.refused_count for day in self.days.values())

    @property
    def newest(self) -> datetime | None:
        """When the newest file was last written, by the host's clock."""
        return None if self.newest_ns is None else datetime.fromtimestamp(self.newest_ns // 10**9, UTC)

    @property
    def age(self) -> timedelta | None:
        """How old the newest file is, by the host's clock; 0 s where it was written since that was read."""
        if self.newest_ns is None:
            return None
        return timedelta(seconds=max(0, self.clock_ns - self.newest_ns) // 10**9)

    @property
    def ahead(self) -> timedelta | None:
        """How far the newest file is ahead of the host's clock, where no listing takes so long."""
        ahead_ns = (self.newest_ns or 0) - self.clock_ns
        return timedelta(seconds=ahead_ns // 10**9) if ahead_ns > _AHEAD_NS else None

    def days_at_source(self) -> dict[date, DayAtSource]:
        """What to remember of each day that was asked for; see :class:`aurora_platform.streams.state.DayAtSource`."""
        if self.is_empty:
            return {}
        return {
            day.day: DayAtSource(self.clock_ns, day.missing, day.unsettled.total)
            for day in self.days.values()
            if isinstance(day, DaySurvey)
        }

    def summary(self) -> str:
        """The line that an operator reads."""
        if self.newest is None:
            newest = "none of this stream's files on the days that were looked at"
        else:
            age = f"{self.ahead} ahead of the host's clock" if self.ahead else f"{self.age} old"
            newest = f"newest {self.newest:%Y-%m-%d %H:%M:%S} UTC, {age}"
        parts = [f"{counted(self.files, 'file')} seen ({self.bytes / 1e6:.1f} MB)", newest]
        parts += [none_matches(self.unmatched)] * bool(self.unmatched)
        parts += [f"{self.unsettled} unsettled"] * bool(self.unsettled)
        parts += [f"{self.refusals} refused"] * bool(self.refusals)
        parts += [f"{counted(self.unreadable.total, 'directory', 'directories')} not readable"] * bool(
            self.unreadable.total
        )
        return "; ".join(parts)


def none_matches(unmatched: int) -> str:
    """What to say of files not one of which is the stream's."""
    return f"{counted(unmatched, 'file')} there, none matches include in the site file"


def scan(
    stream: Stream, source: Source, raw_root: Path, days: Sequence[date] | None, within: timedelta | None = None
) -> Survey:
    """List a source and compare it with its local copy.

    Parameters
    ----------
    stream, source
        What to look for, and where.
    raw_root
        The stream's local directory.
    days
        UTC days to look at; None is the whole source from ``stream.start`` on.
    within
        After this time the look ends with what was seen until then, and says that it is not whole.

    Raises
    ------
    HostError
        Where the host cannot be listed.
    """
    began = time.monotonic()
    placed = Directories(stream, days or [])
    listing = placed.listing(source, stream.path)
    wanted: dict[date, DayPlan] = {day: DaySurvey(day) for day in days or []}
    survey = Survey(wanted, start=stream.start if days is None else None, clock_ns=listing.clock_ns)
    return _filled(survey, listing, Decider(stream, placed, listing.clock_ns, raw_root), began, within)


def scan_outside(
    stream: Stream, source: Source, raw_root: Path, days: Sequence[date], within: timedelta | None = None
) -> Survey:
    """List what the look at ``days`` passes over and no look at another day may see either, to find what is refused.

    Parameters are those of :func:`scan`. With ``day_dirs`` it is what lies outside of all days' directories: every file
    there is refused. With ``day_names`` it is whatever has another name. Without either, a look passes over nothing.
    """
    placed = Directories(stream, days)
    if not stream.day_dirs and not placed.named:
        return Survey({})
    began = time.monotonic()
    listing = source.list(stream.path, [], directories_of_any_day(stream))
    if placed.named:
        listing = replace(listing, entries=_but(placed, listing.entries))
    survey = Survey({}, clock_ns=listing.clock_ns)
    return _filled(survey, listing, Decider(stream, Directories(stream, []), listing.clock_ns, raw_root), began, within)


def _but(placed: Directories, entries: Generator[ListedEntry]) -> Generator[ListedEntry]:
    """Without what the look at the days has listed: nothing is counted twice."""
    with closing(entries):
        yield from (entry for entry in entries if not placed.has_listed(entry))


def _filled(survey: Survey, listing: Listing, decide: Decider, began: float, within: timedelta | None) -> Survey:
    for entry in listing.entries:
        decide(entry, survey)
        if within is not None and time.monotonic() - began > within.total_seconds():
            survey.is_whole = False
            break
    listing.entries.close()
    survey.unreadable = listing.unreadable
    survey.seconds = time.monotonic() - began
    return survey
