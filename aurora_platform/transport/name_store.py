"""Stores the names of local directories, so that a directory that did not change is not read again.

A flat stream has all its files in one directory: three years of a ceilometer are 315,000 names, and reading them takes
0.2 s of CPU. Several ticks a minute need a few hundred of them: those that match the patterns of the newest days.

**What is stored is names only.** A directory gets a new mtime and ctime with every entry that is made, renamed or
removed, so stored names are right while its device, inode, mtime and ctime are the same. It does not get them when a
file in it is written in place. So a listing takes sizes and mtimes from an ``lstat`` of each file, always.

**What is stored only saves work.** It is used if it was read at least :data:`_QUIET_NS` after the directory's last
change: a file system may give the same mtime to two changes within 2 s. And it is used for ten minutes at most, so that
no file is hidden for longer by a clock that was wrong, of this machine or of a file server, or by a file system that
gives directories no mtimes. A missing, damaged or unwritable store means that the directory is read.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

from aurora_platform.errors import AuroraError
from aurora_platform.layout import VERSION, check_state, listings_directory

_FORMAT = 1  # of the JSON files; one of another format is not used
_QUIET_NS = 3 * 10**9  # FAT keeps mtimes of 2 s, the coarsest
_MAX_AGE_NS = 600 * 10**9
_MOST_NAMES = 20_000  # with more of them, reading the directory costs little beside the stat of each
_MOST_RECORDS = 4  # per directory: two streams may share it, and their days change at midnight
_LEFT_AFTER = 60.0  # s; a file is staged for some ms
_MOST_BYTES = 32 << 20  # of a file; a larger one is not ours


class Stamp(NamedTuple):
    """What changes when an entry is made, renamed or removed in a directory. Times in ns since epoch."""

    device: int
    inode: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, root: str) -> Stamp:
        """The stamp of a directory now."""
        status = os.stat(root)
        return cls(status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns)


class Record(NamedTuple):
    """The names of one directory that a listing by some patterns needs."""

    named: Sequence[str]
    """The patterns."""
    stamp: Stamp
    """As it was before the directory was read."""
    read_ns: int
    """When reading began, ns since epoch."""
    names: Sequence[bytes]
    """Entries that a pattern matches, and symlinks."""
    directories: Sequence[bytes]
    """The directories in it."""


class NameStore:
    """The stored names of the directories of this machine: one small JSON file per directory."""

    def __init__(self, state: Path, is_writable: bool = False, clock_ns: Callable[[], int] = time.time_ns) -> None:
        """``state`` is the state directory of the site; without ``is_writable``, nothing is stored."""
        self.state = state
        self.is_writable = is_writable
        self.clock_ns = clock_ns

    def find(self, root: str, named: Sequence[str]) -> Record | None:
        """Return the record of a directory for these patterns, if its names are still right."""
        record = next((record for record in self._read(root) if list(record.named) == list(named)), None)
        if record is None or not 0 <= self.clock_ns() - record.read_ns < _MAX_AGE_NS:
            return None
        return record if record.stamp == Stamp.of(root) else None

    def begin(self, root: str, named: Sequence[str]) -> Reading:
        """Begin to read a directory whose names are to be stored."""
        return Reading(self, root, Record(list(named), Stamp.of(root), self.clock_ns(), [], []))

    def save(self, root: str, record: Record) -> None:
        """Store a record, unless the directory changed just before it was read, or this store is not writable."""
        changed_ns = max(record.stamp.mtime_ns, record.stamp.ctime_ns)
        if not self.is_writable or record.read_ns - changed_ns < _QUIET_NS or not _is_current(self.state):
            return
        others = [other for other in self._read(root) if list(other.named) != list(record.named)]
        newest = sorted([record, *others], key=lambda each: each.read_ns, reverse=True)[:_MOST_RECORDS]
        text = json.dumps({"format": _FORMAT, "root": root, "records": [_as_json(each) for each in newest]})
        # Stored to save work only: on a full disk, or for a user who may not write, the directory is read each time.
        with suppress(OSError):
            _replace(self._file(root), text)

    def _file(self, root: str) -> Path:
        name = blake2b(os.fsencode(root), digest_size=12).hexdigest()
        return listings_directory(self.state) / f"{name}.json"

    def _read(self, root: str) -> list[Record]:
        """Return the records of a directory; none if the file is missing, damaged, or of another version."""
        try:
            file = self._file(root)
            content = json.loads(file.read_bytes()) if file.stat().st_size <= _MOST_BYTES else {}
            if content["format"] != _FORMAT or content["root"] != root:
                return []
            return [_from_json(values) for values in content["records"]]
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return []


class Reading:
    """Collects the names of a directory while it is read."""

    def __init__(self, store: NameStore, root: str, record: Record) -> None:
        self._store, self._root, self._record = store, root, record
        self._names: list[bytes] = []
        self._directories: list[bytes] = []

    def add_name(self, name: bytes) -> None:
        """Add an entry that is listed."""
        if len(self._names) <= _MOST_NAMES:
            self._names.append(name)

    def add_directory(self, name: bytes) -> None:
        """Add a directory that is searched."""
        if len(self._directories) <= _MOST_NAMES:
            self._directories.append(name)

    def end(self) -> None:
        """Store the names; call it after the last entry."""
        if max(len(self._names), len(self._directories)) <= _MOST_NAMES:
            record = self._record._replace(names=self._names, directories=self._directories)
            self._store.save(self._root, record)


def _is_current(state: Path) -> bool:
    """Whether this version of Aurora may write in the state directory."""
    try:
        return check_state(state) == VERSION
    except AuroraError:  # the callers that rely on the directory report it
        return False


def _as_json(record: Record) -> dict[str, Any]:
    return {
        "named": list(record.named),
        "stamp": list(record.stamp),
        "read_ns": record.read_ns,
        "names": [os.fsdecode(name) for name in record.names],
        "directories": [os.fsdecode(name) for name in record.directories],
    }


def _from_json(values: Any) -> Record:
    """Read a record; ValueError, TypeError or KeyError if it is none."""
    device, inode, mtime_ns, ctime_ns = map(int, values["stamp"])
    return Record(
        [str(pattern) for pattern in values["named"]],
        Stamp(device, inode, mtime_ns, ctime_ns),
        int(values["read_ns"]),
        [_name(name) for name in values["names"]],
        [_name(name) for name in values["directories"]],
    )


def _name(text: str) -> bytes:
    name = os.fsencode(text)
    if not name or b"/" in name or b"\0" in name or name in (b".", b".."):
        raise ValueError(f"{text!r} is no name of a file")
    return name


def _replace(file: Path, text: str) -> None:
    """Write a file as a whole. A unique temporary name: several processes may write, and each has read the names."""
    file.parent.mkdir(parents=True, exist_ok=True)
    for left in file.parent.glob(f".{file.name}.*"):  # by a killed process
        if time.time() - left.stat().st_mtime > _LEFT_AFTER:
            left.unlink(missing_ok=True)
    handle, staged = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    try:
        with os.fdopen(handle, "w") as stream:
            stream.write(text)
        os.replace(staged, file)
    except BaseException:
        os.unlink(staged)
        raise
