"""What a file system gives: learnt by trying it with files of our own, and kept until another disk is mounted there.

Names of file systems tell little: CIFS may or may not have links, a FUSE file system may have anything. So each ability
is tried in a hidden directory, which is removed at once. A directory may also differ from its neighbours: two quotas of
CephFS, or two mounts of one disk, have the same device, and a rename between them fails.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import re
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path

from aurora_platform.errors import AuroraError
from aurora_platform.fs.atomic import copy_name, nearest, publish_text, remove
from aurora_platform.fs.links import hard_link
from aurora_platform.fs.locks import hold_lock
from aurora_platform.fs.mtimes import MtimeResolution, measure_resolution
from aurora_platform.fs.trees import exchange

MOUNTS = Path("/proc/thread-self/mountinfo")
_WAIT = timedelta(seconds=20)  # for another program that writes the record
_KILLED_BEFORE = 3600.0  # s; an older trial directory is of a program that was killed
_MOST_DIRECTORIES = 100  # to which a rename is tried


@dataclass(frozen=True)
class Quota:
    """A quota on a directory of CephFS (bytes)."""

    directory: str
    limit: int
    used: int

    @property
    def free(self) -> int:
        return max(0, self.limit - self.used)


@dataclass(frozen=True)
class Abilities:
    """What the file system of a directory gives."""

    kind: str
    """Its type, as the kernel names it: ext4, ceph, cifs, ..."""
    mtime_step_ns: int
    """mtimes are stored as multiples of it; 0: they are not stored."""
    has_links: bool
    has_exchange: bool
    """Whether two directories can be exchanged in one step."""
    has_locks: bool
    has_shared_memory: bool
    """Whether SQLite can use a log (WAL) in it."""
    apart: tuple[str, ...]
    """Its subdirectories into which no file can be renamed from it."""


def measure(directory: Path) -> Abilities:
    """Try what the file system of a directory gives; the directory must exist.

    Raises
    ------
    OSError, TransferError
        If nothing can be written there.
    """
    kind = mount_of(directory).kind
    with _trial_directory(directory) as trial:
        try:
            step = measure_resolution(trial).step_ns
        except AuroraError:
            step = 0
        return Abilities(
            kind=kind,
            mtime_step_ns=step,
            has_links=_has_links(trial),
            has_exchange=_has_exchange(trial),
            has_locks=_has_locks(trial),
            has_shared_memory=_has_shared_memory(trial),
            apart=tuple(_find_apart(directory, trial)),
        )


@contextmanager
def _trial_directory(directory: Path) -> Iterator[Path]:
    for old in directory.glob(copy_name("trial.*")):
        if time.time() - old.lstat().st_mtime > _KILLED_BEFORE:
            remove(old)
    # A hidden name that no listing of ours takes for a file; other machines may have mounted the same directory.
    trial = directory / copy_name(f"trial.{platform.node()}.{os.getpid()}")
    remove(trial)
    trial.mkdir()
    try:
        yield trial
    finally:
        remove(trial)


def _has_links(trial: Path) -> bool:
    (trial / "file").write_bytes(b"1")
    return hard_link(trial / "file", trial / "link") and (trial / "link").stat().st_nlink == 2


def _has_exchange(trial: Path) -> bool:
    """An old client may answer with success and have done something else: the contents tell."""
    one, other = trial / "one", trial / "other"
    for path in (one, other):
        path.mkdir()
        (path / path.name).touch()
    return exchange(one, other) and (one / "other").exists() and (other / "one").exists()


def _has_locks(trial: Path) -> bool:
    with (trial / "locked").open("wb") as one, (trial / "locked").open("r+b") as other:
        try:
            fcntl.flock(one, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        try:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False  # both hold it: the locks mean nothing


def _has_shared_memory(trial: Path) -> bool:
    database = trial / "database"
    try:
        with closing(sqlite3.connect(database)) as writer, closing(sqlite3.connect(database)) as reader:
            if writer.execute("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
                return False
            with writer:
                writer.execute("CREATE TABLE tried (value)")
                writer.execute("INSERT INTO tried VALUES (1)")
            return bool(reader.execute("SELECT value FROM tried").fetchall() == [(1,)])
    except sqlite3.Error:
        return False


def _find_apart(directory: Path, trial: Path) -> Iterator[str]:
    """Yield the names of the subdirectories into which a rename fails."""
    with os.scandir(directory) as entries:
        names = sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    for name in [name for name in names if name != trial.name][:_MOST_DIRECTORIES]:
        file, target = trial / "renamed", directory / name / trial.name
        file.touch()
        try:
            file.rename(target)
        except OSError:
            yield name
        else:
            target.unlink()


# -- what is mounted ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mount:
    """What is mounted at a directory, from the kernel's table."""

    point: str
    kind: str
    source: str
    root: str
    device: str

    @property
    def identity(self) -> str:
        """Another one, when another disk is mounted, or the same one again after a start of the machine."""
        return f"{self.device} {self.root} {self.point} {self.kind} {self.source}"


_UNKNOWN = Mount("/", "unknown", "", "/", "")


def mount_of(path: Path, table: Path = MOUNTS) -> Mount:
    """Return the mount that holds a path, or would hold it."""
    path, best = nearest(path).resolve(), _UNKNOWN
    for mount in read_mounts(table):
        # Of several mounts on the same directory, the last one hides the others.
        if path.is_relative_to(mount.point) and len(mount.point) >= len(best.point.rstrip("/")):
            best = mount
    return best


def read_mounts(table: Path = MOUNTS) -> Iterator[Mount]:
    """Yield what the kernel's table (``/proc/.../mountinfo``) has, in the order in which it was mounted."""
    for line in table.read_text(errors="surrogateescape").splitlines():
        head, _, tail = line.partition(" - ")
        fields, (kind, source, *_) = head.split(" "), tail.split(" ")
        yield Mount(_unescape(fields[4]), kind, _unescape(source), _unescape(fields[3]), fields[2])


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), text)


def quota_of(directory: Path) -> Quota | None:
    """The quota of CephFS that a directory is under: the one with the least room; None without any."""
    found, directory = [], directory.resolve()
    for place in (directory, *directory.parents):
        with suppress(OSError, ValueError):
            limit = int(os.getxattr(place, "ceph.quota.max_bytes"))
            if limit > 0:
                found.append(Quota(str(place), limit, int(os.getxattr(place, "ceph.dir.rbytes"))))
    return min(found, key=lambda quota: quota.free, default=None)


# -- the record --------------------------------------------------------------------------------------------------------


class FileSystemRecords:
    """The record of what was learnt: a JSON file in the state directory."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def get(self, directory: Path) -> Abilities | None:
        """What was learnt of a directory; None if nothing was, or something else is mounted there now."""
        entry = self._read().get(str(directory))
        if not isinstance(entry, dict) or entry.get("mount") != mount_of(directory).identity:
            return None
        try:
            return _abilities_of(entry)
        except (KeyError, TypeError, ValueError):  # of another version: it is learnt anew
            return None

    def learn(self, directory: Path) -> Abilities:
        """Return what is known of a directory; try and record it if nothing is."""
        if (recorded := self.get(directory)) is not None:
            return recorded
        return self.learn_anew(directory)

    def learn_anew(self, directory: Path) -> Abilities:
        """Try what a directory gives, and record it; the directory must exist."""
        found, mount = measure(directory), mount_of(directory).identity
        with hold_lock(self.file.parent, f".{self.file.stem}", _WAIT):
            entries = {**self._read(), str(directory): {"mount": mount, **asdict(found)}}
            publish_text(json.dumps(entries, indent=1, sort_keys=True) + "\n", self.file)
        return found

    def _read(self) -> Mapping[str, object]:
        try:
            entries = json.loads(self.file.read_bytes())
        except (OSError, ValueError):  # missing or damaged: everything is learnt anew
            return {}
        return entries if isinstance(entries, dict) else {}


def _abilities_of(entry: Mapping[str, object]) -> Abilities:
    values = {name: entry[name] for name in Abilities.__dataclass_fields__}
    step, apart = values["mtime_step_ns"], values["apart"]
    flags = [value for name, value in values.items() if name.startswith("has_")]
    if not isinstance(step, int) or not isinstance(apart, list) or not all(isinstance(flag, bool) for flag in flags):
        raise TypeError("not what was recorded")
    return Abilities(**{**values, "apart": tuple(map(str, apart))})  # type: ignore[arg-type]


def describe_mtimes(step_ns: int) -> str:
    """Describe how a file system stores mtimes."""
    return "stores no mtimes" if step_ns == 0 else f"mtimes of {MtimeResolution(step_ns)}"
