"""Measures the memory to list and plan a source of 100,000 files, in a separate process."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aurora_platform.config.site import load_site
from aurora_platform.mirror.plan import make_plan
from aurora_platform.transport.listing import LocalSource
from benchmarks.inputs import DAY
from benchmarks.measure import Measured, Method, WrongAnswerError, alternately
from benchmarks.subject import OURS, Bench, Figure, Result, Row, at_most

FILES = 100_000
BOUND_MB = 300
_FILES_PER_DIRECTORY = 5000
_AGE = 86_400  # s; a file that may still be written is not planned


def run(bench: Bench) -> Result:
    """Measure our method."""
    with bench.directory() as directory:
        root = directory / "source"
        bench.log(f"making {FILES:,} files")
        written = time.time() - _AGE
        for number in range(FILES):
            directory = root / "FISH" / f"{DAY:%Y%m%d}" / f"{number // _FILES_PER_DIRECTORY:02d}"
            directory.mkdir(parents=True, exist_ok=True)
            file = directory / f"HDR_{DAY:%Y%m%d}_{number:06d}.jpg"
            file.touch()
            os.utime(file, (written, written))
        found = alternately({OURS: Method(_plan, (root,))}, _check, bench.rounds, bench.log)[OURS]
    return Result("listing", "Listing and planning a source", [_row(found)], _NOTES)


_NOTES = [
    "The peak memory is that of the process, including the interpreter and all imported modules.",
    f"None of the {FILES:,} files is mirrored yet: the plan contains every file.",
]


def _row(found: Measured) -> Row:
    peaks = Figure(tuple(run.peak_mb for run in found.runs), "MB", found.peak_mb)
    remark = f"{found.median:.2f} s"
    return Row(
        f"peak memory with {FILES:,} files, all new", peaks, found.peak_mb, at_most(BOUND_MB, "MB"), None, remark
    )


def _plan(root: Path) -> tuple[int, int]:
    """List and plan; return the number of listed files, and of files to fetch."""
    stream = load_site().streams["wxcam"]
    plan = make_plan(stream, [DAY], LocalSource().list(str(root), []), root.parent / "raw")
    day = plan.days[DAY]
    return day.seen, len(day.fetch)


def _check(answers: Mapping[str, Any]) -> None:
    if answers[OURS] != (FILES, FILES):
        raise WrongAnswerError(f"listed and planned {answers[OURS]} of {FILES}")
