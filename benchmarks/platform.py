"""The platform itself beside a bare Dagster with one empty asset: idling, starting a run; and a live day.

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

from benchmarks.dagster_home import ROOT, Dagster, Place
from benchmarks.eight_streams import Windows, by_role, eight_streams, wait_for_calm, windows_of
from benchmarks.live_day import live_day
from benchmarks.measure import WrongAnswerError
from benchmarks.subject import Bench, Figure, Result, Row, times_longer

_START_GOAL = 1.5
_IDLE_GOALS = {"off": 1.2, "on": 2.5}
_WINDOW = 60.0  # s
_FULL_DAY = "wxcam_day"
_QUEUE = 5.0  # s between two looks at the queue

_NOTES = [
    "Bare Dagster: one empty asset and Dagster's own settings; but no telemetry, which would leave this machine, and "
    "the in-process executor as ours has it, because Dagster's own would start one more process for the step.",
    "Idle: no file comes and no run goes, but that with all on the health is looked at every five minutes, in a run. "
    f"Windows of {_WINDOW:.0f} s, of all three at the same time; means, because work comes in bursts. The daemon is "
    "the process dagster-daemon; the whole has the code server, the web server (which nobody looks at) and the runs.",
    "With all on it is not idle, strictly: five ticks a minute look at eight streams, at the conditions and at the "
    "ages. The bounds of those rows are ours. The site has no archive, whose pushes would be runs of their own.",
    "A run's start: asked for by GraphQL, as the UI does; ours is a day of the camera. Dagster looks at its queue "
    "every five seconds; that wait is the same for both, and is not counted. That this has a target is ours.",
]


def run(bench: Bench) -> Result:
    """The subject of :mod:`benchmarks.__main__`."""
    with bench.directory() as directory:
        rows = _at_work(bench, directory)
        # Seven minutes at any size, and not within an hour of midnight; what it proves, the soak proves too.
        live, notes = ([], []) if bench.is_short else live_day(bench, directory)
    return Result("platform", "The platform beside a bare Dagster", [*rows, *live], [*_NOTES, *notes])


def _at_work(bench: Bench, directory: Path) -> list[Row]:
    """Idle and starting runs: bare, ours with nothing on, ours with all on; all at the same time."""
    # Yesterday: a file of a later hour than now is dated in the future, and is left alone until then.
    day = (datetime.now(UTC).date() - timedelta(days=1)).isoformat()
    off = eight_streams(directory / "off")
    on = eight_streams(directory / "on", lambda data: data.update(live={"running": True}))
    for command in (["instruments", "--root", "hosts"], ["camera", "--root", "hosts/wxcam", "--hours", "1"]):
        small = ["--scale", "0.1"] if command[0] == "camera" else []
        subprocess.run(
            [sys.executable, "-m", "aurora_simulator", *command, "--day", day, *small],
            cwd=directory / "on",
            env=Place("aurora", directory, directory).environment | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            check=True,
        )
    places = [Place.bare(directory / "bare")]
    places += [Place.of_site(directory / f"home_{file.parent.name}", file) for file in (off, on)]
    bench.log("starting three Dagsters")
    with Dagster(places[0]) as bare, Dagster(places[1]) as ours:
        with Dagster(places[2]) as all_on:
            for one in (bare, ours, all_on):
                one.wait_until_loaded()
            wait_for_calm(bench, all_on, 8)
            windows = windows_of(bench, {"bare": bare, "off": ours, "on": all_on}, _WINDOW, "idle")
        return [*_idle_rows(windows), _start_row(bench, bare, ours, day)]


def _idle_rows(windows: Mapping[str, Windows]) -> list[Row]:
    rows = []
    whole = {"off": "as it is first started, nothing on", "on": "every sensor and schedule on, nothing new"}
    for what, said in whole.items():
        for role in ("daemon", "whole"):
            theirs, ours = (_used(windows[one], role) for one in ("bare", what))
            row = times_longer(f"idle, the {role}, {said}: bare", theirs, ours, _IDLE_GOALS[what])
            rows.append(replace(row, remark=by_role(windows[what])))
    return rows


def _used(windows: Windows, role: str) -> Figure:
    shares = tuple(window["daemon"] if role == "daemon" else sum(window.values()) for window in windows)
    return Figure(shares, "% of a core", by_mean=True)


def _start_row(bench: Bench, bare: Dagster, ours: Dagster, day: str) -> Row:
    """From asking for a run to its first step, without the wait for the queue's next look."""
    chance = random.Random(7)  # noqa: S311 - when to ask, so that no part is in step with its own queue
    waits: dict[str, list[float]] = {"bare": [], "aurora": []}
    starts: dict[str, list[float]] = {"bare": [], "aurora": []}
    for number in range(bench.rounds + 1):
        for one in (bare, ours):
            bench.log(f"starting a run of {one.place.name}, " + (f"{number} of {bench.rounds}" if number else "first"))
            time.sleep(_QUEUE * chance.random())
            asked = time.time()
            if one is bare:
                run_id = one.launch("__ASSET_JOB", {}, ("nothing",))
            else:
                run_id = one.launch(_FULL_DAY, {"dagster/partition": day})
            at = dict(reversed(one.events_of(run_id)))  # the first of each kind
            if "STEP_SUCCESS" not in at:
                raise WrongAnswerError(f"{one.place.name}: a run without a step")
            if number:
                waits[one.place.name].append(at["RUN_STARTING"] - at["RUN_ENQUEUED"])
                starts[one.place.name].append(at["STEP_START"] - asked - waits[one.place.name][-1])
    theirs, own = (Figure(tuple(starts[name])) for name in ("bare", "aurora"))
    said = ", ".join(f"{name} {median(found):.1f} s" for name, found in waits.items())
    row = times_longer("a run, from asking for it to its first step: of a bare asset", theirs, own, _START_GOAL)
    return replace(row, remark=f"and the wait for the queue, median: {said}")
