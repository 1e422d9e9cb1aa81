"""The rule when a file is settled: it is no longer written, so it may be copied, catalogued or archived."""

from __future__ import annotations

from datetime import timedelta

from aurora_platform.fs.versions import as_ns


def is_settled(mtime_ns: int, now_ns: int, settle: timedelta) -> bool:
    """Whether a file is older than ``settle``; ``now_ns`` is from the clock that gave the mtime (ns since epoch)."""
    return not settle or now_ns - mtime_ns >= as_ns(settle)
