"""What a benchmark says: figures, comparisons with a target each, and the verdict that every row ends in."""

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
    """A measured quantity: all of its rounds, the unit, and the memory at the peak where a process was measured.

    Of work that comes in bursts the mean is told, because a median leaves the bursts out: ``by_mean``.
    """

    values: tuple[float, ...]
    unit: str = "s"
    peak_mb: float | None = None
    by_mean: bool = False

    @classmethod
    def of(cls, measured: Measured, share: float = 1.0) -> Figure:
        """Seconds; ``share`` where a method did only this part of the work, of which every part costs the same."""
        return cls(tuple(seconds / share for seconds in measured.seconds), "s", measured.peak_mb)

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def middle(self) -> float:
        """What is told of it, and compared."""
        return statistics.fmean(self.values) if self.by_mean else self.median


@dataclass(frozen=True)
class Target:
    """What is to be reached: a bound of a ratio or of a quantity."""

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
    """One comparison. ``value`` is what the target is about: a ratio of the two figures, or the quantity itself."""

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
    def said(self) -> str:
        return f"{number(self.value)}{_spaced(self.target.unit)}"


def times_faster(what: str, theirs: Figure, ours: Figure, target: float) -> Row:
    """How many times faster ours is."""
    return Row(what, ours, theirs.middle / ours.middle, at_least(target), theirs)


def times_longer(what: str, theirs: Figure, ours: Figure, target: float) -> Row:
    """How many times as long ours takes, or as much it uses."""
    return Row(what, ours, ours.middle / theirs.middle, at_most(target), theirs)


@dataclass
class Result:
    """What was measured of one subject."""

    name: str
    title: str
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What one has to know to read the table: what was measured on, and what each method is."""


@dataclass
class Bench:
    """What a subject's ``run`` is given."""

    rounds: int = ROUNDS
    log: Callable[[str], None] = lambda _: None
    scratch: Path | None = None
    """Where directories are made; by default the system's place for temporary files."""
    is_short: bool = False
    """Whether only the answers matter: a part that takes minutes at any size may be left out."""

    @contextmanager
    def directory(self) -> Iterator[Path]:
        """A directory for a subject's files, removed at the end."""
        with TemporaryDirectory(prefix="aurora-bench-", dir=self.scratch) as name:
            yield Path(name)


def number(value: float) -> str:
    """Three or four digits that matter, and never an exponent of a large one."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.4g}" if value >= 1 else f"{value:.3g}"


def _spaced(unit: str) -> str:
    return unit if unit in ("x", "%") else f" {unit}"
