"""Who may work on what at a time: a lock file that the kernel releases when its holder dies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from filelock import FileLock, Timeout

from aurora_platform.errors import BusyError


@contextmanager
def hold_lock(locks: Path, name: str, wait: timedelta) -> Iterator[None]:
    """Hold the lock ``name`` (released by the kernel when its holder dies), or raise :class:`BusyError`."""
    locks.mkdir(parents=True, exist_ok=True)
    place = locks / f"{name}.lock"
    # A soft lock, to which filelock may fall back, would outlive a killed holder.
    lock = FileLock(place, timeout=wait.total_seconds(), fallback_to_soft=False)
    try:
        lock.acquire()
    except Timeout:
        waited = f"{wait.total_seconds():.0f} s"
        raise BusyError(
            f"{name}: another run still works on this after {waited}; `fuser -v {place}` names it."
        ) from None
    try:
        yield
    finally:
        # While it is held, so that a year of days leaves no files; who waits for it notices and makes a new one.
        place.unlink(missing_ok=True)
        lock.release()
