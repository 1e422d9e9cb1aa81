"""Runs an observatory of eight streams on this machine and measures its CPU time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import mean
from typing import Any

import yaml

from benchmarks.dagster_home import ROOT, Dagster, HomeError
from benchmarks.subject import Bench

_IDLE = 45.0  # s without a new run: all work is done
_TIMEOUT = 900.0  # s


def eight_streams(directory: Path, change: Callable[[dict[str, Any]], None] = lambda data: None) -> Path:
    """Write a site file of eight streams, all on this machine, below ``directory``; return it."""
    text = (ROOT / "sites" / "instruments.yaml").read_text().replace("../.aurora/instruments", str(directory))
    data = yaml.safe_load(text)
    change(data)
    directory.mkdir()
    file = directory / "site.yaml"
    file.write_text(yaml.safe_dump(data, sort_keys=False))
    for stream in data["streams"].values():
        Path(stream["path"]).mkdir(parents=True, exist_ok=True)
    return file


def wait_until_idle(bench: Bench, dagster: Dagster, days: int) -> None:
    """Wait until this many day jobs have run, all runs have succeeded, and no run has begun for ``_IDLE``."""
    deadline, before, since = time.monotonic() + _TIMEOUT, -1, time.monotonic()
    while time.monotonic() < deadline:
        runs = dagster.runs()
        active = [job for job, status in runs if status != "SUCCESS"]
        bench.log(f"waiting until all work is done: {len(runs)} runs, {len(active)} active")
        if len(runs) != before or active:
            before, since = len(runs), time.monotonic()
        elif time.monotonic() - since > _IDLE and len({job for job, _ in runs if job.endswith("_day")}) >= days:
            return
        time.sleep(3)
    raise HomeError(f"the runs did not end: {dagster.runs()}")


Windows = list[dict[str, float]]
"""CPU use per window and role, in % of a core."""


def measure_windows(bench: Bench, instances: Mapping[str, Dagster], seconds: float, label: str) -> dict[str, Windows]:
    """Measure several instances at the same time, one window per round."""
    windows: dict[str, Windows] = {name: [] for name in instances}
    before, began = {name: dagster.cpu_seconds() for name, dagster in instances.items()}, time.monotonic()
    for number in range(bench.rounds):
        bench.log(f"{label}, window {number + 1} of {bench.rounds}")
        time.sleep(seconds)
        now, ended = {name: dagster.cpu_seconds() for name, dagster in instances.items()}, time.monotonic()
        for name in instances:
            roles = now[name].items()
            windows[name].append({role: 100 * (s - before[name].get(role, 0)) / (ended - began) for role, s in roles})
        before, began = now, ended
    return windows


def by_role(windows: Windows) -> str:
    """Format the mean of each role as text."""
    means = {role: mean(w.get(role, 0) for w in windows) for role in sorted({r for w in windows for r in w})}
    return "% of a core: " + ", ".join(f"{role} {share:.2f}" for role, share in means.items())
