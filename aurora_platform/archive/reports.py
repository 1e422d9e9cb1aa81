"""What the archive's steps say of their work: plain data, for who shows it.

What a push says is in :mod:`aurora_platform.archive.transfer`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

from aurora_platform.archive.compare import Verdict
from aurora_platform.layout import Side
from aurora_platform.text import Count


@dataclass(frozen=True)
class Backlog:
    """Days for which a run is due, and the reason; no days, and why there are none."""

    days: Sequence[date]
    why: str


@dataclass
class DayVerdict:
    """What a pass found of one day, and what it said of it."""

    day: date
    verdict: Verdict
    is_news: bool = False
    """Whether it is said to be complete now and was not before, or the other way round."""
    error: str = ""
    """Why it could not be judged; the verdict is empty then."""


@dataclass
class VerifyReport:
    """What a pass over some days did."""

    days: list[DayVerdict] = field(default_factory=list)
    hosts: dict[Side, str] = field(default_factory=dict)
    errors: dict[Side, str] = field(default_factory=dict)
    """Place -> why it could not be seen, or not read to its end."""
    unsure: dict[date, str] = field(default_factory=dict)
    """Day -> why nothing new can be said of it, although the places could be seen."""
    read: dict[Side, int] = field(default_factory=dict)
    """Files whose bytes were read in this pass."""
    refused: Count = field(default_factory=Count)
    left_out: dict[date, Count] = field(default_factory=dict)
    """Files that the source has and nobody may copy, by the day of their names."""
    seconds: float = 0.0

    @property
    def news(self) -> list[date]:
        return [day.day for day in self.days if day.is_news]

    def summary(self) -> str:
        """The line that an operator reads."""
        total = sum(day.verdict.files for day in self.days)
        proved = sum(day.verdict.proved for day in self.days)
        gaps = sum(day.verdict.gap_count for day in self.days)
        pending = sum(day.verdict.pending for day in self.days)
        read = ", ".join(f"{count} {side}" for side, count in self.read.items()) or "none"
        text = f"{proved} of {total} files proved in the archive; {gaps} gaps, {pending} pending; read: {read}"
        text += "".join(f"; {side} NOT SEEN: {why}" for side, why in self.errors.items())
        return text + "".join(f"; {day}: {why}" for day, why in self.unsure.items())


@dataclass(frozen=True, slots=True)
class StreamSummary:
    """A stream's line in ``summary.json``: counts over all its days, as other programs read them."""

    generated_at_utc: str
    source_newest_utc: str | None
    """mtime of the newest file that was listed there."""
    gws_newest_utc: str | None
    source_count: int
    local_count: int
    gws_count: int
    local_missing_count: int
    local_mismatch_count: int
    gws_missing_count: int
    gws_mismatch_count: int
    pending_count: int
    identical_count: int
    refused_count: int
    days: int
    days_complete: int
    prune_ready: bool
    prune_why: str
    """Why there are no candidates, or what makes them."""
    prune_candidate_count: int
    prune_candidate_bytes: int
    errors: dict[str, str]
    """Place -> why it could not be seen the last time."""


@dataclass(frozen=True)
class PrunePlan:
    """The candidates of a stream, or why it has none."""

    stream: str
    candidates: Sequence[str]
    bytes: int
    why: str
    """Why there are none, or what stands behind those there are."""

    @property
    def is_ready(self) -> bool:
        return bool(self.candidates)


@dataclass(frozen=True)
class VerifyOutcome:
    """What a pass found, what may be pruned on its host, and the stream's line in ``summary.json``."""

    report: VerifyReport
    plan: PrunePlan
    summary: StreamSummary
    moved_aside: str = ""
    """What lay among the published manifests and does not read, and where it is now."""
