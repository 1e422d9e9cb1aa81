"""What is known of a stream's source: its newest file, and since when it can not be seen.

The arrival sensor writes it at each tick (one small JSON file a stream, in ``<state>/freshness``); who says how fresh a
stream is reads it. A look at old days changes nothing here: the newest file stays the newest.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from aurora_assets.files import publish_file

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
