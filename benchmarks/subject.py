"""Defines the result of a benchmark: figures, and rows that compare them with a target and give a verdict."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.measure import ROUNDS, Measured

OURS = "this project"
REPLACED = "in use today"
LIMIT = "limit"


@dataclass(frozen=True)
class Figure:
    """A measured quantity: the values of all rounds, the unit, and the peak memory if a process was measured.

    ``by_mean``: report the mean, for work that comes in bursts, because a median leaves the bursts out.
    """

    values: tuple[float, ...]
    unit: str = "s"
    peak_mb: float | None = None
    by_mean: bool = False

    @classmethod
    def of(cls, measured: Measured, share: float = 1.0) -> Figure:
        """Return seconds for all work; ``share`` is the part that the method did, if every part costs the same."""
        return cls(tuple(seconds / share for seconds in measured.seconds), "s", measured.peak_mb)

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def middle(self) -> float:
        """The mean or the median, which is reported and compared."""
        return statistics.fmean(self.values) if self.by_mean else self.median


@dataclass(frozen=True)
class Target:
    """The bound of a ratio or of a quantity that is to be reached."""

    bound: float
    at_least: bool
    unit: str = "x"

    def __str__(self) -> str:
        return f"at {'least' if self.at_least else 'most'} {number(self.bound)}{_spaced(self.unit)}"

    def is_reached(self, value: float) -> bool:
        return value >= self.bound if self.at_least else value <= self.bound


def at_least(bound: float, unit: str = "x") -> Target:
    return Target(bound, True, unit)


def at_most(bound: float, unit: str = "x") -> Target:
    return Target(bound, False, unit)


@dataclass(frozen=True)
class Row:
    """One comparison. The target bounds ``value``: a ratio of the two figures, or the quantity itself."""

    what: str
    ours: Figure
    value: float
    target: Target
    theirs: Figure | None = None
    remark: str = ""

    @property
    def verdict(self) -> str:
        return "reached" if self.target.is_reached(self.value) else "not reached"

    @property
    def result_text(self) -> str:
        return f"{number(self.value)}{_spaced(self.target.unit)}"


def times_faster(what: str, theirs: Figure, ours: Figure, target: float) -> Row:
    """Return a row with how many times faster ours is."""
    return Row(what, ours, theirs.middle / ours.middle, at_least(target), theirs)


def times_longer(what: str, theirs: Figure, ours: Figure, target: float) -> Row:
    """Return a row with how many times as long ours takes, or how many times as much it uses."""
    return Row(what, ours, ours.middle / theirs.middle, at_most(target), theirs)


@dataclass
class Result:
    """The measurements of one subject."""

    name: str
    title: str
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """Explanations of the table: the input data, and each method."""


@dataclass
class Bench:
    """The argument of the ``run`` of every subject."""

    rounds: int = ROUNDS
    log: Callable[[str], None] = lambda _: None
    scratch: Path | None = None
    """Parent of the directories; default: the system's directory for temporary files."""
    is_short: bool = False
    """Whether only the answers matter; then a part that takes minutes at any size may be left out."""

    @contextmanager
    def directory(self) -> Iterator[Path]:
        """Make a directory for the files of a subject; remove it at the end."""
        with TemporaryDirectory(prefix="aurora-bench-", dir=self.scratch) as name:
            yield Path(name)


def number(value: float) -> str:
    """Format with three or four significant digits, large values without exponent."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.4g}" if value >= 1 else f"{value:.3g}"


def _spaced(unit: str) -> str:
    return unit if unit in ("x", "%") else f" {unit}"
