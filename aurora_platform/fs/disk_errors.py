"""Errors of disks in one line: the path, what the system said, and the next step."""

from __future__ import annotations

import errno
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aurora_platform.errors import NO_SPACE, DiskError, is_transient

NO_LINKS = frozenset({errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})
"""How file systems answer that they cannot make a hard link: a copy does."""
OF_DISKS = NO_SPACE | {errno.EIO, errno.ESTALE, errno.EROFS, errno.EFBIG, errno.ENOTCONN, errno.ENOLCK, errno.EXDEV}
"""Errors of a disk or its server, whatever the path is."""
NOT_OFFERED = frozenset({errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.ENOLCK, errno.ENOTTY})
"""How file systems answer that they do not offer an operation."""

_OTHER_FILE_SYSTEM = "keep it on ext4, xfs or btrfs (docs/operating.md, Warnings of `aurora audit`)"
_NEXT_STEPS = {
    errno.ENOSPC: "Make room on that disk: `df -h {directory}; df -i {directory}` shows its free bytes and inodes.",
    errno.EDQUOT: "Make room or ask for a larger quota: `quota -s`, or on CephFS "
    "`getfattr -n ceph.quota.max_bytes {directory}` and the directories above it.",
    errno.EIO: "The disk or its server fails: see `dmesg | tail`. Nothing half is published; the next run repeats it.",
    errno.ESTALE: "A network file system was mounted anew or its server lost the file: `umount` and `mount` it again; "
    "`findmnt -T {directory}` names it.",
    errno.ENOTCONN: "The program behind this mount has ended: `umount` and `mount` it again; "
    "`findmnt -T {directory}` names it.",
    errno.EROFS: "It is mounted read-only, as Linux does after an error: see `dmesg | tail`, then "
    "`mount -o remount,rw` it; `findmnt -T {directory}` names it.",
    errno.EACCES: "The user that runs this is not allowed to do that: `ls -ld {directory}` shows whose it is.",
    errno.EXDEV: "Two file systems or quotas meet there: `aurora audit` shows where; mount the disk at the directory "
    "that the site file names.",
    errno.EMFILE: "Too many files are open: raise `ulimit -n`.",
    errno.ENFILE: "Too many files are open on this machine: `sysctl fs.file-max`.",
    errno.ENAMETOOLONG: "Choose a shorter directory in the site file.",
    errno.ENOTDIR: "Something that is no directory stands in the path: move it away.",
    errno.EISDIR: "A directory has the name of a file: move it away.",
    errno.ENOENT: "Is the disk mounted? `findmnt -T {directory}`.",
}
_NEXT_STEPS[errno.EPERM] = _NEXT_STEPS[errno.EACCES]
_NEXT_STEPS |= dict.fromkeys(NOT_OFFERED, f"This file system does not offer it: {_OTHER_FILE_SYSTEM}.")


@contextmanager
def naming(path: Path | str) -> Iterator[None]:
    """Give an error of a disk in the block the path that it does not have: those of open files have none.

    A name relative to an open directory is no path either.
    """
    try:
        yield
    except OSError as error:
        if error.errno in OF_DISKS and not (_is_path(error.filename) and _is_path(error.filename2 or error.filename)):
            raise OSError(error.errno, os.strerror(error.errno or 0), os.fspath(path)) from error
        raise


def _is_path(name: object) -> bool:
    return isinstance(name, str | bytes | os.PathLike) and os.path.isabs(os.fsdecode(name))


def describe_os_error(error: OSError, default: Path | None = None) -> str:
    """Describe an error of a disk in one line: path, reason, and the next step for this kind of error.

    ``default`` is the path of an error that has none.
    """
    reason = error.strerror or str(error)
    name = error.filename2 or error.filename or default  # of a rename, the target: it is on the disk that refused
    if not name:
        return f"{reason}. Run `aurora audit` to find the cause."
    path = Path(os.fsdecode(name))
    return f"{path}: {reason}. {next_step(error.errno or 0, path)}"


def next_step(code: int, path: Path) -> str:
    """The next step after an error with this number, for a path of this machine; one sentence."""
    return next_step_in(code, _nearest_directory(path))


def next_step_in(code: int, directory: Path) -> str:
    """The same for a directory of any machine."""
    step = _NEXT_STEPS.get(code, "Run `aurora audit` to find the cause.")
    return step.format(directory=shlex.quote(str(directory)))


def as_disk_error(error: OSError) -> DiskError:
    """The error as one of ours: in one line, and transient if it may go away by itself."""
    return DiskError(describe_os_error(error), transient=is_transient(error))


def _nearest_directory(path: Path) -> Path:
    return next((parent for parent in path.parents if os.path.isdir(parent)), path.parent)
