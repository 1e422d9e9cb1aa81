"""Measures verification and publication in an archive of three years: 1.57 million files of eight streams.

Compared with version 0.2.0 on a site of the same size, which wrote the manifests of all days at each verification.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from aurora_platform.archive.verify_and_publish import publish
from aurora_platform.layout import ManifestLayout
from benchmarks.archive_site import STREAMS, YEARS_3, ArchiveSite, make_archive_site
from benchmarks.measure import WrongAnswerError, peak_mb, reset_peak
from benchmarks.short import shrink_if_enabled
from benchmarks.subject import Bench, Figure, Result, Row, at_most

DAYS, SHARE = YEARS_3, 1.0
LIVE_DAYS = 3
ENTRIES = 48
"""Of the history, as many as a site keeps by default."""
_LARGEST, _FLAT = "wxcam", "cl61"
_CHANGING = ("wxcam", "hatpro", "radar")
"""The streams that change between two entries of the history: the largest that are quickly listed."""
_MB = 1e6
# Of version 0.2.0, measured once on a site of the same size: verification and publication were one step.
_BEFORE_CPU = {_LARGEST: 16.8, _FLAT: 13.9}
_BEFORE_WRITTEN, _BEFORE_GROWN, _BEFORE_HISTORY = 424.0, 234.0, 24_000.0
_BEFORE_WHOLE = 540.0  # it was ended after that time


@dataclass(frozen=True)
class Cost:
    """What some work took: CPU time (s), bytes written, and growth of the process (MB)."""

    cpu: float
    written: int
    grown_mb: float


def run(bench: Bench) -> Result:
    """Make the site, and measure in child processes."""
    with bench.directory() as directory:
        made = make_archive_site(directory / "site", DAYS, SHARE, bench.log)
        return measure_archive(made, bench)


def measure_archive(made: ArchiveSite, bench: Bench) -> Result:
    """Measure on a site that exists; its files and records change."""
    passes = {name: _measure(bench, _pass_over_live_days, made, name) for name in (_LARGEST, _FLAT)}
    whole = _measure(bench, _whole_pass, made, _LARGEST)
    others = [_in_new_process(_whole_pass, made, name).cpu for name in STREAMS if name != _LARGEST]
    whole_site = sum(others) + Figure(tuple(cost.cpu for cost in whole), "s").middle
    publications, weight_mb = _publications(bench, made)
    history_mb = _fill_history(bench, made)
    rows = []
    for name, costs in passes.items():
        what = f"a verification of {LIVE_DAYS} live days of {name} with new files: CPU time"
        rows.append(_row(what, [cost.cpu for cost in costs], "s", 2, _BEFORE_CPU[name]))
    largest = passes[_LARGEST]
    rows += [
        _row(f"... bytes written ({_LARGEST})", [cost.written / _MB for cost in largest], "MB", 5, _BEFORE_WRITTEN),
        _row(f"... growth of its process ({_LARGEST})", [cost.grown_mb for cost in largest], "MB", 60, _BEFORE_GROWN),
        _row("a publication, all streams changed: CPU time", [cost.cpu for cost in publications], "s", 5),
        _row(
            f"... bytes written, in parts of what its changed streams weigh ({weight_mb:,.0f} MB)",
            [cost.written / _MB / weight_mb for cost in publications],
            "x",
            1.1,
        ),
        _row(f"{ENTRIES} entries of the history on disk", [history_mb], "MB", 1000, _BEFORE_HISTORY),
        _row(
            f"a verification of all {made.days:,} days of {_LARGEST}, nothing changed: CPU time",
            [cost.cpu for cost in whole],
            "s",
            60,
            _BEFORE_WHOLE,
            f"a run is of one stream; all eight one after the other: {whole_site:.0f} s",
        ),
    ]
    return Result("archive_at_scale", "The archive's evidence after three years", rows, _NOTES)


_NOTES = [
    "A site of 1.57 million sparse files in three places on this machine, eight streams, 1,095 days. The local tree "
    "and the archive are hard links. Checksums in the evidence are made up; only new files are read.",
    "Compared with version 0.2.0 on a site of the same size, measured once. There each verification also published; "
    "its verification of all days was ended after 9 minutes.",
    "Written: what the kernel counts for the process (write_bytes), the databases and their logs included. Growth: the "
    "peak of its memory less its memory before.",
    "History: the size of its files, each counted once, also where it is the same file as in days/. Between two "
    f"entries, {', '.join(_CHANGING)} changed.",
    "Other programs used the same cores during the measurement.",
]


def _row(
    what: str, values: Sequence[float], unit: str, bound: float, before: float | None = None, remark: str = ""
) -> Row:
    ours = Figure(tuple(values), unit)
    theirs = None if before is None else Figure((before,), unit)
    return Row(what, ours, ours.middle, at_most(bound, unit), theirs, remark)


def _measure(bench: Bench, work: Callable[[ArchiveSite, str], None], made: ArchiveSite, stream: str) -> list[Cost]:
    """Measure some work once per round."""
    costs = []
    for number in range(bench.rounds):
        bench.log(f"{work.__name__.strip('_').replace('_', ' ')} of {stream}, round {number + 1} of {bench.rounds}")
        if work is _pass_over_live_days and made.add_new_files(stream, 6, datetime.now(UTC)) == []:
            raise WrongAnswerError(f"{stream}: no file was added")
        costs.append(_in_new_process(work, made, stream))
    return costs


def _in_new_process(work: Callable[[ArchiveSite, str], None], made: ArchiveSite, stream: str) -> Cost:
    """Measure some work in a process of its own, as a run has one; what it imports at its start does not count."""
    # Spawned: a fork would inherit the memory of this process.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, initializer=shrink_if_enabled) as process:
        return process.submit(_cost_of, work, made, stream).result()


def _cost_of(work: Callable[[ArchiveSite, str], None], made: ArchiveSite, stream: str) -> Cost:
    gc.collect()
    os.sync()
    reset_peak()
    before_mb, written, times = peak_mb(), _written(), os.times()
    work(made, stream)
    done = os.times()
    cpu = done.user + done.system - times.user - times.system
    return Cost(cpu, _written() - written, peak_mb() - before_mb)


def _written() -> int:
    lines = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(lines["write_bytes"])


def _pass_over_live_days(made: ArchiveSite, stream: str) -> None:
    before = made.records.publication().latest.stat().st_ino
    made.verify(stream, made.newest_days(LIVE_DAYS))
    if made.records.publication().latest.stat().st_ino != before:
        raise WrongAnswerError("the verification published, although latest/ was young")


def _whole_pass(made: ArchiveSite, stream: str) -> None:
    made.verify(stream, made.all_days())


def _publish(made: ArchiveSite, stream: str) -> None:
    records = made.records
    with records.evidence() as evidence:
        publish(records, evidence)
    if records.publication().summary()["streams"].keys() != set(STREAMS):
        raise WrongAnswerError("a stream was not published")


def _publications(bench: Bench, made: ArchiveSite) -> tuple[list[Cost], float]:
    """Measure publications, before each of which all streams change; returns the weight of their manifests too, MB."""
    costs = []
    for number in range(bench.rounds):
        bench.log(f"publication, round {number + 1} of {bench.rounds}")
        _change_all(made)
        costs.append(_in_new_process(_publish, made, ""))
    latest = made.records.publication().latest
    return costs, sum(path.stat().st_size for path in latest.rglob("*") if path.is_file()) / _MB


def _change_all(made: ArchiveSite) -> None:
    """Make each stream change on its last day, as a late file does; the stream of one file a day gets a newer one."""
    for stream in STREAMS:
        if not made.add_new_files(stream, 2, datetime.now(UTC)):
            made.touch_newest(stream)
        made.verify(stream, made.newest_days(LIVE_DAYS))


def _fill_history(bench: Bench, made: ArchiveSite) -> float:
    """Publish until the history is full, with changes in between; returns its size, MB, each file counted once."""
    layout = made.records.layout.finalizations
    for number in range(ENTRIES):
        bench.log(f"entry {number + 1} of {ENTRIES} of the history")
        for stream in _CHANGING:
            made.add_new_files(stream, 2, datetime.now(UTC))
            made.verify(stream, made.newest_days(LIVE_DAYS))
        _publish(made, "")
        _age_history(layout, number)
    entries = [path for path in layout.history.iterdir() if path.is_dir()]
    if len(entries) < ENTRIES:
        raise WrongAnswerError(f"the history has {len(entries)} entries")
    files = {(status.st_dev, status.st_ino): status.st_blocks * 512 for status in map(os.lstat, _paths(layout.history))}
    return sum(files.values()) / _MB


def _paths(root: Path) -> list[str]:
    return [os.path.join(parent, name) for parent, folders, files in os.walk(root) for name in (*folders, *files)]


def _age_history(layout: ManifestLayout, number: int) -> None:
    """Give the newest entry an earlier time, as if the next publication came much later: else they would share one."""
    newest = max(layout.history.iterdir())
    earlier = datetime(2020, 1, 1, tzinfo=UTC) + number * timedelta(minutes=20)
    newest.rename(newest.with_name(earlier.strftime("%Y%m%dT%H%M%SZ")))
