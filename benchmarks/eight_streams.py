"""The observatory of eight streams on this machine, running, and what it uses."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import mean
from typing import Any

import yaml

from benchmarks.dagster_home import ROOT, Dagster, HomeError
from benchmarks.subject import Bench

_CALM = 45.0  # s in which no run begins: what there was to do is done
_PATIENCE = 900.0  # s


def eight_streams(directory: Path, change: Callable[[dict[str, Any]], None] = lambda data: None) -> Path:
    """A site file of eight streams, all on this machine, below ``directory``."""
    text = (ROOT / "sites" / "instruments.yaml").read_text().replace("../.aurora/instruments", str(directory))
    data = yaml.safe_load(text)
    change(data)
    directory.mkdir()
    file = directory / "site.yaml"
    file.write_text(yaml.safe_dump(data, sort_keys=False))
    for stream in data["streams"].values():
        Path(stream["path"]).mkdir(parents=True, exist_ok=True)
    return file


def wait_for_calm(bench: Bench, dagster: Dagster, days: int) -> None:
    """Until that many jobs for a day have run, all that were begun have ended well, and none was begun for a while."""
    deadline, before, since = time.monotonic() + _PATIENCE, -1, time.monotonic()
    while time.monotonic() < deadline:
        runs = dagster.runs()
        going = [job for job, status in runs if status != "SUCCESS"]
        bench.log(f"waiting until nothing is left to do: {len(runs)} runs, {len(going)} going")
        if len(runs) != before or going:
            before, since = len(runs), time.monotonic()
        elif time.monotonic() - since > _CALM and len({job for job, _ in runs if job.endswith("_day")}) >= days:
            return
        time.sleep(3)
    raise HomeError(f"it never came to rest: {dagster.runs()}")


Windows = list[dict[str, float]]
"""For each window what each role has used, in % of a core."""


def windows_of(bench: Bench, parts: Mapping[str, Dagster], seconds: float, said: str) -> dict[str, Windows]:
    """Look at several at the same time, for as many windows as there are rounds."""
    found: dict[str, Windows] = {name: [] for name in parts}
    before, then = {name: one.used() for name, one in parts.items()}, time.monotonic()
    for number in range(bench.rounds):
        bench.log(f"{said}, window {number + 1} of {bench.rounds}")
        time.sleep(seconds)
        now, at = {name: one.used() for name, one in parts.items()}, time.monotonic()
        for name in parts:
            roles = now[name].items()
            found[name].append({role: 100 * (s - before[name].get(role, 0)) / (at - then) for role, s in roles})
        before, then = now, at
    return found


def by_role(windows: Windows) -> str:
    """The means of each role, in words."""
    means = {role: mean(w.get(role, 0) for w in windows) for role in sorted({r for w in windows for r in w})}
    return "% of a core: " + ", ".join(f"{role} {share:.2f}" for role, share in means.items())
