"""Room on the disk: which of the files that are to be fetched fit, so that one that does not holds up nobody.

A disk is shared: with the other streams, with products, with whoever else. Each pass asks for the free space before
each part of its transfer, and leaves some of it alone (``limits.keep_free``). Passes that ask at the same time may be
told of the same free space: what is kept free is there for that as well.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from aurora_platform.config.types import bytes_kept_free
from aurora_platform.fs.atomic import nearest
from aurora_platform.fs.versions import ScannedEntry
from aurora_platform.mirror.plan import DayPlan
from aurora_platform.mirror.reports import NO_ROOM
from aurora_platform.mirror.work_directory import WorkPlace
from aurora_platform.text import counted

_BLOCK = 4096  # a file takes whole blocks
_OUR_INODES = 8  # for the work directory and what is in it


class Space(NamedTuple):
    """Bytes, and inodes (as many files and directories)."""

    size: float
    inodes: float

    def holds(self, other: Space) -> bool:
        return other.size <= max(0, self.size) and other.inodes <= max(0, self.inodes)


class Room:
    """The free space on the disk of a work directory, less what is kept free."""

    def __init__(self, work: WorkPlace, keep_free: str, give_up: Callable[[], bool] = lambda: False) -> None:
        """``give_up`` makes room in other work directories, and returns whether it made any."""
        self.work = work
        self.keep_free = keep_free
        self._give_up = give_up
        self.reason = ""
        """Why files were refused; the same for all of a pass."""
        self._has_others = True

    def fitting(
        self, part: Sequence[tuple[DayPlan, ScannedEntry[str]]], wanted: Iterable[ScannedEntry[str]]
    ) -> list[tuple[DayPlan, ScannedEntry[str]]]:
        """The files of a part that fit, in order; the others are refused. ``wanted`` is all that the pass fetches.

        Parts of files are given up where there is no room for a whole one: they save time, and no more than that.
        """
        fits, taken, free, folders = [], Space(0, 0), self._free(), set[str]()
        for day, file in part:
            needs, new = self._needs(file, folders)
            after = Space(taken.size + needs.size, taken.inodes + needs.inodes)
            if not free.holds(after) and self._drop_others(wanted):
                free = self._free()
            if not free.holds(after) and self.work.drop_part(file.path):
                free = self._free()
            if free.holds(after) or not any(needs):
                taken = after
                folders |= new
                fits.append((day, file))
            else:
                self.reason = self.reason or self._reason(after.inodes > max(0, free.inodes))
                day.refuse(file.path, self.reason)
        return fits

    def _needs(self, file: ScannedEntry[str], folders: set[str]) -> tuple[Space, set[str]]:
        """What a file takes, and its directories that are not among ``folders``: each is made here and, perhaps, there.

        One that has come has what it needs.
        """
        if self.work.has(file):
            return Space(0, 0), set()
        above, new = file.path, set[str]()
        while (above := os.path.dirname(above)) and above not in folders:
            new.add(above)
        return Space(file.version.size + _BLOCK, 1 + 2 * len(new)), new

    def _drop_others(self, wanted: Iterable[ScannedEntry[str]]) -> bool:
        """Give up the parts of files that the pass does not fetch: once, since it adds none to them."""
        if not self._has_others:
            return False
        self._has_others = False
        dropped = self.work.drop_parts(but=(file.path for file in wanted))
        return self._give_up() or dropped

    def free(self) -> float:
        """Bytes that may be written; less than 0 where some of what is kept free is used."""
        return self._free().size

    def _free(self) -> Space:
        status = self._look()
        # Where a file system counts no inodes (btrfs, many a network's), it has none to run out of.
        inodes = status.f_favail - _OUR_INODES if status.f_files else math.inf
        return Space(status.f_bavail * status.f_frsize - self._kept(status), inodes)

    def _kept(self, status: os.statvfs_result) -> int:
        return bytes_kept_free(self.keep_free, status.f_blocks * status.f_frsize)

    def _look(self) -> os.statvfs_result:
        return os.statvfs(nearest(self.work.path))

    def _reason(self, is_of_inodes: bool) -> str:
        status = self._look()
        if is_of_inodes:
            return f"{NO_ROOM}: {counted(status.f_favail, 'inode')} free, of which every file and directory takes one"
        free, kept = status.f_bavail * status.f_frsize, self._kept(status)
        return f"{NO_ROOM}: {_amount(free)} free, of which limits.keep_free keeps {_amount(kept)}"


def _amount(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
