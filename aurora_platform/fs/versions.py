"""File versions: entries of a scan, comparison of versions, and the data version of a product."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from functools import lru_cache
from typing import NamedTuple

# A large transfer goes in parts: finished parts count at once, and little is repeated after an interruption.
PART_FILES, PART_BYTES = 2000, 4 << 30
_SECOND_NS = 10**9
_RESOLUTIONS_NS = (_SECOND_NS, 10**6, 10**3, 100)


@lru_cache(maxsize=64)  # called for every file of a listing, with a handful of durations
def as_ns(duration: timedelta) -> int:
    """A duration in ns."""
    return duration // timedelta(microseconds=1) * 1000


def same_mtime(one_ns: int, other_ns: int) -> bool:
    """Whether two mtimes are equal within the resolution of the coarser of their two file systems.

    The resolution is inferred from the trailing zeros: 100 ns (CIFS, NTFS), 1 us (CephFS), 1 ms, 1 s. FAT keeps 2 s: an
    even second equals an mtime with a fraction in the second after it. Two different whole seconds are never equal.

    A false match is possible: a file of the same size that was written again within the resolution. With 100 ns to 1 ms
    this is less than the kernel's clock tick for file times; an mtime with such zeros by chance (1 of 100 to 1 of a
    million) is no worse. With 1 s or 2 s it is a file that was copied within the second in which it was rewritten.
    Verification and pruning use checksums, which differ, and the mirror measures the resolution of its file system
    (:mod:`aurora_platform.mirror.mtime_resolution`).
    """
    if one_ns == other_ns:
        return True
    step = next((step for step in _RESOLUTIONS_NS if not one_ns % step or not other_ns % step), None)
    if step is None:
        return False
    if one_ns // step == other_ns // step:
        return True
    if step != _SECOND_NS:
        return False
    whole, fine = (one_ns, other_ns) if one_ns % _SECOND_NS == 0 else (other_ns, one_ns)
    return fine % _SECOND_NS > 0 and whole % (2 * _SECOND_NS) == 0 and fine // _SECOND_NS == whole // _SECOND_NS + 1


# Kinds of entries in a scan; the letters are those of find's %y.
FILE, DIRECTORY, SYMLINK, OTHER = "f", "d", "l", "?"
_KINDS = {stat.S_IFDIR: DIRECTORY, stat.S_IFLNK: SYMLINK}


class FileVersion(NamedTuple):
    """A version of a file: size in bytes, mtime in ns since epoch, UTC.

    A tuple, because there is one per file, for 100,000s of files: it takes a third less time to make than a frozen
    dataclass, and 8 bytes more.

    Compare with ``==`` if both were read from one tree, and with :meth:`same_as` if they are copies in two places.
    (``evidence.sqlite`` makes the second comparison in SQL, with :func:`same_mtime`.)
    """

    size: int
    mtime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> FileVersion:
        """The version of a file on this machine."""
        return cls(status.st_size, status.st_mtime_ns)

    def same_as(self, other: FileVersion) -> bool:
        """Whether both are the same version, within the resolution of the coarser of their file systems."""
        return self.size == other.size and same_mtime(self.mtime_ns, other.mtime_ns)


class ScannedEntry[P: (bytes, str)](NamedTuple):
    """An entry of a scan: path relative to the scanned root, version, kind (:data:`FILE`, ...).

    A path of bytes comes from a host and may hold anything; :mod:`aurora_platform.streams.classify` decides whether it
    may be used. A path of text has passed this check.
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
        """The entry of a path on this machine, from its ``lstat``."""
        mode = status.st_mode
        kind = FILE if stat.S_ISREG(mode) else _KINDS.get(stat.S_IFMT(mode), OTHER)
        return cls(path, FileVersion(status.st_size, status.st_mtime_ns), kind)


def in_parts[T](
    things: Iterable[T], size: Callable[[T], int], most: int = PART_FILES, most_bytes: int = PART_BYTES
) -> Iterator[list[T]]:
    """Split a sequence into parts of bounded number and size; an item that is too large is a part of its own."""
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
    """The data version of a product: a SHA-256 over the recipe's name and version and over its inputs, in order."""
    hasher = hashlib.sha256(recipe.encode())
    for path, (size, mtime_ns), _ in inputs:
        hasher.update(f"\0{path}\0{size}\0{mtime_ns}".encode())
    return hasher.hexdigest()
