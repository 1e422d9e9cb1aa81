"""What is known of a stream's source, in small JSON files of the state directory.

When each recent day was last seen on its host, and whether everything that had settled there was here
(``<state>/sources``): a file may be missing here because the instrument wrote none, or because nobody could look, and
whoever must know which it is (a thumbnail is chosen once) asks here. The mirror and its sensor write it.

How new its newest file is, and since when it cannot be seen (``<state>/freshness``): the arrival sensor writes it at
each tick, and who says how fresh a stream is reads it. A look at old days changes nothing there.
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

from aurora_platform.fs.atomic import publish_file

_AHEAD_NS = 300 * 10**9  # of our clock; more than that, a host's clock was wrong
_KEPT = 60  # days; a day that nobody looked at for longer is history, about which nobody asks


@dataclass(frozen=True)
class DayAtSource:
    """A look at one UTC day of a source."""

    clock_ns: int
    """The host's clock when it was listed, ns since epoch, UTC."""
    missing: int
    """Files that had settled there and were not here."""
    unsettled: int
    """Files that were still being written there."""

    @property
    def is_complete(self) -> bool:
        """Whether all that was there was here."""
        return not self.missing and not self.unsettled


def remember(place: Path, seen: Mapping[date, DayAtSource]) -> None:
    """Write what was seen, unless something later is known of that day."""
    known = days_at_source(place)
    latest = time.time_ns() + _AHEAD_NS
    for day, day_at_source in seen.items():
        # A host's clock that was ahead once must not have the last word until real time has passed it.
        if day not in known or known[day].clock_ns <= day_at_source.clock_ns or known[day].clock_ns > latest:
            known[day] = day_at_source
    place.parent.mkdir(parents=True, exist_ok=True)
    rows = {str(day): astuple(known[day]) for day in sorted(known)[-_KEPT:]}
    # A name of its own: a sensor and a run may both write, and what one of them loses is seen again in two minutes.
    handle, name = tempfile.mkstemp(prefix=f".{place.name}.", dir=place.parent)
    try:
        with os.fdopen(handle, "w") as file:
            json.dump(rows, file)
        os.replace(name, place)
    except BaseException:
        os.unlink(name)
        raise


def days_at_source(place: Path) -> dict[date, DayAtSource]:
    """What is known of each day; nothing where the file is not there, or is not ours."""
    try:
        rows = json.loads(place.read_bytes())
        found = {date.fromisoformat(day): DayAtSource(*map(int, row)) for day, row in rows.items()}
    except (FileNotFoundError, ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return {}
    return found


_CLOCK_SET = 900.0  # s; a slow look makes less of a difference


@dataclass(frozen=True, slots=True)
class SourceState:
    """Times in seconds since epoch, UTC."""

    newest: float | None = None
    """mtime of the newest file, by the host's clock."""
    seen_at: float | None = None
    """When it was last seen, by our clock."""
    skew: float = 0.0
    """The host's clock less ours, then."""
    failed_since: float | None = None
    """Since when it could not be seen; None where it was at the last try."""
    why: str = ""


def state_of(place: Path) -> SourceState:
    """What is known; nothing where the file is not there, or is not ours."""
    try:
        return SourceState(**json.loads(place.read_bytes()))
    except (FileNotFoundError, ValueError, TypeError):
        return SourceState()


def saw(place: Path, newest_ns: int | None, clock_ns: int) -> None:
    """Remember a look: the newest file it found, and the host's clock."""
    known, now = state_of(place), time.time()
    found = None if newest_ns is None else newest_ns / 1e9
    skew = clock_ns / 1e9 - now
    # The host's clock may have been set since: what it stamped before is then compared by ours.
    step = skew - known.skew if abs(skew - known.skew) > _CLOCK_SET else 0.0
    before = None if known.newest is None else known.newest + step
    newest = max((one for one in (found, before) if one is not None), default=None)
    _write(place, SourceState(newest, now, skew))


def could_not_see(place: Path, why: str) -> None:
    """Remember that a look failed."""
    known = state_of(place)
    _write(place, replace(known, failed_since=known.failed_since or time.time(), why=why))


def _write(place: Path, state: SourceState) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    staged = place.with_name(f".{place.name}.new")
    staged.write_text(json.dumps(asdict(state)))
    publish_file(staged, place)
