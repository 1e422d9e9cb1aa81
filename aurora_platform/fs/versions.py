"""Versions of files: what a scan finds, when a file is settled, when two are the same, what a product was made from."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from functools import lru_cache
from typing import NamedTuple

# A large transfer goes in parts, so that what has come counts meanwhile, and little is done again when it is cut.
PART_FILES, PART_BYTES = 2000, 4 << 30
_SECOND_NS = 10**9
_STEPS_NS = (_SECOND_NS, 10**6, 10**3, 100)


@lru_cache(maxsize=64)  # asked for each file of a listing, of a handful of durations
def as_ns(duration: timedelta) -> int:
    """A duration in ns."""
    return duration // timedelta(microseconds=1) * 1000


def same_mtime(one_ns: int, other_ns: int) -> bool:
    """Whether two mtimes are equal, as far as the coarser of their file systems keeps them.

    That is told by the zeros at their ends: 100 ns (CIFS, NTFS), 1 us (CephFS), 1 ms, 1 s. And by an even second where
    the other has a fraction in the second after it (FAT keeps 2 s); two whole seconds that differ are never the same.

    What is taken for the same and is not: a file of the same size that was written again before its file system's step
    was over. With 100 ns to 1 ms that is less than the tick by which a kernel stamps files; an mtime that ends in such
    zeros by chance (1 of 100 to 1 of a million) says no more than that. With 1 s or 2 s it is a file that was copied
    within the second in which it was written anew. Checksums tell them apart where it counts (a verification, pruning),
    and the mirror knows what its file system keeps (:mod:`aurora_platform.mirror.mtime_resolution`).
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


# What a scan may find; the letters are those of find's %y.
FILE, DIRECTORY, SYMLINK, OTHER = "f", "d", "l", "?"
_KINDS = {stat.S_IFDIR: DIRECTORY, stat.S_IFLNK: SYMLINK}


class FileVersion(NamedTuple):
    """What tells one version of a file from another: size in bytes, mtime in ns since epoch, UTC.

    A tuple, since there is one for each of 100,000s of files: it takes a third less time to make than a frozen
    dataclass, and 8 bytes more.

    Two ways to compare: ``==`` where both were read from one tree, :meth:`same_as` where they are of copies in two
    places. (``evidence.sqlite`` asks the second question of its columns, in SQL, by :func:`same_mtime`.)
    """

    size: int
    mtime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> FileVersion:
        """The version that a file has on this machine."""
        return cls(status.st_size, status.st_mtime_ns)

    def same_as(self, other: FileVersion) -> bool:
        """Whether both are the same version, as far as the coarser of their file systems can tell."""
        return self.size == other.size and same_mtime(self.mtime_ns, other.mtime_ns)


class ScannedEntry[P: (bytes, str)](NamedTuple):
    """What a scan found: path relative to what was scanned, version, kind (:data:`FILE`, ...).

    A path of bytes is what a host says, which may be anything; :mod:`aurora_platform.streams.classify` finds out
    whether it may be used. A path of text is one that this platform uses.
    """

    path: P
    version: FileVersion
    kind: str = FILE

    @property
    def is_regular(self) -> bool:
        """Whether it is a regular file."""
        return self.kind == FILE

    @classmethod
    def of(cls, path: P, status: os.stat_result) -> ScannedEntry[P]:
        """What is on this machine, by its ``lstat``."""
        mode = status.st_mode
        kind = FILE if stat.S_ISREG(mode) else _KINDS.get(stat.S_IFMT(mode), OTHER)
        return cls(path, FileVersion(status.st_size, status.st_mtime_ns), kind)


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


def data_version(recipe: str, inputs: Iterable[ScannedEntry[str]]) -> str:
    """The identity of a product: a SHA-256 over the recipe's name and version and over its inputs, in order."""
    digest = hashlib.sha256(recipe.encode())
    for path, (size, mtime_ns), _ in inputs:
        digest.update(f"\0{path}\0{size}\0{mtime_ns}".encode())
    return digest.hexdigest()
