"""How often files come, by the times in their names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from statistics import median

from aurora_platform.operations.name_days import TIME_OF_DAY, Reading

_DAY = timedelta(days=1)
_LEAST_GAPS = 3
_REGULAR, _NEAR = 0.7, 0.25  # of the gaps are this near to the median
_ROUND = (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 10800, 21600, 43200, 86400)  # s
_MOST_BETWEEN = 3  # characters between day and time
_DIGITS_OF_A_TIME = 6


def interval_of(chosen: Sequence[Reading], found: Sequence[Sequence[Reading]]) -> timedelta | None:
    """How often a file comes, rounded; None where that is not regular, or the names have no time."""
    times: set[datetime] = set()
    for best, readings in zip(chosen, found, strict=True):
        # The day may be that of the directory, and the time stand behind the day in the base name.
        same_days = [best, *(one for one in readings if one.days == best.days and one.fields and one is not best)]
        named = next((some for one in same_days if (some := _times(one))), None)
        times.update(named or (datetime.combine(day, time(), UTC) for day in best.days))
    in_order = sorted(times)
    gaps = [(b - a).total_seconds() for a, b in pairwise(in_order)]
    if len(gaps) < _LEAST_GAPS and not (gaps and is_one_file_per_day(chosen)):
        return None
    usual = median(gaps)
    if sum(abs(gap - usual) <= _NEAR * usual for gap in gaps) < _REGULAR * len(gaps):
        return None
    rounded = min(_ROUND, key=lambda step: abs(step - usual))
    return timedelta(seconds=rounded) if abs(rounded - usual) <= _NEAR / 2 * usual else None


def is_one_file_per_day(chosen: Sequence[Reading]) -> bool:
    """Whether every kind has one file each day, of each ending."""
    for one in chosen:
        per_day = Counter(
            (day, file.path.rpartition(".")[2].lower() if len(one.kind.endings) > 1 else "")
            for file, day in zip(one.kind.files, one.days, strict=True)
        )
        if max(per_day.values()) > 1:
            return False
    return True


def _times(one: Reading) -> list[datetime]:
    """The times of all files, by what stands behind the day; empty where no time stands there."""
    found = []
    for day, digits in zip(one.days, _behind(one), strict=True):
        if not digits or not TIME_OF_DAY.fullmatch(digits):
            return []
        hour, minute, second = (int(digits[n : n + 2] or 0) for n in (0, 2, 4))
        found.append(datetime.combine(day, time(hour, minute), UTC) + timedelta(seconds=second))
    return found


def _behind(one: Reading) -> Iterator[str]:
    kind, end = one.kind, one.fields[-1].end
    pieces = [one.last]
    for n in range(one.last + 1, len(kind.pieces)):
        piece = kind.pieces[n]
        if piece.kind == "digits":
            pieces.append(n)
        elif piece.kind == "words" or len(piece.text) > _MOST_BETWEEN or piece.text == "/":
            break
    for file in kind.files:
        first, *rest = (file.values[n] for n in pieces)
        digits_after = first[end:]
        for digits in rest:
            if len(digits_after) + len(digits) > _DIGITS_OF_A_TIME:
                break
            digits_after += digits
        yield digits_after
