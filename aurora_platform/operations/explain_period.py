"""Whether a day or an hour can have files at all: it may lie before the first day of its stream, or in the future."""

from __future__ import annotations

from datetime import UTC, date, datetime

from aurora_platform.operations.explain_answer import Conclusion, Context, State, written
from aurora_platform.operations.explain_question import day_of_partition

OUTSIDE = (State.NOT_BEGUN, State.IN_FUTURE)
"""The states of a partition that can have no files."""


def conclude_outside(context: Context, name: str | None, partition: str | None) -> Conclusion | None:
    """The verdict on a partition of a stream that can have no files; None where it can have some.

    Parameters
    ----------
    context
        The site and the time.
    name
        The stream; None: not of a stream.
    partition
        ``YYYY-MM-DD`` or ``YYYY-MM-DD-HH:00``, UTC; None: without partitions.
    """
    day = day_of_partition(partition)
    if name is None or partition is None or day is None:
        return None
    start = context.site.streams[name].start
    if day < start:
        return Conclusion(State.NOT_BEGUN, f"{name} begins on {start} (start in the site file)")
    if begin_of(partition) > context.now:
        return Conclusion(State.IN_FUTURE, f"{partition} has not begun (UTC)")
    return None


def begin_of(partition: str) -> datetime:
    """When a partition begins, UTC."""
    day = date.fromisoformat(partition[:10])
    hour = int(partition[11:13]) if len(partition) > len("YYYY-MM-DD") else 0
    return datetime(day.year, day.month, day.day, hour, tzinfo=UTC)


def step_outside(context: Context, conclusion: Conclusion, name: str | None, partition: str | None) -> str:
    """What happens next to a partition that can have no files."""
    if conclusion.state is State.NOT_BEGUN:
        return f"nothing: no run is for a day before {context.site.streams[str(name)].start}"
    return f"nothing before it begins, at {written(begin_of(str(partition)))}"
