"""One pass over some days of a stream: list, plan, fetch the difference, list again, and publish what is proved whole.

What comes is kept apart until a second listing of the host has shown that it did not change while it was copied. Only
then it gets its name here.

Plain Python: the source and the transfer come in as arguments. The asset in :mod:`aurora_assets.mirror.assets` is a
thin cover over :func:`mirror_days`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Protocol

from aurora_assets.files import SHOWN, FileId, Tally, exclusive, flush, identity, in_parts, remove, same_mtime
from aurora_assets.listing import FILE, Source
from aurora_assets.mirror.plan import DayPlan, Plan, make_plan
from aurora_assets.mirror.publish import CannotPublishError, came, publish
from aurora_assets.placing import Directories
from aurora_assets.sighting import Sighting, remember
from aurora_assets.site import Stream

# Behind the raw root's own directories, on the same file system: files in the making, and cut transfers to resume.
WORK_DIRECTORY = ".incoming"
# In the work directory: in the making, cut, the list to fetch, and what has come whole and waits to be proved.
NEW, PARTIAL, WANTED, ARRIVED = "new", "partial", "files", "arrived"
# So many names are listed by themselves the second time, beyond that their days' directories: the far shell's limit.
_MOST_NAMED_BYTES = 50_000
RECIPE = "raw/1"
HISTORY = ".history"  # after a stream's name: the locks and the work directory of its history lane
KEEP_PARTIAL = timedelta(days=7)  # a cut file that nobody came back for is begun anew after that


@dataclass(frozen=True)
class Transferred:
    """What a transfer says of itself: bytes of file data sent, and bytes that a cut transfer had left here."""

    literal_bytes: int
    matched_bytes: int
    complaints: Sequence[str] = ()
    """What it said of single files that it could not copy."""

    def __add__(self, other: Transferred) -> Transferred:
        return Transferred(
            self.literal_bytes + other.literal_bytes,
            self.matched_bytes + other.matched_bytes,
            [*self.complaints, *other.complaints][:SHOWN],
        )


class Transfer(Protocol):
    """Something that copies files of a source to here; :mod:`resources.rsync` implements it."""

    def fetch(self, root: str, paths: Sequence[str], target: Path, work: Path, lock: Path) -> Transferred:
        """Copy ``paths`` (relative to ``root`` on the source) to the same places below ``target``.

        Files come under their names whole or not at all, with their mtimes. ``work`` is for what is in the making;
        ``lock`` is a file that the transfer holds locked for as long as any part of it lives.

        Raises
        ------
        TransferError
            Where it ended early; what has arrived whole is in place.
        """
        ...


@dataclass
class DayReport:
    """What a pass did for one UTC day. seen = copied + unchanged + unsettled + refused."""

    day: date
    seen: int
    copied: int
    unchanged: int
    unsettled: Tally
    refused: dict[str, Tally]
    bytes: int
    identity: str

    @property
    def refused_count(self) -> int:
        return sum(tally.count for tally in self.refused.values())


@dataclass
class MirrorReport:
    """What a pass over some days did."""

    days: list[DayReport]
    foreign: int
    unreadable: Tally
    newest_ns: int | None
    seconds: float
    resumed_bytes: int = 0
    complaints: Sequence[str] = ()
    unmatched: int = 0
    """See :attr:`aurora_assets.mirror.plan.Plan.unmatched`."""

    def total(self, name: str) -> int:
        return sum(getattr(day, name) for day in self.days)

    @property
    def unsettled(self) -> int:
        return sum(day.unsettled.count for day in self.days)

    @property
    def rate(self) -> float:
        """Bytes per second, over the whole pass."""
        return self.total("bytes") / self.seconds if self.seconds else 0.0

    def summary(self) -> str:
        """The line that an operator reads."""
        return (
            f"seen {self.total('seen')} = copied {self.total('copied')} + unchanged {self.total('unchanged')}"
            f" + unsettled {self.unsettled} + refused {self.total('refused_count')};"
            f" {self.total('bytes')} bytes in {self.seconds:.2f} s ({self.rate / 1e6:.1f} MB/s)"
        )


def mirror_days(
    name: str,
    stream: Stream,
    days: Sequence[date],
    *,
    source: Source,
    transfer: Transfer,
    raw: Path,
    locks: Path,
    wait: timedelta,
    live_from: date = date.min,
    seen_at: Path | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> MirrorReport:
    """Bring the local copy of some days of a stream up to date.

    Days of the live window and older ones are two passes with locks of their own, the live one first: months of
    history that are being fetched hold up nothing that arrives now.

    Parameters
    ----------
    name, stream
        The stream's id and settings.
    days
        UTC days; one listing serves all of a pass.
    source, transfer
        The host to list and the way to fetch from it.
    raw
        The raw root (``paths.raw``).
    locks, wait
        Where lock files are, and how long to wait for another run on the same stream and lane.
    live_from
        The first day of the live window.
    seen_at
        Where to remember that days of the live window were seen (:mod:`aurora_assets.sighting`).
    tell
        Gets a line before a transfer begins: what follows may take hours.

    Raises
    ------
    HostError, TransferError, BusyError
        When the pass could not be finished; the next one goes on where it ended.
    """
    started = time.monotonic()
    live = [day for day in days if day >= live_from]
    history = [day for day in days if day < live_from]
    mirror = _Mirror(stream, source, transfer, raw, locks, wait, tell)
    passes = []
    if live:
        passes.append(mirror.bring(live, name))
        if seen_at:
            remember(seen_at, passes[0].sightings())
    if history:
        passes.append(mirror.bring(history, name + HISTORY))
    return _join(passes, time.monotonic() - started)


@dataclass
class _Pass:
    """One listing and one transfer."""

    plan: Plan
    days: list[DayReport]
    done: Transferred
    clock_ns: int
    unreadable: Tally

    def sightings(self) -> dict[date, Sighting]:
        """What to remember of each day; nothing where the source had nothing at all: its disk may not be mounted."""
        if self.plan.is_empty:
            return {}
        return {
            day.day: Sighting(self.clock_ns, len(self.plan.days[day.day].fetch) - day.copied, day.unsettled.count)
            for day in self.days
        }


def _join(passes: Sequence[_Pass], seconds: float) -> MirrorReport:
    unreadable = Tally()
    for one in passes:
        unreadable.count += one.unreadable.count
        unreadable.first += one.unreadable.first
    return MirrorReport(
        days=[day for one in passes for day in one.days],
        foreign=sum(one.plan.foreign for one in passes),
        unreadable=unreadable,
        newest_ns=max((one.plan.newest_ns for one in passes if one.plan.newest_ns is not None), default=None),
        seconds=seconds,
        resumed_bytes=sum(one.done.matched_bytes for one in passes),
        complaints=[line for one in passes for line in one.done.complaints],
        # Both may have listed the same directory.
        unmatched=min((one.plan.unmatched for one in passes), default=0),
    )


@dataclass
class _Mirror:
    """A stream's way from its host to here; ``lane`` names the locks and the work directory of a pass."""

    stream: Stream
    source: Source
    transfer: Transfer
    raw: Path
    locks: Path
    wait: timedelta
    tell: Callable[[str], None]

    def bring(self, days: Sequence[date], lane: str) -> _Pass:
        root = self.raw / self.stream.raw
        with exclusive(self.locks, f"mirror.{lane}", self.wait):
            # Of a run that was killed the rsync may still be ending; it holds this lock for as long as it can write.
            with exclusive(self.locks, f"mirror.{lane}.transfer", self.wait):
                pass
            listing = Directories(self.stream, days).listing(self.source, self.stream.path)
            plan = make_plan(self.stream, days, listing, root)
            self.tell(plan.intent())
            done, copied = self._fetch(plan, lane)
            reports = [_report(day, copied[day.day]) for day in plan.days.values()]
        return _Pass(plan, reports, done, listing.clock_ns, listing.unreadable)

    def _fetch(self, plan: Plan, lane: str) -> tuple[Transferred, dict[date, list[FileId]]]:
        """Fetch what a plan wants, in parts; returns what has been published of each day."""
        work = self.raw / WORK_DIRECTORY / lane
        total, copied = Transferred(0, 0), {day: list[FileId]() for day in plan.days}
        for part in in_parts(_newest_first(plan), lambda wanted: wanted[1].size):
            files = [file for _, file in part]
            (work / ARRIVED).mkdir(parents=True, exist_ok=True)
            lock = self.locks / f"mirror.{lane}.transfer.lock"
            paths = [file.path for file in files]
            total += self.transfer.fetch(self.stream.path, paths, work / ARRIVED, work, lock)
            there = self._list_again(files, sorted({day.day for day, _ in part}))
            for day, file in part:
                try:
                    here = self._publish(day, file, there.get(file.path), work / ARRIVED)
                except CannotPublishError as error:
                    day.refuse(file.path, str(error))
                    continue
                if here:
                    copied[day.day].append(here)
            _flush_directories(self.raw / self.stream.raw, (here for day in copied.values() for here in day))
        _tidy(work)
        return total, copied

    def _list_again(self, files: Sequence[FileId], days: Sequence[date]) -> dict[str, FileId]:
        """The fetched files as they are on the host now."""
        paths = [file.path for file in files]
        few = sum(len(os.fsencode(path)) for path in paths) < _MOST_NAMED_BYTES
        wanted = set(paths)
        found, root = {}, self.stream.path
        listing = self.source.list(root, paths) if few else Directories(self.stream, days).listing(self.source, root)
        for entry in listing.entries:
            path = os.fsdecode(entry.path)
            if entry.kind == FILE and path in wanted:
                found[path] = FileId(path, entry.size, entry.mtime_ns)
        return found

    def _publish(self, day: DayPlan, listed: FileId, there: FileId | None, arrived: Path) -> FileId | None:
        """Give a file its name, if it is what the host has; returns what is here then.

        One that changed while it was copied may hold some of both versions, and one that changed before has not settled
        again. Both wait for the next pass, unless the file is appended only: what came of it is how it once was.

        Raises
        ------
        CannotPublishError
            Where what came is no regular file, or something else stands in its way here.
        """
        staged = arrived / listed.path
        if (status := came(staged)) is None:
            day.refuse(listed.path, "not copied: gone from the host, or not readable")
            return None
        here = FileId(listed.path, status.st_size, status.st_mtime_ns)
        # One that went away since is what was listed before, or it is not known what it is.
        now = there or listed
        is_whole = _same(here, now) and (_same(now, listed) or not self.stream.settle)
        if not is_whole and not (self.stream.is_appended and listed.size <= here.size <= now.size):
            day.unsettled.add(listed.path)
            remove(staged)
            return None
        publish(staged, self.raw / self.stream.raw, listed.path)
        return now if is_whole else here


def _same(one: FileId, other: FileId) -> bool:
    return one.size == other.size and same_mtime(one.mtime_ns, other.mtime_ns)


def _newest_first(plan: Plan) -> Iterator[tuple[DayPlan, FileId]]:
    """What is to be fetched, the newest day first."""
    for day in sorted(plan.days.values(), key=lambda day: day.day, reverse=True):
        for file in day.fetch:
            yield day, file


def _flush_directories(root: Path, files: Iterable[FileId]) -> None:
    """Make sure that the new names are on disk; their bytes are since the transfer."""
    for directory in {os.path.dirname(file.path) for file in files}:
        flush(root / directory)


def _tidy(work: Path) -> None:
    """Leave nothing of this pass but parts of files that another pass may resume, and those for a bounded time."""
    for name in (NEW, WANTED, ARRIVED):
        remove(work / name)
    partial = work / PARTIAL
    oldest = time.time() - KEEP_PARTIAL.total_seconds()
    for part in partial.iterdir() if partial.is_dir() else ():
        if part.lstat().st_mtime < oldest:
            remove(part)
    for directory in (partial, work):
        with suppress(OSError):  # not there, or not empty
            directory.rmdir()


def _report(day: DayPlan, copied: list[FileId]) -> DayReport:
    return DayReport(
        day=day.day,
        seen=day.seen,
        copied=len(copied),
        unchanged=len(day.unchanged),
        unsettled=day.unsettled,
        refused=day.refused,
        bytes=sum(file.size for file in copied),
        identity=identity(RECIPE, sorted([*day.unchanged, *copied])),
    )
