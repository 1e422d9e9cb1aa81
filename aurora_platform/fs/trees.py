"""Atomic publication of a directory: a reader finds the earlier version or the new one.

``rename`` cannot replace a directory that is not empty; ``renameat2`` can exchange two in one step. A file system
without it (NFS, CIFS, many FUSE file systems) gets two renames. Between them the name is missing for a moment. If the
program is killed just there, a pointer beside the staged directory tells what the next one has to put back.
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
_POINTER, _EARLIER = ".pointer", ".earlier"


def publish_tree(staged: Path, target: Path) -> None:
    """Give a finished directory its name, in place of an existing one, which is left at ``staged``.

    The caller must have flushed the files inside.
    """
    with naming(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        flush(staged)
        if not os.path.lexists(target):
            _rename(staged, target)
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
    """Put ``staged`` in the place of ``target`` by renames; :func:`restore` undoes the first half."""
    pointer, earlier = _pointer_of(staged), _earlier_of(staged)
    remove(earlier)
    draft = pointer.with_name(f"{pointer.name}.new")
    draft.write_text(str(target))
    publish_file(draft, pointer)
    _rename(target, earlier)
    flush(earlier.parent)
    _rename(staged, target)
    flush(target.parent)
    _rename(earlier, staged)
    pointer.unlink()


def _rename(source: Path, target: Path) -> None:
    """Rename a directory; between two file systems or quotas, by a copy that gets the name when it is complete."""
    try:
        source.rename(target)
        return
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
    copy = target.with_name(copy_name(target.name))
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
    """Finish or undo what a killed :func:`publish_tree` of ``staged`` has begun; the caller holds its lock."""
    pointer, earlier = _pointer_of(staged), _earlier_of(staged)
    with suppress(FileNotFoundError, NotADirectoryError):
        target = Path(pointer.read_text())
        if target.is_absolute() and os.path.lexists(earlier) and not os.path.lexists(target):
            _rename(earlier, target)
            flush(target.parent)
    remove(earlier)
    remove(pointer)
    remove(pointer.with_name(f"{pointer.name}.new"))


def owner_of(name: str) -> str:
    """The name of the staged directory that an entry beside it belongs to."""
    return name.removesuffix(".new").removesuffix(_POINTER).removesuffix(_EARLIER)


def _pointer_of(staged: Path) -> Path:
    return staged.with_name(f"{staged.name}{_POINTER}")


def _earlier_of(staged: Path) -> Path:
    return staged.with_name(f"{staged.name}{_EARLIER}")
