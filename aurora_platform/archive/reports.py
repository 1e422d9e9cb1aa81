"""The reports of the archive's steps, as plain data without output.

The report of a push is in :mod:`aurora_platform.archive.transfer`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Annotated

from aurora_platform.archive.compare import Verdict
from aurora_platform.layout import SIDE_NAMES, Side
from aurora_platform.report_fields import BYTES, RARE, SHOWN, Show
from aurora_platform.text import Count


@dataclass(frozen=True)
class Backlog:
    """The days that need a run, with the reason; or no days, with the reason why there are none."""

    days: Sequence[date]
    why: str


@dataclass
class DayVerdict:
    """The result of verifying one day."""

    day: date
    verdict: Verdict
    is_changed: bool = False
    """Whether this verification finalized the day, or withdrew its finalization."""
    error: str = ""
    """Why the day could not be compared; the verdict is empty then."""


@dataclass
class VerifyReport:
    """The result of verifying some days."""

    days: list[DayVerdict] = field(default_factory=list)
    hosts: dict[Side, str] = field(default_factory=dict)
    errors: dict[Side, str] = field(default_factory=dict)
    """Side -> why it could not be listed, or not completely read."""
    unverified_days: dict[date, str] = field(default_factory=dict)
    """Day -> why it has no new result: its source lost files (and is not trusted), or its finalization is damaged."""
    compared_days: list[date] = field(default_factory=list)
    """The days whose files were compared; the last comparison of the others still holds, or they have an error."""
    read: dict[Side, int] = field(default_factory=dict)
    """Side -> number of files that were read."""
    budget_used_up: Annotated[str, RARE] = ""
    """Why files of the source were not read today."""
    refused: Annotated[Count, RARE] = field(default_factory=Count)
    left_out: dict[date, Count] = field(default_factory=dict)
    """Files of the source that may not be copied, by the day of their names."""
    seconds: Annotated[float, SHOWN] = 0.0

    @property
    def archive_host(self) -> Annotated[str | None, Show(rank=2)]:
        """The archive host that was used; None where none worked."""
        return self.hosts.get("gws")

    @property
    def changed_days(self) -> Annotated[list[date], Show("days_finalized_or_withdrawn")]:
        """Days that this verification finalized, or whose finalization it withdrew."""
        return [day.day for day in self.days if day.is_changed]

    def summary(self) -> str:
        """The report in one line, for the operator."""
        total = sum(day.verdict.files for day in self.days)
        proved = sum(day.verdict.proved for day in self.days)
        problems = sum(day.verdict.problem_count for day in self.days)
        pending = sum(day.verdict.pending for day in self.days)
        read = ", ".join(f"{count} {SIDE_NAMES[side]}" for side, count in self.read.items()) or "none"
        text = f"{proved} of {total} files proved in the archive; {problems} missing or different, {pending} pending"
        text += f"; read: {read}" + (f"; {self.budget_used_up}" if self.budget_used_up else "")
        text += "".join(f"; {SIDE_NAMES[side]} NOT VERIFIED: {why}" for side, why in self.errors.items())
        return text + "".join(f"; {day}: {why}" for day, why in self.unverified_days.items())


@dataclass(frozen=True, slots=True)
class StreamSummary:
    """A stream's line in ``summary.json``: counts over all its days, as other programs read them."""

    generated_at_utc: str
    source_newest_utc: str | None
    """mtime of the newest file that was listed at the source."""
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
    days: Annotated[int, Show(rank=2)]
    days_complete: Annotated[int, Show(rank=1)]
    prune_ready: bool
    prune_why: Annotated[str, SHOWN]
    """Why there are no candidates, or the evidence for them."""
    prune_candidate_count: Annotated[int, Show("prune_candidates")]
    prune_candidate_bytes: Annotated[int, BYTES]
    errors: dict[str, str]
    """Side -> why the last listing failed."""


@dataclass(frozen=True, slots=True)
class PruneCounts:
    """The number of candidates of a stream and their bytes, or why it has none."""

    count: int
    bytes: int
    why: str


@dataclass(frozen=True)
class PrunePlan:
    """The candidates of a stream, or why it has none."""

    stream: str
    candidates: Sequence[str]
    bytes: int
    why: str
    """Why there are no candidates, or the evidence for them."""


@dataclass(frozen=True)
class VerifyOutcome:
    """The report of a verification, and the counts of the stream after it."""

    report: VerifyReport
    summary: StreamSummary
    is_published: Annotated[bool, SHOWN] = False
    """Whether ``latest/`` was published; else it is young enough."""
    moved_aside: Annotated[str, SHOWN] = ""
    """The entries of ``latest/`` that were moved aside, and where they are now; empty without any."""
