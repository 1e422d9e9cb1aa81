"""Atomic publication of a directory: a reader finds the earlier version or the new one.

``rename`` cannot replace a directory that is not empty; ``renameat2`` can exchange two in one step. A file system
without it (NFS, CIFS, many FUSE file systems) gets two renames. Between them the name is missing for a moment. If the
program is killed just there, a pointer beside the staged directory tells the next one where to end it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from contextlib import suppress
from pathlib import Path

from aurora_platform.fs.atomic import copy_name, flush, publish_file, remove
from aurora_platform.fs.disk_errors import naming

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
# The last two: an old client of FUSE drops the flag, and the plain rename fails at a directory that is not empty.
_NO_EXCHANGE = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTEMPTY, errno.EEXIST)
_POINTER = ".pointer"


def publish_tree(staged: Path, target: Path) -> None:
    """Give a finished directory its name, in place of an existing one, which is left at ``staged``.

    The caller must have flushed the files inside.
    """
    with naming(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        flush(staged)
        if not os.path.lexists(target):
            _move(staged, target)
        elif not exchange(staged, target):
            _replace(staged, target)
        flush(target.parent)


def exchange(one: Path, other: Path) -> bool:
    """Exchange two directories in one step; False, with both unchanged, where the file system cannot.

    An old client of FUSE that takes it for a rename gives ``one`` the place of ``other``, if that is empty.
    """
    # Python has no binding for it.
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in (*_NO_EXCHANGE, errno.EXDEV):
        return False
    raise OSError(code, os.strerror(code), str(other))


def _replace(staged: Path, target: Path) -> None:
    """Put ``staged`` in the place of ``target`` by renames beside it; :func:`restore` undoes or ends what was begun.

    First everything of the new version is beside its final place; from then on only names of one directory change.
    """
    pointer, new, earlier = _pointer_of(staged), _new_of(target), _earlier_of(target)
    draft = pointer.with_name(f"{pointer.name}.new")
    draft.write_text(str(target))
    publish_file(draft, pointer)
    try:
        _move(staged, new)
        target.rename(earlier)
        new.rename(target)
        flush(target.parent)
        _move(earlier, staged)
    except BaseException:
        with suppress(OSError):  # the next program does it: it finds the pointer
            restore(staged)
        raise
    pointer.unlink()


def _move(source: Path, target: Path) -> None:
    """Move a directory; between two file systems or quotas, by a copy that has the name when it is complete."""
    remove(target)
    try:
        source.rename(target)
        return
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
    copy = _copy_of(target)
    remove(copy)
    try:
        shutil.copytree(source, copy, symlinks=True)
        flush_tree(copy)
        copy.rename(target)
    except BaseException:
        remove(copy)
        raise
    flush(target.parent)
    remove(source)


def flush_tree(directory: Path) -> None:
    """Flush the files and directories of a tree to the disk."""
    for place, _, names in os.walk(directory, topdown=False):
        for name in names:
            flush(Path(place, name))
        flush(Path(place))


def restore(staged: Path) -> None:
    """End or undo what a killed :func:`publish_tree` of ``staged`` has begun; the caller holds its lock.

    Without a target, the new version was complete: its names changed last.
    """
    pointer = _pointer_of(staged)
    with suppress(FileNotFoundError, NotADirectoryError):
        target = Path(pointer.read_text())
        new, earlier = _new_of(target), _earlier_of(target)
        if not os.path.lexists(target):
            for candidate in (new, earlier):
                if os.path.lexists(candidate):
                    candidate.rename(target)
                    flush(target.parent)
                    break
        if os.path.lexists(target):
            for left in (new, earlier, _copy_of(new)):
                remove(left)
    remove(pointer)
    remove(pointer.with_name(f"{pointer.name}.new"))


def owner_of(name: str) -> str:
    """The name of the staged directory that an entry beside it belongs to."""
    return name.removesuffix(".new").removesuffix(_POINTER)


def _pointer_of(staged: Path) -> Path:
    return staged.with_name(f"{staged.name}{_POINTER}")


def _copy_of(target: Path) -> Path:
    return target.with_name(copy_name(target.name.removeprefix(".")))


def _new_of(target: Path) -> Path:
    return target.with_name(copy_name(f"{target.name}.new"))


def _earlier_of(target: Path) -> Path:
    return target.with_name(copy_name(f"{target.name}.earlier"))
