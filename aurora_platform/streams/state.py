"""Recorded state of each stream's source, in small JSON files of the state directory.

``<state>/sources`` has, for each recent day, when it was last listed on its host, and whether every settled file had a
local copy then. It tells a file that the instrument did not write from a file that nobody could list; a thumbnail, for
example, is chosen only once. The mirror and its sensor write it.

``<state>/freshness`` has the time of the newest file, and since when the source cannot be listed. The arrival sensor
writes it at each tick, and the freshness checks read it. A scan of old days does not change it.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass, replace
from datetime import date
from pathlib import Path

from aurora_platform.fs.atomic import publish_text

_AHEAD_NS = 300 * 10**9  # if a host's clock was further ahead of ours, it was wrong
_KEPT = 60  # days; older days are history, and nobody reads their state


@dataclass(frozen=True)
class DayAtSource:
    """The state of one UTC day of a source at one scan."""

    clock_ns: int
    """The host's clock at the listing, ns since epoch, UTC."""
    missing: int
    """Files that were settled on the host and had no local copy."""
    unsettled: int
    """Files that were still being written on the host."""

    @property
    def is_complete(self) -> bool:
        """Whether every file on the host had a local copy."""
        return not self.missing and not self.unsettled


def record_days_at_source(path: Path, scanned: Mapping[date, DayAtSource]) -> None:
    """Record the state of scanned days, except where a later state is recorded."""
    recorded = read_days_at_source(path)
    latest = time.time_ns() + _AHEAD_NS
    for day, day_at_source in scanned.items():
        # A record of a host's clock that was ahead once must not block new records until real time has passed it.
        if day not in recorded or recorded[day].clock_ns <= day_at_source.clock_ns or recorded[day].clock_ns > latest:
            recorded[day] = day_at_source
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = {str(day): astuple(recorded[day]) for day in sorted(recorded)[-_KEPT:]}
    # A unique temporary name: a sensor and a run may write at the same time. The next scan, in two minutes, records
    # again what one of them loses.
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w") as file:
            json.dump(rows, file)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def read_days_at_source(path: Path) -> dict[date, DayAtSource]:
    """Read the recorded state of each day; nothing if the file is missing or malformed."""
    try:
        rows = json.loads(path.read_bytes())
        return {date.fromisoformat(day): DayAtSource(*map(int, row)) for day, row in rows.items()}
    except (FileNotFoundError, ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return {}


_CLOCK_SET = 900.0  # s; a larger step than a slow scan can cause: the host's clock was set


@dataclass(frozen=True, slots=True)
class SourceState:
    """How fresh a source is, and whether it can be listed. Times in seconds since epoch, UTC."""

    newest: float | None = None
    """mtime of the newest file, by the host's clock."""
    seen_at: float | None = None
    """Time of the last successful scan, by our clock."""
    skew: float = 0.0
    """The host's clock minus ours at that scan, s."""
    failed_since: float | None = None
    """Begin of the current failures; None if the last scan succeeded."""
    why: str = ""


def read_source_state(path: Path) -> SourceState:
    """Read the recorded state; an empty state if the file is missing or malformed."""
    try:
        return SourceState(**json.loads(path.read_bytes()))
    except (FileNotFoundError, ValueError, TypeError):
        return SourceState()


def record_scan(path: Path, newest_ns: int | None, clock_ns: int) -> None:
    """Record a successful scan: the newest file that it listed, and the host's clock (both ns since epoch, UTC)."""
    previous, now = read_source_state(path), time.time()
    listed = None if newest_ns is None else newest_ns / 1e9
    skew = clock_ns / 1e9 - now
    # If the host's clock was set since the previous scan, the earlier mtime is moved by the same step.
    step = skew - previous.skew if abs(skew - previous.skew) > _CLOCK_SET else 0.0
    before = None if previous.newest is None else previous.newest + step
    newest = max((mtime for mtime in (listed, before) if mtime is not None), default=None)
    _write(path, SourceState(newest, now, skew))


def record_failure(path: Path, why: str) -> None:
    """Record a failed scan and its reason."""
    previous = read_source_state(path)
    _write(path, replace(previous, failed_since=previous.failed_since or time.time(), why=why))


def _write(path: Path, state: SourceState) -> None:
    publish_text(json.dumps(asdict(state)), path)
