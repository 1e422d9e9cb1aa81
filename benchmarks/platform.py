"""Compares the platform with a bare Dagster with one empty asset: idle, at the start of a run, and on a live day.

Ours is the observatory of eight streams, on this machine. Both are started as ``make ui`` starts Dagster.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

from benchmarks.dagster_home import ROOT, Dagster, Setup
from benchmarks.eight_streams import Windows, by_role, eight_streams, measure_windows, wait_until_idle
from benchmarks.live_day import live_day
from benchmarks.measure import WrongAnswerError
from benchmarks.subject import Bench, Figure, Result, Row, times_longer

_START_GOAL = 1.5
_IDLE_GOALS = {"off": 1.2, "on": 2.5}
_WINDOW = 60.0  # s
_FULL_DAY = "wxcam_day"
_QUEUE = 5.0  # s between two polls of the queue

_NOTES = [
    "Bare Dagster: one empty asset and Dagster's default settings, but without telemetry, which would leave this "
    "machine, and with the in-process executor like ours, because the default one starts a process per step.",
    "Idle: no file arrives and no run starts, except a health run every five minutes with all on. "
    f"Windows of {_WINDOW:.0f} s, of all three at the same time; means, because work comes in bursts. The daemon is "
    "the process dagster-daemon; the whole includes the code server, the web server (without a user) and the runs.",
    "With all on it is not strictly idle: five ticks per minute scan eight streams and evaluate conditions and "
    "freshness. The bounds of those rows are our own choice. The site has no archive; pushes would be more runs.",
    "Start of a run: launched by GraphQL, as the UI does; ours is a day of the camera. Dagster polls its queue every "
    "five seconds; that wait is the same for both and is not counted. The target is our own choice.",
]


def run(bench: Bench) -> Result:
    """Measure idle instances, the start of a run, and the live day."""
    with bench.directory() as directory:
        rows = _at_work(bench, directory)
        # The live day takes seven minutes at any size, and cannot run near midnight; the soak tests check the same.
        live, notes = ([], []) if bench.is_short else live_day(bench, directory)
    return Result("platform", "The platform beside a bare Dagster", [*rows, *live], [*_NOTES, *notes])


def _at_work(bench: Bench, directory: Path) -> list[Row]:
    """Measure bare, ours with nothing on and ours with all on at the same time: idle, and at the start of a run."""
    # Yesterday: today's later hours would be in the future, and such files are left alone until then.
    day = (datetime.now(UTC).date() - timedelta(days=1)).isoformat()
    off = eight_streams(directory / "off")
    on = eight_streams(directory / "on", lambda data: data.update(live={"running": True}))
    for command in (["instruments", "--root", "hosts"], ["camera", "--root", "hosts/wxcam", "--hours", "1"]):
        small = ["--scale", "0.1"] if command[0] == "camera" else []
        subprocess.run(
            [sys.executable, "-m", "aurora_simulator", *command, "--day", day, *small],
            cwd=directory / "on",
            env=Setup("aurora", directory, directory).environment | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            check=True,
        )
    setups = [Setup.bare(directory / "bare")]
    setups += [Setup.of_site(directory / f"home_{file.parent.name}", file) for file in (off, on)]
    bench.log("starting three Dagsters")
    with Dagster(setups[0]) as bare, Dagster(setups[1]) as ours:
        with Dagster(setups[2]) as all_on:
            for dagster in (bare, ours, all_on):
                dagster.wait_until_loaded()
            wait_until_idle(bench, all_on, 8)
            windows = measure_windows(bench, {"bare": bare, "off": ours, "on": all_on}, _WINDOW, "idle")
        return [*_idle_rows(windows), _start_row(bench, bare, ours, day)]


def _idle_rows(windows: Mapping[str, Windows]) -> list[Row]:
    rows = []
    labels = {"off": "as it is first started, nothing on", "on": "every sensor and schedule on, nothing new"}
    for name, label in labels.items():
        for role in ("daemon", "whole"):
            theirs, ours = (_cpu_use(windows[key], role) for key in ("bare", name))
            row = times_longer(f"idle, the {role}, {label}: bare", theirs, ours, _IDLE_GOALS[name])
            rows.append(replace(row, remark=by_role(windows[name])))
    return rows


def _cpu_use(windows: Windows, role: str) -> Figure:
    shares = tuple(window["daemon"] if role == "daemon" else sum(window.values()) for window in windows)
    return Figure(shares, "% of a core", by_mean=True)


def _start_row(bench: Bench, bare: Dagster, ours: Dagster, day: str) -> Row:
    """Measure the time from the launch of a run to its first step, without the wait in the queue."""
    rng = random.Random(7)  # noqa: S311 - random launch times, so that no launch is in step with the queue
    waits: dict[str, list[float]] = {"bare": [], "aurora": []}
    starts: dict[str, list[float]] = {"bare": [], "aurora": []}
    for number in range(bench.rounds + 1):
        for dagster in (bare, ours):
            bench.log(
                f"starting a run of {dagster.setup.name}, " + (f"{number} of {bench.rounds}" if number else "first")
            )
            time.sleep(_QUEUE * rng.random())
            launched = time.time()
            if dagster is bare:
                run_id = dagster.launch("__ASSET_JOB", {}, ("nothing",))
            else:
                run_id = dagster.launch(_FULL_DAY, {"dagster/partition": day})
            times = dict(reversed(dagster.events_of(run_id)))  # of the first event of each kind
            name = dagster.setup.name
            if "STEP_SUCCESS" not in times:
                raise WrongAnswerError(f"{name}: a run without a step")
            if number:
                waits[name].append(times["RUN_STARTING"] - times["RUN_ENQUEUED"])
                starts[name].append(times["STEP_START"] - launched - waits[name][-1])
    theirs, own = (Figure(tuple(starts[name])) for name in ("bare", "aurora"))
    medians = ", ".join(f"{name} {median(seconds):.1f} s" for name, seconds in waits.items())
    row = times_longer("a run, from asking for it to its first step: of a bare asset", theirs, own, _START_GOAL)
    return replace(row, remark=f"and the wait for the queue, median: {medians}")
