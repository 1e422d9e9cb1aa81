"""The work directory of a pass: what is in the making, what a cut transfer left to resume, and what waits to be proved.

Only the pass that holds its lane's lock works in it. What a run that was killed left behind is looked at when the next
one begins: whole files that are still wanted need not be sent again, and a part of a file is resumed.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from aurora_assets.files import FileId, remove, same_mtime

# Behind the raw root's own directories, on the same file system: files in the making, and cut transfers to resume.
WORK_DIRECTORY = ".incoming"
# In the work directory: in the making, cut, the list to fetch, and what has come whole and waits to be proved.
NEW, PARTIAL, WANTED, ARRIVED = "new", "partial", "files", "arrived"
KEEP_PARTIAL = timedelta(days=7)  # a cut file that nobody came back for is begun anew after that


@dataclass(frozen=True)
class WorkPlace:
    """The work directory of one lane."""

    path: Path

    @property
    def arrived(self) -> Path:
        return self.path / ARRIVED

    def begin(self, wanted: Iterable[FileId], unwanted: Iterable[FileId]) -> None:
        """Remove what is of no use to a pass that fetches ``wanted``, and has no need of ``unwanted``.

        A part stays that may be of another day, about which this pass knows nothing.
        """
        for name in (NEW, WANTED):
            remove(self.path / name)
        sizes = {file.path: file for file in wanted}
        self._sweep(sizes)
        at_most = {_name(file.path): 0 for file in unwanted} | {_name(path): file.size for path, file in sizes.items()}
        oldest = time.time() - KEEP_PARTIAL.total_seconds()
        for part in self._parts():
            status = part.lstat()
            if status.st_mtime < oldest or status.st_size > at_most.get(part.name, status.st_size):
                remove(part)

    def end(self) -> None:
        """Leave nothing of a pass but parts of files that another pass may resume."""
        for name in (NEW, WANTED, ARRIVED):
            remove(self.path / name)
        for directory in (self.path / PARTIAL, self.path):
            with suppress(OSError):  # not there, or not empty
                directory.rmdir()

    def has(self, file: FileId) -> bool:
        """Whether a file has come whole in this version, and waits to be proved."""
        try:
            status = (self.arrived / file.path).lstat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        return (
            stat.S_ISREG(status.st_mode)
            and status.st_size == file.size
            and same_mtime(status.st_mtime_ns, file.mtime_ns)
        )

    def drop_part(self, path: str) -> bool:
        """Give up what has come of a file."""
        return remove(self.path / PARTIAL / _name(path))

    def drop_parts(self, but: Iterable[str] = ()) -> bool:
        """Give up the parts of all files, but those of some paths; returns whether there were any."""
        kept = {_name(path) for path in but}
        return sum(remove(part) for part in self._parts() if part.name not in kept) > 0

    def _parts(self) -> list[Path]:
        partial = self.path / PARTIAL
        return list(partial.iterdir()) if partial.is_dir() else []

    def _sweep(self, wanted: dict[str, FileId]) -> None:
        for place, folders, names in os.walk(self.arrived, topdown=False):
            for name in names + folders:
                path = Path(place, name)
                file = wanted.get(str(path.relative_to(self.arrived)))
                if path.is_dir() and not path.is_symlink():
                    with suppress(OSError):  # something that is wanted lies in it
                        path.rmdir()
                elif file is None or not self.has(file):
                    remove(path)


def _name(path: str) -> str:
    return path.rpartition("/")[2]
