"""Giving what has arrived its name below a stream's raw directory: regular files, and only where directories lead.

Between the plan and this, hours may have passed. What the host had listed as a file may have come as something else,
and something else may stand here under its name, or on the way to it. Each such file is refused, with its own reason.
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
from aurora_platform.fs.atomic import remove
from aurora_platform.mirror.plan import ON_THE_WAY, UNDER_ITS_NAME
from aurora_platform.mirror.reports import NO_ROOM
from aurora_platform.mirror.work_directory import beside

# Of the directory alone: what had come lay on another disk, had room there, and was asked for its size before.
NO_ROOM_THERE = f"{NO_ROOM} of its directory: no bytes or no inodes are left there, or a quota is used up"
NO_REGULAR_FILE = "not a regular file any more when it was copied"
_BLOCK = 1 << 20
_ENTER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class CannotPublishError(Exception):
    """A file may not get its name; the message is the reason with which it is refused."""


def came(staged: Path) -> os.stat_result | None:
    """The regular file that lies at ``staged``, or None where nothing does.

    Raises
    ------
    CannotPublishError
        Where something else came, a directory say; it is taken away, unless other files have come below it.
    """
    try:
        status = staged.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if stat.S_ISREG(status.st_mode):
        return status
    with suppress(OSError):  # a directory that is not empty goes with the work directory
        staged.rmdir() if stat.S_ISDIR(status.st_mode) else staged.unlink()
    raise CannotPublishError(NO_REGULAR_FILE)


def publish(staged: Path, root: Path, path: str) -> bool:
    """Give a regular file its name ``path`` (relative, safe) below ``root``, in place of an earlier version.

    Where no rename leads there (another device, a bind mount, another quota realm), a copy is made beside it and
    renamed. Returns whether that was so on one device: from another work directory a rename may lead there.

    Raises
    ------
    CannotPublishError
        Where something stands under its name that is no regular file, or on the way to it that is no directory. Or
        where the disk of its directory is full; what had come is removed then, since others need its room as well.
    """
    try:
        return _give_name(staged, root, path)
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        remove(staged)
        raise CannotPublishError(NO_ROOM_THERE) from None


def _give_name(staged: Path, root: Path, path: str) -> bool:
    *folders, name = path.split("/")
    with _opened(root, folders) as directory:
        _refuse_unless_regular(directory, name)
        try:
            os.rename(staged, name, dst_dir_fd=directory)
        except IsADirectoryError:  # since the line above
            raise CannotPublishError(UNDER_ITS_NAME) from None
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            _copy(staged, directory, name)
            is_one_device = staged.stat().st_dev == os.fstat(directory).st_dev
            staged.unlink()
            return is_one_device
    return False


def _copy(staged: Path, directory: int, name: str) -> None:
    """Publish a copy of a file, which is on disk before it gets its name, with the same mtime."""
    made = beside(name)
    with suppress(FileNotFoundError):
        os.unlink(made, dir_fd=directory)
    try:
        with staged.open("rb") as source, open(made, "xb", opener=lambda *how: os.open(*how, dir_fd=directory)) as copy:
            shutil.copyfileobj(source, copy, _BLOCK)
            copy.flush()
            status = os.fstat(source.fileno())
            os.utime(copy.fileno(), ns=(status.st_atime_ns, status.st_mtime_ns))
            os.fsync(copy.fileno())
        os.rename(made, name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(made, dir_fd=directory)
        raise


def _refuse_unless_regular(directory: int, name: str) -> None:
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
            raise CannotPublishError(UNDER_ITS_NAME)


@contextmanager
def _opened(root: Path, folders: Sequence[str]) -> Iterator[int]:
    """Open a directory below ``root``, which is made where it is missing. No symlink is followed on the way there."""
    root.mkdir(parents=True, exist_ok=True)
    opened = [os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)]
    try:
        for folder in folders:
            opened.append(_entered(opened[-1], folder))
        yield opened[-1]
    finally:
        for handle in opened:
            os.close(handle)


def _entered(above: int, folder: str) -> int:
    try:
        return os.open(folder, _ENTER, dir_fd=above)
    except FileNotFoundError:
        with suppress(FileExistsError):  # another pass that makes it too
            os.mkdir(folder, dir_fd=above)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise CannotPublishError(ON_THE_WAY) from None
        raise
    return _entered(above, folder)
