"""Lock files, which the kernel releases when their holder ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from filelock import FileLock, Timeout

from aurora_platform.errors import AuroraError, BusyError
from aurora_platform.fs.disk_errors import NOT_OFFERED, naming


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
