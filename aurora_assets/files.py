"""The file rules that every part shares.

What may be a relative path, when a file is settled, how a product gets its name (whole or not at all), what a product
was made from, and who may work on what at a time. Nothing here knows of streams, cameras or Dagster.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout

from aurora_assets.errors import AuroraError, BusyError

MAX_PATH_BYTES = 1024  # of a relative path; far below PATH_MAX, so that any root fits in front of it
MAX_NAME_BYTES = 240  # of one component; leaves room for the suffix of a temporary name (NAME_MAX is 255)
SHOWN = 10  # how many offenders a report names
# A large transfer goes in parts, so that what has come counts meanwhile, and little is done again when it is cut.
PART_FILES, PART_BYTES = 2000, 4 << 30

# No part of such a path begins with a dot, and none is longer than the whole.
_PLAIN = re.compile(rb"[A-Za-z0-9_][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")

_SECOND_NS = 10**9
_STEPS_NS = (_SECOND_NS, 10**6, 10**3, 100)

NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
"""Error numbers of a disk that is full, or of a quota."""

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


class UnsafePathError(ValueError):
    """A path that came from outside and may not be used; the message is the reason."""


def is_plain(raw: bytes) -> bool:
    """Whether a path from outside is of the kind that all but a few are: nothing in it needs a closer look."""
    return len(raw) <= MAX_NAME_BYTES and _PLAIN.fullmatch(raw) is not None


def safe_relative(raw: bytes) -> str:
    """Return a path that came from a host as text, or raise :class:`UnsafePathError`.

    Absolute paths, ``..``, empty parts, NUL and other control characters (they would break manifests, logs and
    terminals), bytes that are not UTF-8 and names too long for a temporary name beside them are refused.
    """
    try:
        path = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise UnsafePathError("name is not UTF-8") from None
    if _CONTROL.search(path):
        raise UnsafePathError("control character in the name")
    if path.startswith("/"):
        raise UnsafePathError("absolute path")
    parts = raw.split(b"/")
    if b".." in parts:
        raise UnsafePathError("'..' in the path")
    if b"" in parts or b"." in parts:
        raise UnsafePathError("empty or '.' part in the path")
    if len(raw) > MAX_PATH_BYTES or any(len(part) > MAX_NAME_BYTES for part in parts):
        raise UnsafePathError("name too long")
    return path


def shown(raw: bytes | str) -> str:
    """A name from outside in a form that is safe in logs, Markdown tables and terminals."""
    text = raw.decode("utf-8", "backslashreplace") if isinstance(raw, bytes) else raw
    escaped = "".join(c if c.isprintable() else _escaped(c) for c in text)
    return escaped if len(escaped) <= 200 else escaped[:197] + "..."


def printable(text: str) -> str:
    """Text from outside, of any length, in a form that is safe in logs and terminals: its lines stay lines.

    Other control characters, escape sequences and marks that turn the direction of writing are shown as what they are.
    """
    return "".join(c if c.isprintable() or c == "\n" else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode()


def counted(number: int, one: str, many: str = "") -> str:
    """A number with its word: 1 file, 2 files; 1 directory, 2 directories."""
    return f"{number} {one if number == 1 else many or f'{one}s'}"


@lru_cache(maxsize=64)  # asked for each file of a listing, of a handful of durations
def as_ns(duration: timedelta) -> int:
    """A duration in ns."""
    return duration // timedelta(microseconds=1) * 1000


def is_settled(mtime_ns: int, now_ns: int, settle: timedelta) -> bool:
    """Whether a file was last written long enough ago; ``now_ns`` is of the clock that stamped it."""
    return not settle or now_ns - mtime_ns >= as_ns(settle)


def same_mtime(one_ns: int, other_ns: int) -> bool:
    """Whether two mtimes are equal, as far as the coarser of their file systems keeps them.

    That is told by the zeros at their ends: 100 ns (CIFS, NTFS), 1 us (CephFS), 1 ms, 1 s. And by an even second where
    the other has a fraction in the second after it (FAT keeps 2 s); two whole seconds that differ are never the same.

    What is taken for the same and is not: a file of the same size that was written again before its file system's step
    was over. With 100 ns to 1 ms that is less than the tick by which a kernel stamps files; an mtime that ends in such
    zeros by chance (1 of 100 to 1 of a million) says no more than that. With 1 s or 2 s it is a file that was copied
    within the second in which it was written anew. Checksums tell them apart where it counts (a verification, pruning),
    and the mirror knows what its file system keeps (:mod:`aurora_assets.mirror.mtimes`).
    """
    if one_ns == other_ns:
        return True
    step = next((step for step in _STEPS_NS if not one_ns % step or not other_ns % step), None)
    if step is None:
        return False
    if one_ns // step == other_ns // step:
        return True
    if step != _SECOND_NS:
        return False
    whole, fine = (one_ns, other_ns) if one_ns % _SECOND_NS == 0 else (other_ns, one_ns)
    return fine % _SECOND_NS > 0 and whole % (2 * _SECOND_NS) == 0 and fine // _SECOND_NS == whole // _SECOND_NS + 1


@dataclass
class Tally:
    """A count, with the first few names that it counts."""

    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, name: bytes | str) -> None:
        self.count += 1
        if len(self.first) < SHOWN:
            self.first.append(shown(name))

    def add_many(self, count: int, text: str) -> None:
        """Count some at once, with one text for all of them."""
        self.count += count
        if len(self.first) < SHOWN:
            self.first.append(text)


class FileId(NamedTuple):
    """What tells one version of a file from another: relative path, size in bytes, mtime in ns since epoch, UTC."""

    path: str
    size: int
    mtime_ns: int


def in_parts[T](
    things: Iterable[T], size: Callable[[T], int], most: int = PART_FILES, most_bytes: int = PART_BYTES
) -> Iterator[list[T]]:
    """Cut a sequence into parts of bounded number and size; what is too large for any part is one of its own."""
    part: list[T] = []
    total = 0
    for thing in things:
        if part and (len(part) == most or total + size(thing) > most_bytes):
            yield part
            part, total = [], 0
        part.append(thing)
        total += size(thing)
    if part:
        yield part


def identity(recipe: str, inputs: Iterable[FileId]) -> str:
    """The identity of a product: a SHA-256 over the recipe's name and version and over its inputs, in order."""
    digest = hashlib.sha256(recipe.encode())
    for file in inputs:
        digest.update(f"\0{file.path}\0{file.size}\0{file.mtime_ns}".encode())
    return digest.hexdigest()


@contextmanager
def exclusive(locks: Path, name: str, wait: timedelta) -> Iterator[None]:
    """Hold the lock ``name`` (released by the kernel when its holder dies), or raise :class:`BusyError`."""
    locks.mkdir(parents=True, exist_ok=True)
    place = locks / f"{name}.lock"
    # A soft lock, to which filelock may fall back, would outlive a killed holder.
    lock = FileLock(place, timeout=wait.total_seconds(), fallback_to_soft=False)
    try:
        lock.acquire()
    except Timeout:
        waited = f"{wait.total_seconds():.0f} s"
        raise BusyError(
            f"{name}: another run still works on this after {waited}; `fuser -v {place}` names it."
        ) from None
    try:
        yield
    finally:
        # While it is held, so that a year of days leaves no files; who waits for it notices and makes a new one.
        place.unlink(missing_ok=True)
        lock.release()


class Staging:
    """Where products are written before they get their names: a directory on the file system of the products.

    An entry is guarded by the lock of the same name. Whatever lies here without its lock being held was left by a run
    that died, and :meth:`sweep` removes it.
    """

    def __init__(self, directory: Path, locks: Path, wait: timedelta = timedelta(minutes=10)) -> None:
        self.directory = directory
        self.locks = locks
        self.wait = wait

    @contextmanager
    def claim(self, name: str) -> Iterator[Path]:
        """Yield the path of an empty place (nothing exists there yet) that is ours until the block ends."""
        with exclusive(self.locks, name, self.wait):
            self.directory.mkdir(parents=True, exist_ok=True)
            place = self.directory / name
            remove(place)
            try:
                yield place
            finally:
                remove(place)

    def sweep(self) -> int:
        """Remove what dead runs left behind; returns how many entries that were."""
        removed = 0
        for place in sorted(self.directory.iterdir()) if self.directory.is_dir() else ():
            with suppress(BusyError), exclusive(self.locks, place.name, timedelta(0)):
                removed += remove(place)
        return removed


def nearest(path: Path) -> Path:
    """A path, or the nearest directory above it that exists."""
    while not path.exists():
        path = path.parent
    return path


def remove(path: Path) -> bool:
    """Remove a file or a tree, if there is one; never follows a symlink."""
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    except FileNotFoundError:
        return False
    return True


def flush(path: Path) -> None:
    """Make sure that a file's bytes, or a directory's names, are on disk."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def publish_file(staged: Path, target: Path) -> None:
    """Give a finished file its name. A reader sees the old file or the new one, never less."""
    target.parent.mkdir(parents=True, exist_ok=True)
    flush(staged)
    staged.replace(target)
    flush(target.parent)


def append_lines(place: Path, lines: Iterable[str]) -> None:
    """Add lines to a file in one write and flush them; what a killed run had begun is ended first."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.open("ab+") as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")
        file.write(b"".join(line.encode() + b"\n" for line in lines))
    flush(place)


def publish_tree(staged: Path, target: Path) -> None:
    """Give a finished directory its name; an earlier one of that name changes places with it in one step.

    The files inside must have been flushed by who wrote them. What was there before is left at ``staged``.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    flush(staged)
    try:
        _exchange(staged, target)
    except FileNotFoundError:
        staged.rename(target)
    flush(target.parent)


def _exchange(one: Path, other: Path) -> None:
    # rename(2) cannot replace a directory that is not empty; renameat2 can swap two. Python has no binding for it.
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return
    code = ctypes.get_errno()
    if code == errno.ENOENT and one.exists():
        raise FileNotFoundError(code, os.strerror(code), str(other))
    if code in (errno.EINVAL, errno.ENOSYS):
        raise AuroraError(
            f"{other}: this file system cannot exchange two directories in one step, so a rebuilt day could not be "
            "published whole. Keep paths.products on ext4, xfs, btrfs or tmpfs."
        )
    raise OSError(code, os.strerror(code), str(other))
