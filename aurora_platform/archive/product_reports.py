"""The reports of the verification of products, as plain data without output."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated

from aurora_platform.archive.compare import Verdict
from aurora_platform.layout import SIDE_NAMES, FinalizedKey, Side
from aurora_platform.report_fields import BYTES, RARE, SHOWN, Show
from aurora_platform.text import MOST_NAMED, Count, counted


@dataclass
class CollectionReport:
    """The result of verifying one collection of products."""

    name: str
    files: Annotated[int, Show(rank=2)] = 0
    bytes: Annotated[int, BYTES] = 0
    proved: Annotated[int, Show(rank=1)] = 0
    """Files of which the archive has the right version, all read."""
    pending: Annotated[int, Show(rank=4)] = 0
    gaps: Annotated[int, Show(rank=3)] = 0
    gaps_first: list[str] = field(default_factory=list)
    """The first files that are missing or different, each with what is wrong."""
    finalized_days: Annotated[int, SHOWN] = 0
    """UTC days whose finalization says that they are complete."""
    listed: Annotated[int, SHOWN] = 0
    """Files without a day in the collection's own list."""
    only_in_the_archive: Annotated[Count, RARE] = field(default_factory=Count)
    """Files of the archive that are not local and were never finalized."""
    refused: Annotated[Count, RARE] = field(default_factory=Count)
    left_out: Annotated[Count, RARE] = field(default_factory=Count)
    empty_directories: Annotated[Count, RARE] = field(default_factory=Count)
    read: dict[Side, int] = field(default_factory=dict)
    """Side -> number of files that were read."""
    host: str = ""
    """The archive host that was used."""
    errors: dict[Side, str] = field(default_factory=dict)
    """Side -> why it could not be listed, or not completely read."""
    damaged: dict[FinalizedKey, str] = field(default_factory=dict)
    """Finalizations that cannot be read."""
    changed: list[FinalizedKey] = field(default_factory=list)
    """Finalizations that were written or withdrawn."""

    def add(self, verdict: Verdict) -> None:
        self.files += verdict.files - verdict.strays
        self.bytes += verdict.bytes
        self.proved += verdict.proved
        self.pending += verdict.pending
        self.gaps += verdict.problem_count
        self.gaps_first += verdict.gaps[: MOST_NAMED - len(self.gaps_first)]

    @property
    def problems(self) -> Iterator[str]:
        """Why a place or a finalization was not seen."""
        yield from (f"{SIDE_NAMES[side]}: {why}" for side, why in self.errors.items())
        yield from self.damaged.values()

    def summary(self) -> str:
        """The report in one line, for the operator."""
        text = f"{self.name}: {self.proved} of {counted(self.files, 'file')} proved in the archive"
        text += f", {self.pending} pending, {counted(self.gaps, 'gap')}"
        text += f" (first: {self.gaps_first[0]})" if self.gaps_first else ""
        return text + "".join(f"; NOT VERIFIED: {why}" for why in self.problems)


@dataclass
class ProductsReport:
    """The result of verifying all collections."""

    collections: list[CollectionReport] = field(default_factory=list)
    finalizations_copied: Annotated[int, SHOWN] = 0
    not_copied: Annotated[Count, RARE] = field(default_factory=Count)
    """Finalizations that could not be copied to the archive."""
    seconds: Annotated[float, SHOWN] = 0.0

    def summary(self) -> str:
        """The report in one line, for the operator."""
        return " | ".join(report.summary() for report in self.collections)
