"""Reports of a mirror pass: plain data, for the UI and the command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated

from aurora_platform.report_fields import RARE, SHOWN, Show
from aurora_platform.text import Count, counted, format_transfer

RECIPE = "raw/1"
"""Version of the method by which a day is mirrored; it is an input of the day's data version."""
DOES_NOT_FIT = "does not fit on the disk"
"""Begin of the reason for a file that was not fetched because disk space is short."""


@dataclass
class DayReport:
    """What a pass did for one UTC day: seen = copied + unchanged + unsettled + refused."""

    day: date
    seen: Annotated[int, SHOWN]
    copied: Annotated[int, Show(rank=1)]
    unchanged: Annotated[int, SHOWN]
    unsettled: Annotated[Count, Show(rank=3)]
    refused: Annotated[dict[str, Count], Show(rank=4)]
    bytes: Annotated[int, Show(unit="bytes", rank=2)]
    data_version: Annotated[str, Show("inputs_sha256")]

    @property
    def refused_count(self) -> int:
        return sum(count.total for count in self.refused.values())


@dataclass(frozen=True)
class SourceObservation:
    """What a pass over the live window saw of the source."""

    newest: Annotated[datetime | None, Show("newest_file")]
    files: Annotated[int, SHOWN]
    unsettled: Annotated[int, SHOWN]
    unreadable: Annotated[Count, Show("directories_not_readable", rare=True)]


@dataclass
class MirrorReport:
    """What a pass over some days did."""

    days: list[DayReport]
    unexpected: Annotated[int, SHOWN]
    unreadable: Annotated[Count, Show("directories_not_readable", rare=True)]
    newest_ns: int | None
    seconds: Annotated[float, SHOWN]
    resumed_bytes: Annotated[int, RARE] = 0
    messages: Annotated[Sequence[str], Show("transfer_messages")] = ()
    unmatched: int = 0
    """See :attr:`aurora_platform.mirror.plan.Plan.unmatched`."""

    def total(self, name: str) -> int:
        return sum(getattr(day, name) for day in self.days)

    @property
    def unsettled(self) -> int:
        return sum(day.unsettled.total for day in self.days)

    @property
    def rate(self) -> Annotated[float, Show(unit="bytes/s")]:
        """Bytes per second, over the whole pass."""
        return self.total("bytes") / self.seconds if self.seconds else 0.0

    @property
    def source(self) -> SourceObservation:
        """What the pass saw of the source."""
        newest = None if self.newest_ns is None else datetime.fromtimestamp(self.newest_ns / 1e9, UTC)
        return SourceObservation(newest, self.total("seen"), self.unsettled, self.unreadable)

    @property
    def short_of_space(self) -> list[str]:
        """A line per day with files that do not fit on the disk: their number, the reason, the first names."""
        return [
            f"{day.day}: {counted(count.total, 'file')}: {reason}: {', '.join(count.first)}"
            for day in self.days
            for reason, count in day.refused.items()
            if reason.startswith(DOES_NOT_FIT)
        ]

    def summary(self) -> str:
        """Return the summary line for the operator."""
        return (
            f"seen {self.total('seen')} = copied {self.total('copied')} + unchanged {self.total('unchanged')}"
            f" + unsettled {self.unsettled} + refused {self.total('refused_count')};"
            f" {format_transfer(self.total('bytes'), self.seconds)}"
        )
