"""Atomic publication of a file: it gets its name complete or not at all (of a directory: :mod:`.trees`)."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from aurora_platform.fs.disk_errors import naming

_COPY_SUFFIX = ".aurora"


def tighten_umask(octal: str) -> None:
    """Let new files of this process have none of these rights either; what it did not give before stays so."""
    os.umask(os.umask(0o077) | int(octal, 8))


def nearest(path: Path) -> Path:
    """Return the path, or its nearest parent directory that exists."""
    while not path.exists():
        path = path.parent
    return path


def remove(path: Path) -> bool:
    """Remove a file or a tree; never follows a symlink. Returns whether there was one."""
    try:
        with naming(path):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    except FileNotFoundError:
        return False
    return True


def flush(path: Path) -> None:
    """Flush a file's bytes, or a directory's names, to disk."""
    fd = os.open(path, os.O_RDONLY)
    try:
        with naming(path):
            os.fsync(fd)
    finally:
        os.close(fd)


def publish_file(staged: Path, target: Path) -> None:
    """Give a finished file its name. A reader sees the old file or the new one, never a part."""
    with naming(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        flush(staged)
        try:
            staged.replace(target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            _publish_copy(staged, target)
        flush(target.parent)


def publish_text(text: str, target: Path) -> None:
    """Give a small file its content in one step; the caller holds a lock, or is the only one that writes it."""
    staged = target.with_name(f".{target.name}.new")
    with naming(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        staged.write_text(text)
    publish_file(staged, target)


def _publish_copy(staged: Path, target: Path) -> None:
    """Publish a file where another file system or quota begins between it and its name."""
    copy = target.with_name(copy_name(target.name))
    try:
        shutil.copy2(staged, copy)
        flush(copy)
        copy.replace(target)
    except BaseException:
        remove(copy)
        raise
    staged.unlink()


def copy_name(name: str) -> str:
    """The hidden name of an unfinished copy of a file or directory, beside its final place."""
    return f".{name}{_COPY_SUFFIX}"


def is_copy_name(name: str) -> bool:
    """Whether it is a name of :func:`copy_name`: nothing that is finished has one."""
    return name.startswith(".") and name.endswith(_COPY_SUFFIX)


def append_lines(path: Path, lines: Iterable[str]) -> None:
    """Add lines to a file in one write and flush them; an incomplete line of a killed run is ended first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with naming(path), path.open("ab+") as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")
        file.write(b"".join(line.encode() + b"\n" for line in lines))
    flush(path)
