"""Measures the start-up time of the code location, against a bare one, and of the command.

Every run and every code server loads the code location; users wait for the command.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from benchmarks.dagster_home import ROOT, Setup
from benchmarks.measure import WrongAnswerError
from benchmarks.subject import Bench, Figure, Result, Row, at_most, times_longer

_LOAD_GOAL = 1.35
_COMMAND_GOAL = 0.45  # s
_SITE = ROOT / "sites" / "gamb2le.yaml"

_LOADING = """
import json, sys, time
begun, used = time.perf_counter(), time.process_time()
import dagster  # as Dagster's own programs do, before they load a code location
from {module} import defs
repository = defs.get_repository_def()
seconds, used = time.perf_counter() - begun, time.process_time() - used
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM:"))
assets = sorted(key.to_user_string() for key in repository.asset_graph.get_all_asset_keys())
print(json.dumps([seconds, used, int(peak.split()[1]) / 1024, assets, sorted(repository.job_names)]))
"""

_NOTES = [
    "A new process each time, with cached bytecode. Seconds of the cores are user and system time: a busy machine "
    "makes them longer, but less so than clock time.",
    "The code location: from the import of Dagster, which its own programs load first, to a usable repository. "
    "Ours is sites/gamb2le.yaml: eight streams, three archive hosts. The bare one has one empty asset.",
    "The command: its help, and the status of the demo site in which nothing was ever started.",
]


def run(bench: Bench) -> Result:
    """Measure the code location and the command."""
    with bench.directory() as directory:
        rows = [*_loading(bench, directory), *_commands(bench, directory)]
    return Result("start_up", "Starting: the code location and the command", rows, _NOTES)


def _loading(bench: Bench, directory: Path) -> list[Row]:
    setups = {
        "bare_location": Setup.bare(directory / "bare"),
        "aurora_assets.definitions": Setup("aurora", directory / "home", ROOT / "workspace.yaml", _SITE),
    }
    clock: dict[str, list[float]] = {module: [] for module in setups}
    cores: dict[str, list[float]] = {module: [] for module in setups}
    peaks = dict.fromkeys(setups, 0.0)
    for number in range(bench.rounds + 1):
        for module, setup in setups.items():
            bench.log(f"loading {module}, " + (f"round {number} of {bench.rounds}" if number else "warming up"))
            seconds, used, peak, assets, jobs = _load(module, setup)
            _check_loaded(module, set(assets), set(jobs))
            if number:
                clock[module].append(seconds)
                cores[module].append(used)
                peaks[module] = max(peaks[module], peak)
    what = "loading the code location: a bare one"
    bare, ours = (Figure(tuple(values), "s", peaks[module]) for module, values in clock.items())
    bare_cores, our_cores = (Figure(tuple(values)) for values in cores.values())
    return [
        times_longer(what, bare, ours, _LOAD_GOAL),
        times_longer(f"{what}, in seconds of the cores", bare_cores, our_cores, _LOAD_GOAL),
    ]


def _load(module: str, setup: Setup) -> Any:
    path = str(ROOT if setup.site else setup.home)
    process = subprocess.run(
        [sys.executable, "-c", _LOADING.format(module=module)],
        cwd=path,
        env=setup.environment,
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(process.stdout)


def _check_loaded(module: str, assets: set[str], jobs: set[str]) -> None:
    """Check that everything was loaded, against the site file, read with plain YAML."""
    if module == "bare_location":
        expected, expected_jobs = {"nothing"}, set[str]()
    else:
        streams = yaml.safe_load(_SITE.read_bytes())["streams"]
        kinds = ("source", "raw", "gws/raw", "manifests")
        expected = {f"{kind}/{name}" for kind in kinds for name in streams} | {"wxcam/catalog", "ops/health"}
        expected_jobs = {f"{job}_{name}" for job in ("push", "verify") for name in streams}
    if len(assets) < len(expected) or expected - assets or expected_jobs - jobs:
        raise WrongAnswerError(f"{module}: not loaded: {sorted((expected - assets) | (expected_jobs - jobs))}")


def _commands(bench: Bench, directory: Path) -> list[Row]:
    site = directory / "site.yaml"
    site.write_text((ROOT / "sites" / "demo.yaml").read_text().replace("../.aurora", str(directory / "aurora")))
    setup = Setup("aurora", directory / "home", ROOT / "workspace.yaml", site)
    rows = []
    for verb, expected in (("--help", "status"), ("status", "wxcam")):
        seconds = []
        for number in range(bench.rounds + 1):
            bench.log(f"aurora {verb}, " + (f"round {number} of {bench.rounds}" if number else "warming up"))
            used, output = _cpu_seconds_of(_command, verb, setup)
            if expected not in output:
                raise WrongAnswerError(f"the output of aurora {verb} has no {expected}: {output[:300]}")
            if number:
                seconds.append(used)
        ours = Figure(tuple(seconds))
        rows.append(Row(f"aurora {verb}, in seconds of the cores", ours, ours.middle, at_most(_COMMAND_GOAL, "s")))
    return rows


def _command(verb: str, setup: Setup) -> str:
    """Run the command; return its output."""
    return subprocess.run(
        [sys.executable, "-m", "aurora_cli.main", verb],
        cwd=ROOT,
        env=setup.environment,
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    ).stdout


def _cpu_seconds_of[**P, Answer](work: Callable[P, Answer], *args: P.args, **kwargs: P.kwargs) -> tuple[float, Answer]:
    """Return the CPU time of the process that ``work`` starts and waits for, s, and its answer."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    answer = work(*args, **kwargs)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, answer
