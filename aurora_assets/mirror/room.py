"""Room on the disk: which of the files that are to be fetched fit, so that one that does not holds up nobody.

A disk is shared: with the other streams, with products, with whoever else. Each pass asks for the free space before
each part of its transfer, and leaves some of it alone (``limits.keep_free``). Passes that ask at the same time may be
told of the same free space: what is kept free is there for that as well.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from aurora_assets.files import FileId
from aurora_assets.mirror.plan import DayPlan
from aurora_assets.mirror.workplace import WorkPlace
from aurora_assets.values import bytes_kept_free

NO_ROOM = "does not fit on the disk"
_BLOCK = 4096  # a file takes whole blocks


class Room:
    """The free space on the disk of a work directory, less what is kept free."""

    def __init__(self, work: WorkPlace, keep_free: str) -> None:
        self.work = work
        self.keep_free = keep_free
        self.reason = ""
        """Why files were refused; the same for all of a pass."""
        self._has_others = True

    def fitting(self, part: Sequence[tuple[DayPlan, FileId]], wanted: Iterable[FileId]) -> list[tuple[DayPlan, FileId]]:
        """The files of a part that fit, in order; the others are refused. ``wanted`` is all that the pass fetches.

        Parts of files are given up where there is no room for a whole one: they save time, and no more than that.
        """
        fits, taken, free = [], 0, self.free()
        for day, file in part:
            needs = 0 if self.work.has(file) else file.size + _BLOCK
            if needs > free - taken and self._drop_others(wanted):
                free = self.free()
            if needs > free - taken and self.work.drop_part(file.path):
                free = self.free()
            if needs > max(0, free - taken):
                self.reason = self.reason or self._reason()
                day.refuse(file.path, self.reason)
            else:
                taken += needs
                fits.append((day, file))
        return fits

    def _drop_others(self, wanted: Iterable[FileId]) -> bool:
        """Give up the parts of files that the pass does not fetch: once, since it adds none to them."""
        if not self._has_others:
            return False
        self._has_others = False
        return self.work.drop_parts(but=(file.path for file in wanted))

    def free(self) -> int:
        """Bytes that may be written; less than 0 where some of what is kept free is used."""
        free, kept = self._look()
        return free - kept

    def _look(self) -> tuple[int, int]:
        place = self.work.path
        while not place.exists():
            place = place.parent
        status = os.statvfs(place)
        return status.f_bavail * status.f_frsize, bytes_kept_free(self.keep_free, status.f_blocks * status.f_frsize)

    def _reason(self) -> str:
        free, kept = self._look()
        return f"{NO_ROOM}: {_amount(free)} free, of which limits.keep_free keeps {_amount(kept)}"


def _amount(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
