"""Hashes files one after another and proves which version of each was read, on this machine and on remote hosts.

:mod:`aurora_platform.transport.checksums` imports this module, and sends its text unchanged to ``python3 -c`` on hosts
that have Python. So it runs on Python 3.6, uses only the standard library, and writes nothing but its answers. Both
sides hash by the same rules because they run the same text.

:func:`main` reads one path per line (see :func:`decode_path`); an empty line means "answer now". It writes one line per
path, in order, ``<number> <sha256> <size> <mtime in ns>`` or ``<number> - <reason>``, then ``end <count>``. It writes a
dot to stderr every few seconds while it makes progress in reading.
"""

import errno
import hashlib
import os
import re
import stat
import sys
import time
from collections.abc import Callable

NO_SUCH_ROOT = 66  # exit code if the root is not a directory

MISSING = "not there"
CHANGED = "changed while it was read"
SYMLINK = "a symlink"
BEHIND_SYMLINK = "behind a directory that is a symlink"
NOT_REGULAR = "not a regular file"
NOT_BELOW_ROOT = "not a path below the root"

_BLOCK = 1 << 18  # fits the processor's cache, so that every byte is read from memory once
_LARGE = 1 << 22  # from this size on the effect of a file on the page cache matters
_WINDOW = 1 << 25  # bytes that may stay in the page cache behind the read position
_HEARTBEAT_SECONDS = 4

_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# NONBLOCK: a file may have been replaced by a pipe, and opening a pipe would wait for a writer.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Unusable(Exception):  # noqa: N818 - a result for one file, not a failure
    """A file cannot be hashed; the message is the reason."""


class Tree:
    """Hashes the files below a directory without following symlinks; for one thread."""

    def __init__(self, root: bytes) -> None:
        self._root = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._folder, self._folder_path = self._root, b""
        self._view = memoryview(bytearray(_BLOCK))

    def close(self) -> None:
        self._leave()
        os.close(self._root)

    def sha256(self, path: bytes, heartbeat: "Callable[[], None]") -> "tuple[str, int, int]":
        """Return SHA-256 (hex), size (bytes) and mtime (ns since epoch) of the version that was read.

        ``heartbeat`` is called after every block. Raises :class:`Unusable` if the file cannot be hashed.
        """
        folder, _, name = path.rpartition(b"/")
        if not {b"", b".", b".."}.isdisjoint(path.split(b"/")) or b"\0" in path:
            raise Unusable(NOT_BELOW_ROOT)
        try:
            self._enter(folder)
            return self._hash(path, name, heartbeat)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                raise Unusable(MISSING) from None
            if error.errno == errno.ELOOP:
                raise Unusable(SYMLINK) from None
            raise Unusable(f"cannot be read ({error.strerror})") from None

    def _hash(self, path: bytes, name: bytes, heartbeat: "Callable[[], None]") -> "tuple[str, int, int]":
        mode = os.stat(name, dir_fd=self._folder, follow_symlinks=False).st_mode
        if not stat.S_ISREG(mode):
            raise Unusable(SYMLINK if stat.S_ISLNK(mode) else NOT_REGULAR)
        fd = os.open(name, _FILE, dir_fd=self._folder)
        try:
            before = os.fstat(fd)
            if not stat.S_ISREG(before.st_mode):
                raise Unusable(NOT_REGULAR)
            sha256, count = self._read(fd, before.st_size, heartbeat)
            after = os.fstat(fd)
        finally:
            os.close(fd)
        # By the full path: the folder that is held open may have been moved meanwhile.
        current = os.stat(path, dir_fd=self._root, follow_symlinks=False)
        if count != before.st_size or not _version(before) == _version(after) == _version(current):
            raise Unusable(CHANGED)
        return sha256, before.st_size, before.st_mtime_ns

    def _read(self, fd: int, size: int, heartbeat: "Callable[[], None]") -> "tuple[str, int]":
        hasher, count, dropped = hashlib.sha256(), 0, 0
        drops_cache = size >= _LARGE and not _is_cached(fd, size)
        if drops_cache:
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        while count < size:  # the stat afterwards detects growth; a file that grows for ever must not be read for ever
            length = os.readv(fd, [self._view])
            if not length:
                break
            hasher.update(self._view[:length])
            count += length
            if drops_cache and (count - dropped >= _WINDOW or count >= size):
                os.posix_fadvise(fd, dropped, count - dropped, os.POSIX_FADV_DONTNEED)
                dropped = count
            heartbeat()
        return hasher.hexdigest(), count

    def _enter(self, path: bytes) -> None:
        """Open the folder ``path`` and keep it open, because the next file is often in the same folder."""
        if path == self._folder_path:
            return
        self._leave()
        if not path:
            return
        folder = self._root
        for part in path.split(b"/"):
            parent = folder
            try:
                folder = os.open(part, _FOLDER, dir_fd=parent)
            except NotADirectoryError:
                mode = os.stat(part, dir_fd=parent, follow_symlinks=False).st_mode
                raise Unusable(BEHIND_SYMLINK if stat.S_ISLNK(mode) else MISSING) from None
            finally:
                if parent != self._root:
                    os.close(parent)
        self._folder, self._folder_path = folder, path

    def _leave(self) -> None:
        if self._folder != self._root:
            os.close(self._folder)
        self._folder, self._folder_path = self._root, b""


def _version(status: os.stat_result) -> "tuple[int, ...]":
    # With the ctime: it changes also if a writer sets the mtime back.
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _is_cached(fd: int, size: int) -> bool:
    """
    Whether another process has this file in the page cache: then we must not drop it.

    A probe starts reading a page that is not cached. If this process is suspended meanwhile, a fast disk has read the
    page before the probe is answered. So three pages far from each other must be cached. A file that is cached only in
    part counts as not cached, and its cached part is dropped with the rest.
    """
    try:
        return all(os.preadv(fd, [bytearray(1)], size * part // 4, os.RWF_NOWAIT) == 1 for part in (1, 2, 3))
    except (OSError, AttributeError):  # not cached, or this kernel, file system or Python (before 3.7) cannot tell
        return False


def decode_path(line: bytes) -> bytes:
    """Decode the path of a line: a backslash and every byte but printable ASCII is ``\\0`` and three octal digits."""
    return re.sub(rb"\\0([0-7]{3})", lambda match: bytes([int(match.group(1), 8)]), line)


def main(root: bytes) -> int:
    """Answer the requests on stdin until it ends; returns the exit code."""
    os.nice(19)
    try:
        tree = Tree(root)
    except OSError as error:
        sys.stderr.write(f"{error.strerror}\n")
        return NO_SUCH_ROOT if error.errno in (errno.ENOENT, errno.ENOTDIR) else 1
    output, requested = sys.stdout.buffer, []
    last_heartbeat = time.monotonic()

    def heartbeat() -> None:
        nonlocal last_heartbeat
        if time.monotonic() - last_heartbeat > _HEARTBEAT_SECONDS:
            output.flush()
            sys.stderr.write(".")
            sys.stderr.flush()
            last_heartbeat = time.monotonic()

    for line in sys.stdin.buffer:
        if line != b"\n":
            requested.append(line.rstrip(b"\n"))
            continue
        for number, path in enumerate(requested):
            try:
                sha256, size, mtime_ns = tree.sha256(decode_path(path), heartbeat)
                answer = f"{number} {sha256} {size} {mtime_ns}"
            except Unusable as reason:
                answer = f"{number} - {reason}"
            output.write(answer.encode("ascii", "replace") + b"\n")
            heartbeat()
        output.write(f"end {len(requested)}\n".encode())
        output.flush()
        requested = []
    return 0


if __name__ == "__main__":
    try:
        code = main(os.fsencode(sys.argv[1]))
    except (BrokenPipeError, KeyboardInterrupt):  # the reader is gone
        code = 1
    os._exit(code)
