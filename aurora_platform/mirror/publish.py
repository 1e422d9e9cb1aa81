"""Publishing of arrived files: each regular file gets its name below the stream's raw directory.

Hours may pass between the plan and this step. A listed file may have arrived as something else, and something else may
have taken its local name or blocked its path. Each such file is refused, with its own reason.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from aurora_platform.errors import NO_SPACE
from aurora_platform.fs.atomic import copy_name, remove
from aurora_platform.fs.disk_errors import naming
from aurora_platform.mirror.plan import NAME_TAKEN, PATH_BLOCKED
from aurora_platform.mirror.reports import DOES_NOT_FIT

# The file arrived on another disk, whose free space was checked before. Only the disk of the target directory is full.
TARGET_DISK_FULL = f"{DOES_NOT_FIT} of its directory: no bytes or inodes are left, or a quota is used up"
NO_REGULAR_FILE = "no longer a regular file when it was copied"
_BLOCK = 1 << 20
_ENTER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class CannotPublishError(Exception):
    """A file may not get its name; the message is the reason of the refusal."""


def stat_arrived(staged: Path) -> os.stat_result | None:
    """Return the status of the regular file ``staged``, or None if nothing arrived.

    Raises
    ------
    CannotPublishError
        If something else arrived, for example a directory. It is removed, unless other files arrived below it.
    """
    try:
        status = staged.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if stat.S_ISREG(status.st_mode):
        return status
    with suppress(OSError):  # a directory that is not empty is removed with the work directory
        staged.rmdir() if stat.S_ISDIR(status.st_mode) else staged.unlink()
    raise CannotPublishError(NO_REGULAR_FILE)


def publish(staged: Path, root: Path, path: str) -> bool:
    """Move a regular file to ``path`` (relative, safe) below ``root``; it replaces an earlier version.

    If a rename is impossible (another device, a bind mount, another quota realm), a copy is made in the target
    directory and renamed. Returns whether that happened on one device: a rename from another work directory may work.

    Raises
    ------
    CannotPublishError
        If the name is taken by something that is no regular file, or a parent is no directory. Also if the disk of the
        target directory is full: then the arrived file is removed, because other files need its space.
    """
    try:
        with naming(root / path):
            return _rename_or_copy(staged, root, path)
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        remove(staged)
        raise CannotPublishError(TARGET_DISK_FULL) from None


def _rename_or_copy(staged: Path, root: Path, path: str) -> bool:
    *parents, name = path.split("/")
    with _open_directory(root, parents) as directory:
        _refuse_unless_regular(directory, name)
        try:
            os.rename(staged, name, dst_dir_fd=directory)
        except IsADirectoryError:  # made since the line above
            raise CannotPublishError(NAME_TAKEN) from None
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            _copy(staged, directory, name)
            is_one_device = staged.stat().st_dev == os.fstat(directory).st_dev
            staged.unlink()
            return is_one_device
    return False


def _copy(staged: Path, directory: int, name: str) -> None:
    """Publish a copy of a file with the same mtime; the copy is on disk before it gets its name."""
    copy_as = copy_name(name)
    with suppress(FileNotFoundError):
        os.unlink(copy_as, dir_fd=directory)
    try:
        with (
            staged.open("rb") as source,
            open(copy_as, "xb", opener=lambda *arguments: os.open(*arguments, dir_fd=directory)) as copy,
        ):
            shutil.copyfileobj(source, copy, _BLOCK)
            copy.flush()
            status = os.fstat(source.fileno())
            os.utime(copy.fileno(), ns=(status.st_atime_ns, status.st_mtime_ns))
            os.fsync(copy.fileno())
        os.rename(copy_as, name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(copy_as, dir_fd=directory)
        raise


def _refuse_unless_regular(directory: int, name: str) -> None:
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
            raise CannotPublishError(NAME_TAKEN)


@contextmanager
def _open_directory(root: Path, parents: Sequence[str]) -> Iterator[int]:
    """Open a directory below ``root``; make missing directories, and follow no symlink below ``root``."""
    root.mkdir(parents=True, exist_ok=True)
    handles = [os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)]
    try:
        for name in parents:
            handles.append(_open_or_make(handles[-1], name))
        yield handles[-1]
    finally:
        for handle in handles:
            os.close(handle)


def _open_or_make(parent: int, name: str) -> int:
    try:
        return os.open(name, _ENTER, dir_fd=parent)
    except FileNotFoundError:
        with suppress(FileExistsError):  # another pass makes it too
            os.mkdir(name, dir_fd=parent)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise CannotPublishError(PATH_BLOCKED) from None
        raise
    return _open_or_make(parent, name)
