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
from functools import cached_property
from pathlib import Path

from aurora_platform.fs.atomic import remove
from aurora_platform.fs.versions import ScannedEntry
from aurora_platform.layout import INCOMING
from aurora_platform.mirror.mtime_resolution import Kept, Mtimes, device_of, learn, record
from aurora_platform.transport.protocols import ARRIVED, NEW, PARTIAL, WANTED

# Files in the making, and cut transfers to resume: behind the raw root's own directories, or those of a stream whose
# directory is on another device, so that a finished file can be renamed to its name.
BESIDE = ".aurora"  # at the end of a hidden name: a copy that is being made where no rename leads
KEEP_PARTIAL = timedelta(days=7)  # a cut file that nobody came back for is begun anew after that


def incoming(root: Path, raw: str) -> Path:
    """Where the work directories of a stream are that is mirrored to ``root``, which is ``raw`` below the raw root."""
    own, shared = _choices(root, raw)
    return own if own.is_dir() or device_of(root) != device_of(shared.parent) else shared


def _choices(root: Path, raw: str) -> tuple[Path, Path]:
    return root / INCOMING, root.parents[raw.count("/")] / INCOMING


@dataclass(frozen=True)
class WorkPlace:
    """The work directory of one lane of a stream that is mirrored to ``root``."""

    root: Path
    incoming: Path
    lane: str

    @classmethod
    def of(cls, root: Path, raw: str, lane: str) -> WorkPlace:
        """The one in use; what lies in the other place is of a time when that was it, and is removed."""
        used = incoming(root, raw)
        for other in _choices(root, raw):
            if other != used:
                remove(other / lane)
        return cls(root, used, lane)

    @property
    def path(self) -> Path:
        return self.incoming / self.lane

    @cached_property
    def mtimes(self) -> Mtimes:
        """Compares what lies here with what the host lists; what the file system keeps is learnt where that differs."""

        def find() -> Kept:
            kept = learn(self.path / NEW)
            record(self.incoming, kept)
            return kept

        return Mtimes(self.incoming, find)

    def move_to_its_own(self) -> None:
        """Have later passes work below the stream's directory: no rename leads there from here, on one device."""
        with suppress(OSError):  # a disk that is full: it goes on as it is
            (self.root / INCOMING).mkdir(exist_ok=True)

    @property
    def arrived(self) -> Path:
        return self.path / ARRIVED

    def begin(self, wanted: Iterable[ScannedEntry[str]], unwanted: Iterable[ScannedEntry[str]]) -> None:
        """Remove what is of no use to a pass that fetches ``wanted``, and has no need of ``unwanted``.

        A part stays that may be of another day, about which this pass knows nothing.
        """
        self.remove_copies()
        for name in (NEW, WANTED):
            remove(self.path / name)
        sizes = {file.path: file for file in wanted}
        self._sweep(sizes)
        at_most = {_name(file.path): 0 for file in unwanted} | {
            _name(path): file.version.size for path, file in sizes.items()
        }
        oldest = time.time() - KEEP_PARTIAL.total_seconds()
        for part in self._parts():
            status = part.lstat()
            if status.st_mtime < oldest or status.st_size > at_most.get(part.name, status.st_size):
                remove(part)

    def end(self) -> None:
        """Leave nothing of a pass but parts of files that another pass may resume."""
        for name in (NEW, WANTED, ARRIVED):
            remove(self.path / name)
        self.leave_if_empty()

    def leave_if_empty(self) -> None:
        """Remove the work directory, where nothing is left in it to resume."""
        for directory in (self.path / PARTIAL, self.path):
            with suppress(OSError):  # not there, or not empty
                directory.rmdir()

    def has(self, file: ScannedEntry[str]) -> bool:
        """Whether a file has come whole in this version, and waits to be proved."""
        try:
            status = (self.arrived / file.path).lstat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        return stat.S_ISREG(status.st_mode) and self.mtimes.is_version(status, file.version)

    def drop_part(self, path: str) -> bool:
        """Give up what has come of a file."""
        return remove(self.path / PARTIAL / _name(path))

    def drop_parts(self, but: Iterable[str] = ()) -> bool:
        """Give up the parts of all files, but those of some paths; returns whether there were any."""
        kept = {_name(path) for path in but}
        return sum(remove(part) for part in self._parts() if part.name not in kept) > 0

    def remove_copies(self) -> None:
        """Remove the copies that a run that was killed was making beside their targets (:func:`beside`)."""
        wanted = self.path / WANTED
        names = wanted.read_bytes().split(b"\0") if wanted.exists() else []
        paths = [Path(os.fsdecode(name)) for name in names if name]
        paths += [
            Path(place, name).relative_to(self.arrived) for place, _, found in os.walk(self.arrived) for name in found
        ]
        for path in paths:
            with suppress(OSError):  # not there, nearly always
                (self.root / path.with_name(beside(path.name))).unlink()

    def _parts(self) -> list[Path]:
        partial = self.path / PARTIAL
        return list(partial.iterdir()) if partial.is_dir() else []

    def _sweep(self, wanted: dict[str, ScannedEntry[str]]) -> None:
        for place, folders, names in os.walk(self.arrived, topdown=False):
            for name in names + folders:
                path = Path(place, name)
                file = wanted.get(str(path.relative_to(self.arrived)))
                if path.is_dir() and not path.is_symlink():
                    with suppress(OSError):  # something that is wanted lies in it
                        path.rmdir()
                elif file is None or not self.has(file):
                    remove(path)


def beside(name: str) -> str:
    """The name of a copy of a file that is being made in its target's directory."""
    return f".{name}{BESIDE}"


def _name(path: str) -> str:
    return path.rpartition("/")[2]
