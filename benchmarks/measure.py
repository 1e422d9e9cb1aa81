"""Timing of a piece of work, and how it is shown."""

import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

REPEATS = 7


@dataclass(frozen=True)
class Timing:
    """Seconds of several runs of the same work."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def __str__(self) -> str:
        return f"{self.median * 1e3:.2f} ms ({min(self.seconds) * 1e3:.2f} to {max(self.seconds) * 1e3:.2f})"


def timed(work: Callable[[], object], before: Callable[[], object] = lambda: None, repeats: int = REPEATS) -> Timing:
    """Run ``work`` several times, each after ``before``, which is not timed; the first run warms up and is left out."""
    seconds = []
    for _ in range(repeats + 1):
        before()
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return Timing(tuple(seconds[1:]))


def machine() -> str:
    """One line that says on what a figure was measured."""
    kernel = f"{platform.system()} {platform.release()}"
    return f"{os.cpu_count()} x {platform.machine()}, {kernel}, Python {platform.python_version()}"
