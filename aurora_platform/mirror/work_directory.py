"""Work directory of a pass: unfinished files, partial files to resume, and arrived files that wait for verification.

Only the pass that holds its lane's lock works in it. The next pass checks what a killed run left behind: complete
files that are still wanted are not transferred again, and a partial file is resumed.
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

from aurora_platform.fs.atomic import copy_name, remove
from aurora_platform.fs.mtimes import MtimeResolution, measure_resolution
from aurora_platform.fs.versions import ScannedEntry
from aurora_platform.layout import INCOMING
from aurora_platform.mirror.mtime_resolution import MtimeComparison, device_of, save_resolution
from aurora_platform.transport.protocols import ARRIVED, NEW, PARTIAL, WANTED

KEEP_PARTIAL = timedelta(days=7)  # an older partial file is removed, and its transfer begins again


def incoming_directory(root: Path, raw: str) -> Path:
    """Return the directory of the work directories of a stream; ``root`` is the directory ``raw`` of the raw root.

    It is in the raw root. If the stream's directory is on another device, it is in the stream's directory, so that a
    finished file can be renamed.
    """
    own, shared = _candidates(root, raw)
    return own if own.is_dir() or device_of(root) != device_of(shared.parent) else shared


def _candidates(root: Path, raw: str) -> tuple[Path, Path]:
    return root / INCOMING, root.parents[raw.count("/")] / INCOMING


@dataclass(frozen=True)
class WorkDirectory:
    """The work directory of one lane of a stream that is mirrored to ``root``."""

    root: Path
    incoming: Path
    lane: str

    @classmethod
    def of(cls, root: Path, raw: str, lane: str) -> WorkDirectory:
        """Return the work directory in use; files in the other candidate are from earlier, and are removed."""
        used = incoming_directory(root, raw)
        for other in _candidates(root, raw):
            if other != used:
                remove(other / lane)
        return cls(root, used, lane)

    @property
    def path(self) -> Path:
        return self.incoming / self.lane

    @cached_property
    def mtimes(self) -> MtimeComparison:
        """Compares local files with those that the host lists; it measures the mtime resolution if mtimes differ."""

        def measure() -> MtimeResolution:
            resolution = measure_resolution(self.path / NEW)
            save_resolution(self.incoming, resolution)
            return resolution

        return MtimeComparison(self.incoming, measure)

    def use_own_directory(self) -> None:
        """Let later passes work below the stream's directory: a rename from the shared one is impossible."""
        with suppress(OSError):  # a full disk: passes go on in the shared one
            (self.root / INCOMING).mkdir(exist_ok=True)

    @property
    def arrived(self) -> Path:
        return self.path / ARRIVED

    def prepare(self, wanted: Iterable[ScannedEntry[str]], unwanted: Iterable[ScannedEntry[str]]) -> None:
        """Remove all files that a pass cannot use: it fetches ``wanted``, and does not need ``unwanted``.

        Any other partial file stays: it may belong to a day that this pass does not list.
        """
        self.remove_unfinished_copies()
        for name in (NEW, WANTED):
            remove(self.path / name)
        wanted_by_path = {file.path: file for file in wanted}
        self._remove_unwanted_arrived(wanted_by_path)
        largest = {_base_name(file.path): 0 for file in unwanted} | {
            _base_name(path): file.version.size for path, file in wanted_by_path.items()
        }
        oldest = time.time() - KEEP_PARTIAL.total_seconds()
        for partial in self._partial_files():
            status = partial.lstat()
            if status.st_mtime < oldest or status.st_size > largest.get(partial.name, status.st_size):
                remove(partial)

    def clean_up(self) -> None:
        """Remove all files of a pass but partial files, which another pass may resume."""
        for name in (NEW, WANTED, ARRIVED):
            remove(self.path / name)
        self.remove_if_empty()

    def remove_if_empty(self) -> None:
        """Remove the work directory if it holds no partial file."""
        for directory in (self.path / PARTIAL, self.path):
            with suppress(OSError):  # missing, or not empty
                directory.rmdir()

    def has_arrived(self, file: ScannedEntry[str]) -> bool:
        """Whether this version of a file has arrived complete, and waits for verification."""
        try:
            status = (self.arrived / file.path).lstat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        return stat.S_ISREG(status.st_mode) and self.mtimes.is_version(status, file.version)

    def drop_partial(self, path: str) -> bool:
        """Delete the partial file of a path; return whether there was one."""
        return remove(self.path / PARTIAL / _base_name(path))

    def drop_partials(self, keep: Iterable[str] = ()) -> bool:
        """Delete all partial files but those of the paths ``keep``; return whether there were any."""
        kept = {_base_name(path) for path in keep}
        return sum(remove(partial) for partial in self._partial_files() if partial.name not in kept) > 0

    def remove_unfinished_copies(self) -> None:
        """Remove the copies that a killed run left in target directories (:func:`.copy_name`)."""
        wanted = self.path / WANTED
        names = wanted.read_bytes().split(b"\0") if wanted.exists() else []
        paths = [Path(os.fsdecode(name)) for name in names if name]
        paths += [
            Path(directory, name).relative_to(self.arrived)
            for directory, _, files in os.walk(self.arrived)
            for name in files
        ]
        for path in paths:
            with suppress(OSError):  # nearly always missing
                (self.root / path.with_name(copy_name(path.name))).unlink()

    def _partial_files(self) -> list[Path]:
        partial = self.path / PARTIAL
        return list(partial.iterdir()) if partial.is_dir() else []

    def _remove_unwanted_arrived(self, wanted: dict[str, ScannedEntry[str]]) -> None:
        for directory, subdirectories, files in os.walk(self.arrived, topdown=False):
            for name in files + subdirectories:
                path = Path(directory, name)
                file = wanted.get(str(path.relative_to(self.arrived)))
                if path.is_dir() and not path.is_symlink():
                    with suppress(OSError):  # it holds wanted files
                        path.rmdir()
                elif file is None or not self.has_arrived(file):
                    remove(path)


def _base_name(path: str) -> str:
    return path.rpartition("/")[2]
