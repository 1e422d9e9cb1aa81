"""Lock files, which the kernel releases when their holder ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from filelock import FileLock, Timeout

from aurora_platform.errors import BusyError


@contextmanager
def hold_lock(locks: Path, name: str, wait: timedelta) -> Iterator[None]:
    """Hold the lock ``name``, or raise :class:`BusyError` if it is not free within ``wait``."""
    locks.mkdir(parents=True, exist_ok=True)
    lock_file = locks / f"{name}.lock"
    # filelock must not fall back to a soft lock, which would outlive a killed holder.
    lock = FileLock(lock_file, timeout=wait.total_seconds(), fallback_to_soft=False)
    try:
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
        lock_file.unlink(missing_ok=True)
        lock.release()
