"""Cleanup of the work directories of other lanes: removes expired files, and partial files whose space is needed.

Each lane's work directory belongs to the pass that holds the lane's lock. If a stream was disabled or removed from the
site file, no pass of its own cleans its work directory: the next pass of any stream does it. A live run holds its
lane's locks, so its files stay.
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
from aurora_platform.mirror.work_directory import KEEP_PARTIAL, WorkDirectory
from aurora_platform.transport.protocols import ARRIVED, NEW, PARTIAL, WANTED

_NO_WAIT = timedelta(0)


@contextmanager
def hold_lane(locks: Path, lane: str, wait: timedelta) -> Iterator[None]:
    """Hold a lane: no other pass works in it, and no rsync of a killed pass can still write to it.

    Raises
    ------
    BusyError
        If the lane is not free after ``wait``.
    """
    with hold_lock(locks, mirror_lock(lane), wait):
        with hold_lock(locks, mirror_transfer_lock(lane), wait):
            pass
        yield


@dataclass(frozen=True)
class LaneCleanup:
    """The lanes other than the lane of the running pass."""

    work: WorkDirectory
    locks: Path
    history_lane: str = ""
    """The history lane of the same stream: its partial files are deleted if live files need their space."""

    def remove_expired(self) -> None:
        """Remove files of any stream that no pass has used for :data:`KEEP_PARTIAL`."""
        for lane in sorted(self.work.incoming.iterdir()) if self.work.incoming.is_dir() else ():
            if lane.name != self.work.lane and lane.is_dir() and not lane.is_symlink():
                # An error in another lane does not stop this pass. The next pass of any stream tries again.
                with suppress(BusyError, OSError):
                    if _find_expired(lane):  # before locking: an idle check must not make the lane's own pass wait
                        self._remove_expired_in(lane)

    def _remove_expired_in(self, lane: Path) -> None:
        with hold_lane(self.locks, lane.name, _NO_WAIT):
            work = replace(self.work, lane=lane.name)
            if lane.name == self.history_lane:
                work.remove_unfinished_copies()
            for path in _find_expired(lane):
                remove(path)
            work.remove_if_empty()

    def drop_history_partials(self) -> bool:
        """Delete the partial files of the stream's history lane; return whether there were any."""
        if not self.history_lane:
            return False
        work = replace(self.work, lane=self.history_lane)
        with suppress(BusyError), hold_lane(self.locks, self.history_lane, _NO_WAIT):
            return work.drop_partials()
        return False


def _find_expired(lane: Path) -> list[Path]:
    """List the expired paths of a lane: partial files by their own age, all else by the begin of the last transfer."""
    oldest = time.time() - KEEP_PARTIAL.total_seconds()
    partial, wanted = lane / PARTIAL, lane / WANTED
    expired = [file for file in (partial.iterdir() if partial.is_dir() else ()) if file.lstat().st_mtime < oldest]
    began = (wanted if wanted.exists() else lane).lstat().st_mtime
    others = [lane / name for name in (NEW, ARRIVED, WANTED)] if began < oldest else []
    return expired + [path for path in others if path.exists()]
