"""The rule for finalized files that have changed at their source: a new version, or a change that is held back.

Within the stream's ``revisable`` window a change is a revision: it is mirrored and pushed, and the archive keeps the
finalized version. Later, or where many finalized files have changed, it is held back until an operator accepts it: a
compromised host, a broken disk, or a program that writes over its old files looks like that. A file whose day was
finalized again with its new version counts as changed for as long as its day is within the window.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum

from aurora_platform.archive.fixity_record import FixityRecord
from aurora_platform.config.streams import Stream
from aurora_platform.fs.versions import FileVersion
from aurora_platform.layout import Side
from aurora_platform.text import counted

MOST_OF_DAY, MOST_SHARE_OF_DAY = 3, 0.05
MOST_OF_STREAM = 50
"""More changed files than these of a day (the larger of both), or of a stream, are all held back."""


class ChangeState(StrEnum):
    """The decision about a changed file."""

    REVISION = "revision"
    HELD = "held back"
    ACCEPTED = "accepted"


@dataclass(frozen=True, slots=True)
class Change:
    """A file of a finalized day that has another version at its source."""

    path: str
    day: date
    """The day whose finalization lists the file."""
    version: FileVersion
    """The version at the source."""
    is_same_version: bool = False
    """Whether only the bytes differ from the finalized file: size and mtime are the same."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A change with its state and the reason."""

    change: Change
    state: ChangeState
    why: str = ""


def first_revisable(stream: Stream, now: datetime | None = None) -> date:
    """The oldest day whose finalized files may still get new versions by themselves."""
    return ((now or datetime.now(UTC)) - stream.revisable_for).date()


def find_changes(
    day: date, proved: Mapping[str, FixityRecord], files: Iterable[tuple[str, Mapping[Side, FixityRecord]]]
) -> Iterator[Change]:
    """Yield the finalized files of a day that have another version, or other bytes, at the source."""
    for path, by_side in files:
        finalized, source = proved.get(path), by_side.get("source")
        if finalized is None or source is None:
            continue
        if not finalized.version.same_as(source.version):
            yield Change(path, day, source.version)
        elif finalized.sha256 and source.sha256 and finalized.sha256 != source.sha256:
            yield Change(path, day, source.version, is_same_version=True)


def decide(
    changes: Sequence[Change],
    earlier: Mapping[str, Decision],
    finalized_files: Mapping[date, int],
    first_revisable: date,
    revised: Mapping[str, date] | None = None,
) -> list[Decision]:
    """Decide about each change of a stream.

    Parameters
    ----------
    changes
        The changes that were found now.
    earlier
        Path -> the stored decision. The same version keeps it, except that a revision is held back after all where too
        many files have changed since.
    finalized_files
        Day -> how many files its finalization lists.
    first_revisable
        The oldest day of the stream's ``revisable`` window.
    revised
        Path -> day of the files that were finalized again with another version. They count in their day too, each
        once, so that many changes are not let through a few at a time, with a finalization between.
    """
    everything = {path: decision.change for path, decision in earlier.items()}
    everything |= {change.path: change for change in changes}
    accepted = {path for path, change in everything.items() if _is_accepted(change, earlier.get(path))}
    changed = {path: change.day for path, change in everything.items() if path not in accepted}
    earlier_days = [day for path, day in (revised or {}).items() if path not in everything]
    tripped = _tripped(list(changed.values()), earlier_days, finalized_files)
    found = {change.path for change in changes}
    decisions = []
    for path, change in everything.items():
        stored = earlier.get(path)
        if path in accepted:
            decision = Decision(change, ChangeState.ACCEPTED)
        elif why := _BYTES_ONLY if change.is_same_version else tripped.get(change.day):
            decision = Decision(change, ChangeState.HELD, why)
        elif stored is not None and stored.change == change:
            decision = stored
        elif change.day >= first_revisable:
            decision = Decision(change, ChangeState.REVISION)
        else:
            why = f"changed later than its stream allows (`revisable`: days from {first_revisable} on)"
            decision = Decision(change, ChangeState.HELD, why)
        # A stored decision about another file changes only where too many files have changed since.
        if path in found or decision != stored:
            decisions.append(decision)
    return decisions


_BYTES_ONLY = "its bytes differ at the source, its size and mtime do not"


def _is_accepted(change: Change, stored: Decision | None) -> bool:
    return stored is not None and stored.state is ChangeState.ACCEPTED and stored.change.version == change.version


def _tripped(changed: Sequence[date], revised: Sequence[date], finalized_files: Mapping[date, int]) -> dict[date, str]:
    """Return the days of which all changes are held back, each with the reason; the arguments have one day per file.

    Over the whole stream only open changes count: a source that corrects some files of each day is no catastrophe.
    """
    if len(changed) > MOST_OF_STREAM:
        return dict.fromkeys(changed, f"{counted(len(changed), 'finalized file')} of the stream changed at the source")
    by_day = Counter([*changed, *revised])
    return {
        day: f"{count} of {counted(finalized_files[day], 'finalized file')} of {day} changed at the source"
        for day, count in by_day.items()
        if day in finalized_files and count > max(MOST_OF_DAY, MOST_SHARE_OF_DAY * finalized_files[day])
    }
