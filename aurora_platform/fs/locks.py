"""Lock files, which the kernel releases when their holder ends."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from pathlib import Path

from filelock import FileLock, Timeout

from aurora_platform.errors import AuroraError, BusyError
from aurora_platform.fs.disk_errors import NOT_OFFERED, naming

_POLL = 0.1  # s
INHERITED: ContextVar[tuple[int, ...]] = ContextVar("INHERITED", default=())
"""File descriptors of shared locks that the programs which this code starts hold as well, for as long as they live."""


@contextmanager
def hold_shared(lock_file: Path, wait: timedelta) -> Iterator[None]:
    """Hold a lock file together with other holders of this kind, and against all that lock it exclusively.

    For a file that another system locks too (``flock FILE``). It is never removed, and the programs that are started in
    the block hold it as well: a program that outlives this process goes on to exclude the others.

    Raises
    ------
    BusyError
        If another program holds it exclusively for longer than ``wait``.
    """
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    with naming(lock_file):
        handle = os.open(lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        until = time.monotonic() + wait.total_seconds()
        while not _lock_shared(handle, lock_file):
            if time.monotonic() >= until:
                raise BusyError(
                    f"{lock_file}: another program holds this lock, the timer of an older system for example; "
                    f"`fuser -v {lock_file}` shows it. Only one of the two may copy: turn one off."
                )
            time.sleep(_POLL)
        token = INHERITED.set((*INHERITED.get(), handle))
        try:
            yield
        finally:
            INHERITED.reset(token)
    finally:
        os.close(handle)


def _lock_shared(handle: int, lock_file: Path) -> bool:
    with naming(lock_file), _explain_missing_locks(lock_file):
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


@contextmanager
def hold_lock(locks: Path, name: str, wait: timedelta) -> Iterator[None]:
    """Hold the lock ``name``, or raise :class:`BusyError` if it is not free within ``wait``.

    Raises
    ------
    AuroraError
        If the file system has no locks: without them two runs could write the same file.
    """
    locks.mkdir(parents=True, exist_ok=True)
    lock_file = locks / f"{name}.lock"
    # filelock must not fall back to a soft lock, which would outlive a killed holder.
    lock = FileLock(lock_file, timeout=wait.total_seconds(), fallback_to_soft=False)
    try:
        with naming(lock_file), _explain_missing_locks(lock_file):
            lock.acquire()
    except Timeout:
        waited = f"{wait.total_seconds():.0f} s"
        raise BusyError(
            f"{name}: another run still works on this after {waited}; `fuser -v {lock_file}` shows its process."
        ) from None
    try:
        yield
    finally:
        # Removed while held, so that a year of days leaves no files; a waiting process notices and makes a new one.
        with naming(lock_file):
            lock_file.unlink(missing_ok=True)
            lock.release()


@contextmanager
def _explain_missing_locks(lock_file: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno not in NOT_OFFERED:
            raise
        raise AuroraError(
            f"{lock_file}: this file system has no file locks (flock: {getattr(error, 'strerror', None) or error}), so "
            "two runs could write the same file. Nothing was done. Keep paths.state on a local disk with ext4, xfs or "
            "btrfs (docs/operating.md, Runbook: no file locks)."
        ) from None
