"""What it costs to begin: the code location beside a bare one, and the command.

Every run and every code server loads the code location; the command is what somebody waits for.
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

from benchmarks.dagster_home import ROOT, Place
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
    "A fresh process each time; the bytecode of all is at hand. Seconds of the cores are user and system: a busy "
    "machine makes them longer, but less so than those of the clock.",
    "The code location: from the import of Dagster, which its own programs load first, to a repository that can be "
    "asked. Ours is sites/gamb2le.yaml: eight streams, three archive hosts. The bare one has one empty asset.",
    "The command: its help, and the status of the demo's site where nothing was ever started.",
]


def run(bench: Bench) -> Result:
    """The subject of :mod:`benchmarks.__main__`."""
    with bench.directory() as directory:
        rows = [*_loading(bench, directory), *_commands(bench, directory)]
    return Result("start_up", "Starting: the code location and the command", rows, _NOTES)


def _loading(bench: Bench, directory: Path) -> list[Row]:
    places = {
        "bare_location": Place.bare(directory / "bare"),
        "aurora_assets.definitions": Place("aurora", directory / "home", ROOT / "workspace.yaml", _SITE),
    }
    clock: dict[str, list[float]] = {module: [] for module in places}
    cores: dict[str, list[float]] = {module: [] for module in places}
    peaks = dict.fromkeys(places, 0.0)
    for number in range(bench.rounds + 1):
        for module, place in places.items():
            bench.log(f"loading {module}, " + (f"round {number} of {bench.rounds}" if number else "warming up"))
            seconds, used, peak, assets, jobs = _load(module, place)
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


def _load(module: str, place: Place) -> Any:
    path = str(ROOT if place.site else place.home)
    done = subprocess.run(
        [sys.executable, "-c", _LOADING.format(module=module)],
        cwd=path,
        env=place.environment,
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(done.stdout)


def _check_loaded(module: str, assets: set[str], jobs: set[str]) -> None:
    """What was loaded is all there is: the site file is read here once more, by YAML alone."""
    if module == "bare_location":
        wanted, wanted_jobs = {"nothing"}, set[str]()
    else:
        streams = yaml.safe_load(_SITE.read_bytes())["streams"]
        kinds = ("source", "raw", "gws/raw", "manifests")
        wanted = {f"{kind}/{name}" for kind in kinds for name in streams} | {"wxcam/catalog", "ops/health"}
        wanted_jobs = {f"{job}_{name}" for job in ("push", "verify") for name in streams}
    if len(assets) < len(wanted) or wanted - assets or wanted_jobs - jobs:
        raise WrongAnswerError(f"{module}: not loaded: {sorted((wanted - assets) | (wanted_jobs - jobs))}")


def _commands(bench: Bench, directory: Path) -> list[Row]:
    site = directory / "site.yaml"
    site.write_text((ROOT / "sites" / "demo.yaml").read_text().replace("../.aurora", str(directory / "aurora")))
    place = Place("aurora", directory / "home", ROOT / "workspace.yaml", site)
    rows = []
    for verb, answer in (("--help", "status"), ("status", "wxcam")):
        found = []
        for number in range(bench.rounds + 1):
            bench.log(f"aurora {verb}, " + (f"round {number} of {bench.rounds}" if number else "warming up"))
            used, said = _cores_of(_command, verb, place)
            if answer not in said:
                raise WrongAnswerError(f"aurora {verb} says nothing of {answer}: {said[:300]}")
            if number:
                found.append(used)
        ours = Figure(tuple(found))
        rows.append(Row(f"aurora {verb}, in seconds of the cores", ours, ours.middle, at_most(_COMMAND_GOAL, "s")))
    return rows


def _command(verb: str, place: Place) -> str:
    """What the command prints."""
    return subprocess.run(
        [sys.executable, "-m", "aurora_cli.main", verb],
        cwd=ROOT,
        env=place.environment,
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    ).stdout


def _cores_of[**P, Answer](work: Callable[P, Answer], *args: P.args, **kwargs: P.kwargs) -> tuple[float, Answer]:
    """Seconds of the cores of the process that ``work`` starts and waits for, and its answer."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    answer = work(*args, **kwargs)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, answer
