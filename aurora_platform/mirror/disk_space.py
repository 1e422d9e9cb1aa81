"""Free disk space of a fetch: which files fit. A file that does not fit delays no other file.

Other streams, products and other programs share the disk. Before each batch, a pass reads the free space and leaves
some of it unused (``limits.reserve``). Two passes may count the same free space at the same time: the reserve covers
that as well.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from aurora_platform.config.types import reserved_bytes
from aurora_platform.fs.abilities import quota_of
from aurora_platform.fs.atomic import nearest
from aurora_platform.fs.versions import ScannedEntry
from aurora_platform.mirror.plan import DayPlan
from aurora_platform.mirror.reports import DOES_NOT_FIT
from aurora_platform.mirror.work_directory import WorkDirectory
from aurora_platform.text import counted, human_size

_BLOCK = 4096  # a file takes whole blocks
_OUR_INODES = 8  # for the work directory and its subdirectories


class DiskSpace(NamedTuple):
    """Bytes and inodes; every file and directory takes one inode."""

    size: float
    inodes: float

    def has_room_for(self, other: DiskSpace) -> bool:
        return other.size <= max(0, self.size) and other.inodes <= max(0, self.inodes)


class _Room(NamedTuple):
    """Free bytes of a disk or a quota, and how many of them stay free."""

    where: str
    free: int
    reserved: int


class FreeSpace:
    """The free space on the disk of a work directory, less the reserve (``reserve``)."""

    def __init__(
        self, work: WorkDirectory, reserve: str | None, free_other_lane: Callable[[], bool] = lambda: False
    ) -> None:
        """``free_other_lane`` deletes partial files in another lane and returns whether it deleted any."""
        self.work = work
        self.reserve = reserve
        self._free_other_lane = free_other_lane
        self.reason = ""
        """Why files were refused; the same text for all files of a pass."""
        self._may_free_others = True

    def select_fitting(
        self, batch: Sequence[tuple[DayPlan, ScannedEntry[str]]], wanted: Iterable[ScannedEntry[str]]
    ) -> list[tuple[DayPlan, ScannedEntry[str]]]:
        """Return the files of a batch that fit, in order; refuse the others. ``wanted`` is all that the pass fetches.

        Partial files are deleted if a whole file needs their space: they only save time.
        """
        fits, taken, free, directories = [], DiskSpace(0, 0), self._free(), set[str]()
        for day, file in batch:
            needs, new_directories = self._needs(file, directories)
            after = DiskSpace(taken.size + needs.size, taken.inodes + needs.inodes)
            if not free.has_room_for(after) and self._drop_other_partials(wanted):
                free = self._free()
            if not free.has_room_for(after) and self.work.drop_partial(file.path):
                free = self._free()
            if free.has_room_for(after) or not any(needs):
                taken = after
                directories |= new_directories
                fits.append((day, file))
            else:
                self.reason = self.reason or self._reason(after.inodes > max(0, free.inodes))
                day.refuse(file.path, self.reason)
        return fits

    def _needs(self, file: ScannedEntry[str], directories: set[str]) -> tuple[DiskSpace, set[str]]:
        """The space that a file needs, and its parent directories that are not in ``directories``.

        Each of them may be made twice: in the work directory and in the raw root. A file that has arrived needs none.
        """
        if self.work.has_arrived(file):
            return DiskSpace(0, 0), set()
        parent, new_directories = file.path, set[str]()
        while (parent := os.path.dirname(parent)) and parent not in directories:
            new_directories.add(parent)
        return DiskSpace(file.version.size + _BLOCK, 1 + 2 * len(new_directories)), new_directories

    def _drop_other_partials(self, wanted: Iterable[ScannedEntry[str]]) -> bool:
        """Delete the partial files that the pass does not fetch: once, because the pass adds none."""
        if not self._may_free_others:
            return False
        self._may_free_others = False
        dropped = self.work.drop_partials(keep=(file.path for file in wanted))
        return self._free_other_lane() or dropped

    def available_bytes(self) -> float:
        """Bytes that may be written; less than 0 if the reserve is partly used."""
        return self._free().size

    def _free(self) -> DiskSpace:
        status = self._statvfs()
        # A file system that counts no inodes (btrfs, many network file systems) cannot run out of them.
        inodes = status.f_favail - _OUR_INODES if status.f_files else math.inf
        return DiskSpace(min(room.free - room.reserved for room in self._rooms(status)), inodes)

    def _rooms(self, status: os.statvfs_result) -> list[_Room]:
        """What bounds the files of the stream: its disk, and the quotas of the directories that they pass through."""
        total = status.f_blocks * status.f_frsize
        rooms = [_Room("", status.f_bavail * status.f_frsize, reserved_bytes(self.reserve, total))]
        for directory in (self.work.path, self.work.root):
            if (quota := quota_of(nearest(directory))) is not None:
                what = f" under the quota of {quota.directory}"
                rooms.append(_Room(what, quota.free, reserved_bytes(self.reserve, quota.limit)))
        return rooms

    def _statvfs(self) -> os.statvfs_result:
        return os.statvfs(nearest(self.work.path))

    def _reason(self, is_of_inodes: bool) -> str:
        status = self._statvfs()
        if is_of_inodes:
            return f"{DOES_NOT_FIT}: {counted(status.f_favail, 'inode')} free, every file and directory needs one"
        room = min(self._rooms(status), key=lambda room: room.free - room.reserved)
        reserve = f"limits.reserve keeps {human_size(room.reserved)}"
        return f"{DOES_NOT_FIT}: {human_size(room.free)} free{room.where}, {reserve}"
