"""Mirror passes over days of a stream: list, plan, fetch the difference, list again, and publish the verified files.

Plain Python: the source and the transfer are arguments. The asset in :mod:`aurora_assets.mirror.assets` calls
:func:`mirror_days`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from aurora_platform.config.streams import Stream
from aurora_platform.fs.locks import hold_shared
from aurora_platform.fs.versions import ScannedEntry, data_version
from aurora_platform.layout import mirror_transfer_lock
from aurora_platform.mirror.disk_space import FreeSpace
from aurora_platform.mirror.fetch import Fetch
from aurora_platform.mirror.hold_back import NoGuard, ReplacementGuard, hold_back
from aurora_platform.mirror.lane_cleanup import LaneCleanup, hold_lane
from aurora_platform.mirror.plan import DayPlan, Plan, make_plan
from aurora_platform.mirror.reports import RECIPE, DayReport, MirrorReport
from aurora_platform.mirror.work_directory import WorkDirectory
from aurora_platform.streams.classify import Directories
from aurora_platform.streams.state import DayAtSource, record_days_at_source
from aurora_platform.text import Count
from aurora_platform.transport.protocols import Source, Transfer, TransferResult

HISTORY = ".history"  # suffix of the stream name, for the locks and the work directory of the history lane


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
    reserve: str | None = None,
    guard: ReplacementGuard | None = None,
    sync_lock: Path | None = None,
    log: Callable[[str], None] = lambda text: None,
) -> MirrorReport:
    """Bring the local copy of some days of a stream up to date.

    Days of the live window and older days are two passes with separate locks, the live pass first: a fetch of months of
    history does not delay new files.

    Parameters
    ----------
    name, stream
        The stream's id and settings.
    days
        UTC days; one listing serves all days of a pass.
    source, transfer
        The host to list, and the way to fetch from it.
    raw
        The raw root (``paths.raw``).
    locks, wait
        The directory of lock files, and how long to wait for another run on the same stream and lane.
    live_from
        The first day of the live window.
    source_days
        The file that records the state of the live window's days at the source
        (:mod:`aurora_platform.streams.state`); None records nothing.
    reserve
        How much of the disk stays free (``limits.reserve``); a file that needs more than the rest is refused.
    guard
        Decides which files must not replace their local copies; None where nothing protects them.
    sync_lock
        A file that another system locks while it copies the same stream; None where there is none.
    log
        Gets one line before a transfer begins, which may take hours.

    Raises
    ------
    HostError, TransferError, BusyError
        If the pass could not be finished; the next pass continues there.
    """
    started = time.monotonic()
    live = [day for day in days if day >= live_from]
    history = [day for day in days if day < live_from]
    mirror = _StreamMirror(stream, source, transfer, raw, locks, wait, log, reserve, guard or NoGuard())
    passes = []
    with nullcontext() if sync_lock is None else hold_shared(sync_lock, wait):
        if live:
            passes.append(mirror.run_pass(live, name))
            if source_days:
                record_days_at_source(source_days, passes[0].days_at_source())
        if history:
            passes.append(mirror.run_pass(history, name + HISTORY))
    return _join(passes, time.monotonic() - started)


@dataclass
class _PassResult:
    """The result of one pass: one listing and one fetch."""

    plan: Plan
    days: list[DayReport]
    transfer: TransferResult
    clock_ns: int
    unreadable: Count

    def days_at_source(self) -> dict[date, DayAtSource]:
        """Return the state to record of each day; nothing if the source was empty: its disk may not be mounted."""
        if self.plan.is_empty:
            return {}
        return {
            day.day: DayAtSource(self.clock_ns, len(self.plan.days[day.day].fetch) - day.copied, day.unsettled.total)
            for day in self.days
        }


def _join(passes: Sequence[_PassResult], seconds: float) -> MirrorReport:
    unreadable = Count()
    for result in passes:
        unreadable.total += result.unreadable.total
        unreadable.first += result.unreadable.first
    return MirrorReport(
        days=[day for result in passes for day in result.days],
        unexpected=sum(result.plan.unexpected for result in passes),
        unreadable=unreadable,
        newest_ns=max((result.plan.newest_ns for result in passes if result.plan.newest_ns is not None), default=None),
        seconds=seconds,
        resumed_bytes=sum(result.transfer.matched_bytes for result in passes),
        messages=[line for result in passes for line in result.transfer.messages],
        # Both passes may have listed the same directory.
        unmatched=min((result.plan.unmatched for result in passes), default=0),
    )


@dataclass
class _StreamMirror:
    """The mirror of one stream; each lane has its own locks and its own work directory."""

    stream: Stream
    source: Source
    transfer: Transfer
    raw: Path
    locks: Path
    wait: timedelta
    log: Callable[[str], None]
    reserve: str | None
    guard: ReplacementGuard

    def run_pass(self, days: Sequence[date], lane: str) -> _PassResult:
        root = self.raw / self.stream.raw
        with hold_lane(self.locks, lane, self.wait):
            listing = Directories(self.stream, days).list_source(self.source, self.stream.path)
            work = WorkDirectory.of(root, self.stream.raw, lane)
            other_lanes = LaneCleanup(work, self.locks, "" if lane.endswith(HISTORY) else lane + HISTORY)
            other_lanes.remove_expired()
            plan = make_plan(self.stream, days, listing, root, work.mtimes, self.guard.held_files())
            hold_back(plan, self.guard)
            self.log(plan.summarize())
            fetch = Fetch(
                self.stream,
                self.source,
                self.transfer,
                root,
                work,
                self.locks / f"{mirror_transfer_lock(lane)}.lock",
                FreeSpace(work, self.reserve, other_lanes.drop_history_partials),
                self.log,
            )
            transferred = fetch.run(plan)
            reports = [_report(day, fetch.copied[day.day]) for day in plan.days.values()]
        return _PassResult(plan, reports, transferred, listing.clock_ns, listing.unreadable)


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
