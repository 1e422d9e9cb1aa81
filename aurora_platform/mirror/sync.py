"""One pass over some days of a stream: list, plan, fetch the difference, list again, and publish what is proved whole.

Plain Python: the source and the transfer come in as arguments. The asset in :mod:`aurora_assets.mirror.assets` is a
thin cover over :func:`mirror_days`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from aurora_platform.config.limits import KEEP_FREE
from aurora_platform.config.streams import Stream
from aurora_platform.fs.versions import ScannedEntry, data_version
from aurora_platform.layout import mirror_transfer_lock
from aurora_platform.mirror.disk_room import Room
from aurora_platform.mirror.fetch import Fetch
from aurora_platform.mirror.other_lanes import OtherLanes, held
from aurora_platform.mirror.plan import DayPlan, Plan, make_plan
from aurora_platform.mirror.reports import RECIPE, DayReport, MirrorReport
from aurora_platform.mirror.work_directory import WorkPlace
from aurora_platform.streams.classify import Directories
from aurora_platform.streams.state import DayAtSource, remember
from aurora_platform.text import Count
from aurora_platform.transport.protocols import Source, Transfer, TransferResult

HISTORY = ".history"  # after a stream's name: the locks and the work directory of its history lane


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
    source_days: Path | None = None,
    keep_free: str = KEEP_FREE,
    log: Callable[[str], None] = lambda text: None,
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
        Where to remember that days of the live window were seen (:mod:`aurora_platform.streams.state`).
    keep_free
        How much of the disk stays free (``limits.keep_free``); a file for which there is less room is refused.
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
    mirror = _Mirror(stream, source, transfer, raw, locks, wait, log, keep_free)
    passes = []
    if live:
        passes.append(mirror.bring(live, name))
        if source_days:
            remember(source_days, passes[0].days_at_source())
    if history:
        passes.append(mirror.bring(history, name + HISTORY))
    return _join(passes, time.monotonic() - started)


@dataclass
class _Pass:
    """One listing and one transfer."""

    plan: Plan
    days: list[DayReport]
    done: TransferResult
    clock_ns: int
    unreadable: Count

    def days_at_source(self) -> dict[date, DayAtSource]:
        """What to remember of each day; nothing where the source had nothing at all: its disk may not be mounted."""
        if self.plan.is_empty:
            return {}
        return {
            day.day: DayAtSource(self.clock_ns, len(self.plan.days[day.day].fetch) - day.copied, day.unsettled.total)
            for day in self.days
        }


def _join(passes: Sequence[_Pass], seconds: float) -> MirrorReport:
    unreadable = Count()
    for one in passes:
        unreadable.total += one.unreadable.total
        unreadable.first += one.unreadable.first
    return MirrorReport(
        days=[day for one in passes for day in one.days],
        unexpected=sum(one.plan.unexpected for one in passes),
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
    log: Callable[[str], None]
    keep_free: str

    def bring(self, days: Sequence[date], lane: str) -> _Pass:
        root = self.raw / self.stream.raw
        with held(self.locks, lane, self.wait):
            listing = Directories(self.stream, days).listing(self.source, self.stream.path)
            work = WorkPlace.of(root, self.stream.raw, lane)
            others = OtherLanes(work, self.locks, "" if lane.endswith(HISTORY) else lane + HISTORY)
            others.sweep()
            plan = make_plan(self.stream, days, listing, root, work.mtimes)
            self.log(plan.intent())
            fetch = Fetch(
                self.stream,
                self.source,
                self.transfer,
                root,
                work,
                self.locks / f"{mirror_transfer_lock(lane)}.lock",
                Room(work, self.keep_free, others.give_up),
                self.log,
            )
            done = fetch.run(plan)
            reports = [_report(day, fetch.copied[day.day]) for day in plan.days.values()]
        return _Pass(plan, reports, done, listing.clock_ns, listing.unreadable)


def _report(day: DayPlan, copied: list[ScannedEntry[str]]) -> DayReport:
    return DayReport(
        day=day.day,
        seen=day.seen,
        copied=len(copied),
        unchanged=len(day.unchanged),
        unsettled=day.unsettled,
        refused=day.refused,
        bytes=sum(file.version.size for file in copied),
        data_version=data_version(RECIPE, sorted([*day.unchanged, *copied])),
    )
