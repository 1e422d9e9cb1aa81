"""Work directories of lanes in which no pass works now: what nobody came back for goes, and what others have room for.

Each lane's directory belongs to the pass that holds its lock. A lane whose stream is in the site no more, or is
switched off, has no pass that would tidy it: whichever pass begins next to it does. A run that lives holds its lane's
locks, and its files are left alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from aurora_platform.errors import BusyError
from aurora_platform.fs.atomic import remove
from aurora_platform.fs.locks import hold_lock
from aurora_platform.layout import mirror_lock, mirror_transfer_lock
from aurora_platform.mirror.work_directory import KEEP_PARTIAL, WorkPlace
from aurora_platform.transport.protocols import ARRIVED, NEW, PARTIAL, WANTED

_AT_ONCE = timedelta(0)


@contextmanager
def held(locks: Path, lane: str, wait: timedelta) -> Iterator[None]:
    """Hold a lane: no pass works in it, and of one that was killed no rsync lives that may still write.

    Raises
    ------
    BusyError
        When it is not free after ``wait``.
    """
    with hold_lock(locks, mirror_lock(lane), wait):
        with hold_lock(locks, mirror_transfer_lock(lane), wait):
            pass
        yield


@dataclass(frozen=True)
class OtherLanes:
    """The lanes beside the one in which a pass works."""

    work: WorkPlace
    locks: Path
    history: str = ""
    """The lane of the same stream's history, of which parts are given up where what is live does not fit."""

    def sweep(self) -> None:
        """Remove what no pass has come back for in :data:`KEEP_PARTIAL`, of whatever stream."""
        for lane in sorted(self.work.incoming.iterdir()) if self.work.incoming.is_dir() else ():
            if lane.name != self.work.lane and lane.is_dir() and not lane.is_symlink():
                # It is of another stream, and holds up nothing here: the next pass, of whatever stream, looks again.
                with suppress(BusyError, OSError):
                    if _old(lane):  # before its lock is touched, which nobody is to wait for in vain
                        self._tidy(lane)

    def _tidy(self, lane: Path) -> None:
        with held(self.locks, lane.name, _AT_ONCE):
            work = replace(self.work, lane=lane.name)
            if lane.name == self.history:
                work.remove_copies()
            for place in _old(lane):
                remove(place)
            work.leave_if_empty()

    def give_up(self) -> bool:
        """Give up the parts of files of the stream's history; returns whether there were any."""
        if not self.history:
            return False
        work = replace(self.work, lane=self.history)
        with suppress(BusyError), held(self.locks, self.history, _AT_ONCE):
            return work.drop_parts()
        return False


def _old(lane: Path) -> list[Path]:
    """What in a work directory is older than it is kept: parts, each by itself; else by when a transfer last began."""
    oldest = time.time() - KEEP_PARTIAL.total_seconds()
    partial, wanted = lane / PARTIAL, lane / WANTED
    old = [part for part in (partial.iterdir() if partial.is_dir() else ()) if part.lstat().st_mtime < oldest]
    began = (wanted if wanted.exists() else lane).lstat().st_mtime
    others = [lane / name for name in (NEW, ARRIVED, WANTED)] if began < oldest else []
    return old + [place for place in others if place.exists()]
