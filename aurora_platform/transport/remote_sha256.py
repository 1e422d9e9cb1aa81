"""Hash one file after another, and prove which version of each was read: for this machine, and for a far host.

This text is imported here by :mod:`aurora_platform.transport.checksums`, and sent as it stands to ``python3 -c`` on
hosts that have one. So it runs on Python 3.6, needs the standard library only, and writes nothing but its answers. Both
sides hash by the same rules because there is one text of them.

What :func:`main` hears: a path a line (see :func:`decoded`), and an empty line that says "answer now". What it says: a
line a path, in order, ``<number> <sha256> <size> <mtime in ns>`` or ``<number> - <why not>``, then ``end <count>``; and
a dot on stderr every few seconds while it reads, and only while it gets on.
"""

import errno
import hashlib
import os
import re
import stat
import sys
import time
from collections.abc import Callable

NO_SUCH_ROOT = 66  # exit code where the root is no directory

NOT_THERE = "not there"
CHANGED = "changed while it was read"
SYMLINK = "a symlink"
BEHIND_SYMLINK = "behind a directory that is a symlink"
NOT_REGULAR = "not a regular file"
NOT_BELOW = "not a path below the root"

_BLOCK = 1 << 18  # fits the processor's cache, so that a byte comes from memory once
_LARGE = 1 << 22  # from here on it matters what a file does to the page cache
_WINDOW = 1 << 25  # bytes that may stay in the page cache behind the place that is read
_BEAT_SECONDS = 4

_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# NONBLOCK: what was a file a moment ago may be a pipe now, and opening that would wait for a writer.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Unusable(Exception):  # noqa: N818 - a verdict on a file, not a failure
    """Why there is no digest of a file."""


class Tree:
    """The files below a directory, none of them reached through a symlink; for one thread."""

    def __init__(self, root: bytes) -> None:
        self._root = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._folder, self._folder_path = self._root, b""
        self._view = memoryview(bytearray(_BLOCK))

    def close(self) -> None:
        self._leave()
        os.close(self._root)

    def sha256(self, path: bytes, beat: "Callable[[], None]") -> "tuple[str, int, int]":
        """SHA-256 (hex), size (bytes) and mtime (ns since epoch) of the version that was read, or :class:`Unusable`.

        ``beat`` is called after every block.
        """
        folder, _, name = path.rpartition(b"/")
        if not {b"", b".", b".."}.isdisjoint(path.split(b"/")) or b"\0" in path:
            raise Unusable(NOT_BELOW)
        try:
            self._enter(folder)
            return self._hash(path, name, beat)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                raise Unusable(NOT_THERE) from None
            if error.errno == errno.ELOOP:
                raise Unusable(SYMLINK) from None
            raise Unusable(f"cannot be read ({error.strerror})") from None

    def _hash(self, path: bytes, name: bytes, beat: "Callable[[], None]") -> "tuple[str, int, int]":
        mode = os.stat(name, dir_fd=self._folder, follow_symlinks=False).st_mode
        if not stat.S_ISREG(mode):
            raise Unusable(SYMLINK if stat.S_ISLNK(mode) else NOT_REGULAR)
        fd = os.open(name, _FILE, dir_fd=self._folder)
        try:
            before = os.fstat(fd)
            if not stat.S_ISREG(before.st_mode):
                raise Unusable(NOT_REGULAR)
            sha256, count = self._read(fd, before.st_size, beat)
            after = os.fstat(fd)
        finally:
            os.close(fd)
        # By the whole path: the folder that is held open may have been moved away meanwhile.
        there = os.stat(path, dir_fd=self._root, follow_symlinks=False)
        if count != before.st_size or not _version(before) == _version(after) == _version(there):
            raise Unusable(CHANGED)
        return sha256, before.st_size, before.st_mtime_ns

    def _read(self, fd: int, size: int, beat: "Callable[[], None]") -> "tuple[str, int]":
        hashed, count, kept = hashlib.sha256(), 0, 0
        ours = size >= _LARGE and not _is_cached(fd, size)
        if ours:
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        while count < size:  # growth is seen by its stat; a file that grows for ever must not be read for ever
            got = os.readv(fd, [self._view])
            if not got:
                break
            hashed.update(self._view[:got])
            count += got
            if ours and (count - kept >= _WINDOW or count >= size):
                os.posix_fadvise(fd, kept, count - kept, os.POSIX_FADV_DONTNEED)
                kept = count
            beat()
        return hashed.hexdigest(), count

    def _enter(self, path: bytes) -> None:
        """Hold the folder ``path`` open; it is kept, because the next file is often in the same one."""
        if path == self._folder_path:
            return
        self._leave()
        if not path:
            return
        folder = self._root
        for part in path.split(b"/"):
            above = folder
            try:
                folder = os.open(part, _FOLDER, dir_fd=above)
            except NotADirectoryError:
                mode = os.stat(part, dir_fd=above, follow_symlinks=False).st_mode
                raise Unusable(BEHIND_SYMLINK if stat.S_ISLNK(mode) else NOT_THERE) from None
            finally:
                if above != self._root:
                    os.close(above)
        self._folder, self._folder_path = folder, path

    def _leave(self) -> None:
        if self._folder != self._root:
            os.close(self._folder)
        self._folder, self._folder_path = self._root, b""


def _version(status: os.stat_result) -> "tuple[int, ...]":
    # With the ctime: it moves also where who wrote sets the mtime back.
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _is_cached(fd: int, size: int) -> bool:
    """
    Whether somebody has this file in the page cache: then it is not ours to be dropped.

    A look starts the reading of what is not there, and where this process is put aside meanwhile, a fast disk has it
    there before the look is answered. So three places have to be there, far from each other; a file of which somebody
    holds a part counts as nobody's, and its part is dropped with the rest.
    """
    try:
        return all(os.preadv(fd, [bytearray(1)], size * part // 4, os.RWF_NOWAIT) == 1 for part in (1, 2, 3))
    except (OSError, AttributeError):  # not there, or this kernel, file system or Python (before 3.7) cannot tell
        return False


def decoded(line: bytes) -> bytes:
    """The path of a line, where a backslash and all that is not printable ASCII is ``\\0`` and three octal digits."""
    return re.sub(rb"\\0([0-7]{3})", lambda found: bytes([int(found.group(1), 8)]), line)


def main(root: bytes) -> int:
    """Answer what stdin asks until it ends; returns the exit code."""
    os.nice(19)
    try:
        tree = Tree(root)
    except OSError as error:
        sys.stderr.write(f"{error.strerror}\n")
        return NO_SUCH_ROOT if error.errno in (errno.ENOENT, errno.ENOTDIR) else 1
    say, asked = sys.stdout.buffer, []
    beaten = time.monotonic()

    def beat() -> None:
        nonlocal beaten
        if time.monotonic() - beaten > _BEAT_SECONDS:
            say.flush()
            sys.stderr.write(".")
            sys.stderr.flush()
            beaten = time.monotonic()

    for line in sys.stdin.buffer:
        if line != b"\n":
            asked.append(line.rstrip(b"\n"))
            continue
        for number, path in enumerate(asked):
            try:
                sha256, size, mtime_ns = tree.sha256(decoded(path), beat)
                answer = f"{number} {sha256} {size} {mtime_ns}"
            except Unusable as why:
                answer = f"{number} - {why}"
            say.write(answer.encode("ascii", "replace") + b"\n")
            beat()
        say.write(f"end {len(asked)}\n".encode())
        say.flush()
        asked = []
    return 0


if __name__ == "__main__":
    try:
        code = main(os.fsencode(sys.argv[1]))
    except (BrokenPipeError, KeyboardInterrupt):  # nobody listens any more
        code = 1
    os._exit(code)
