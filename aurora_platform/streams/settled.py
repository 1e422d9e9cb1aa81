"""When a file is settled: nobody writes to it any more, so that it may be copied, catalogued or sent."""

from __future__ import annotations

from datetime import timedelta

from aurora_platform.fs.versions import as_ns


def is_settled(mtime_ns: int, now_ns: int, settle: timedelta) -> bool:
    """Whether a file was last written long enough ago; ``now_ns`` is of the clock that stamped it."""
    return not settle or now_ns - mtime_ns >= as_ns(settle)
