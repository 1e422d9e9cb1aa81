"""One pass over some days of a stream: list once, plan, fetch the difference with one transfer, verify what came.

Plain Python: the source and the transfer come in as arguments. The asset in :mod:`aurora_assets.mirror.assets` is a
thin cover over :func:`mirror_days`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Protocol

from aurora_assets.files import Tally, exclusive, identity, remove
from aurora_assets.mirror.listing import Source
from aurora_assets.mirror.plan import DayPlan, Plan, directories, make_plan, same_mtime
from aurora_assets.site import Stream

# Behind the raw root's own directories, on the same file system: files in the making, and cut transfers to resume.
WORK_DIRECTORY = ".incoming"
NEW, PARTIAL, WANTED = "new", "partial", "files"  # in the work directory: in the making, cut, and the list to fetch
RECIPE = "raw/1"
KEEP_PARTIAL = timedelta(days=7)  # a cut file that nobody came back for is begun anew after that


@dataclass(frozen=True)
class Transferred:
    """What a transfer says of itself: bytes of file data sent, and bytes that a cut transfer had left here."""

    literal_bytes: int
    matched_bytes: int
    complaints: Sequence[str] = ()
    """What it said of single files that it could not copy."""


class Transfer(Protocol):
    """Something that copies files of a source to here; :mod:`resources.rsync` implements it."""

    def fetch(self, root: str, paths: Sequence[str], target: Path, work: Path, lock: Path) -> Transferred:
        """Copy ``paths`` (relative to ``root`` on the source) to the same places below ``target``.

        Files come under their names whole or not at all, with their mtimes. ``work`` keeps what is in the making;
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
    tell: Callable[[str], None] = lambda text: None,
) -> MirrorReport:
    """Bring the local copy of some days of a stream up to date.

    Parameters
    ----------
    name, stream
        The stream's id and settings.
    days
        UTC days; one listing serves them all.
    source, transfer
        The host to list and the way to fetch from it.
    raw
        The raw root (``paths.raw``).
    locks, wait
        Where lock files are, and how long to wait for another run on the same stream.
    tell
        Gets a line before a transfer begins: what follows may take hours.

    Raises
    ------
    HostError, TransferError, BusyError
        When the pass could not be finished; the next one goes on where it ended.
    """
    started = time.monotonic()
    root = raw / stream.raw
    with exclusive(locks, f"mirror.{name}", wait):
        # Of a run that was killed the rsync may still be ending; it holds this lock for as long as it can write.
        with exclusive(locks, f"mirror.{name}.transfer", wait):
            pass
        listing = source.list(stream.path, directories(stream, days))
        plan = make_plan(stream, days, listing, root)
        tell(plan.intent())
        done = _fetch(name, stream, plan, transfer, raw, locks)
        reports = [_verify(day, root) for day in plan.days.values()]
    return MirrorReport(
        days=reports,
        foreign=plan.foreign,
        unreadable=listing.unreadable,
        newest_ns=plan.newest_ns,
        seconds=time.monotonic() - started,
        resumed_bytes=done.matched_bytes,
        complaints=done.complaints,
    )


def _fetch(name: str, stream: Stream, plan: Plan, transfer: Transfer, raw: Path, locks: Path) -> Transferred:
    paths = [file.path for day in plan.days.values() for file in day.fetch]
    work = raw / WORK_DIRECTORY / name
    done = Transferred(0, 0)
    if paths:
        root = raw / stream.raw
        root.mkdir(parents=True, exist_ok=True)
        done = transfer.fetch(stream.path, paths, root, work, locks / f"mirror.{name}.transfer.lock")
    _tidy(work)
    return done


def _tidy(work: Path) -> None:
    """Leave nothing of this pass but parts of files that another pass may resume, and those for a bounded time."""
    for name in (NEW, WANTED):
        remove(work / name)
    partial = work / PARTIAL
    oldest = time.time() - KEEP_PARTIAL.total_seconds()
    for part in partial.iterdir() if partial.is_dir() else ():
        if part.lstat().st_mtime < oldest:
            remove(part)
    for directory in (partial, work):
        with suppress(OSError):  # not there, or not empty
            directory.rmdir()


def _verify(day: DayPlan, root: Path) -> DayReport:
    """Compare what came with what was listed; a file that changed meanwhile waits for the next pass."""
    copied = []
    for file in day.fetch:
        try:
            status = (root / file.path).lstat()
        except FileNotFoundError:
            day.refuse(file.path, "not copied: gone from the host, or not readable")
            continue
        if status.st_size == file.size and same_mtime(status.st_mtime_ns, file.mtime_ns):
            copied.append(file)
        else:
            day.unsettled.add(file.path)
    here = sorted([*day.unchanged, *copied])
    return DayReport(
        day=day.day,
        seen=day.seen,
        copied=len(copied),
        unchanged=len(day.unchanged),
        unsettled=day.unsettled,
        refused=day.refused,
        bytes=sum(file.size for file in copied),
        identity=identity(RECIPE, here),
    )
