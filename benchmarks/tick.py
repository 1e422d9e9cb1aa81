"""Measures one tick of all streams without new files: list each stream on its host, compare with the local copy.

In use today: a session, a login and a ``find`` per stream. The limit: one round trip to each host in an open session,
with a program that does nothing.
"""

from __future__ import annotations

import logging
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from dagster import DagsterInstance, Definitions, build_sensor_context
from dagster._core.instance.ref import InstanceRef

from aurora_assets.definitions import build
from aurora_assets.partitions import live_days
from aurora_platform.config.hosts import SshHost
from aurora_platform.config.site import Site
from aurora_platform.layout import Layout
from aurora_platform.mirror.scan import DaySurvey, scan
from aurora_platform.streams.classify import directories_to_list
from aurora_platform.transport.connections import Connections
from benchmarks.measure import Method, WrongAnswerError, alternately
from benchmarks.observatory import DAYS, Observatory, observatory, site_of
from benchmarks.remote import logins, openssh, output_of, require_logins
from benchmarks.subject import LIMIT, OURS, REPLACED, Bench, Figure, Result, times_faster, times_longer
from resources.hosts import HostsResource

type Counts = dict[str, tuple[int, int]]
"""Per stream: files of its live window at the source that are present locally, and that are missing locally."""

SENSORS = "the sensors"
_DAGSTER = Path(__file__).resolve().parent.parent / "dagster.yaml"
_STREAMS = {"ass": 7, "aps": 1}
_AT_ONCE = f"{REPLACED}, all at once"


def run(bench: Bench) -> Result:
    """Measure a tick by five methods."""
    with bench.directory() as directory:
        bench.log("making the trees of eight streams")
        with observatory(directory) as simulated:
            home = directory / "dagster"
            home.mkdir()
            shutil.copy(_DAGSTER, home)
            before = {name: logins(server) for name, server in simulated.servers.items()}
            _check_missing_files(simulated, home)
            found = alternately(
                {
                    REPLACED: Method(_one_by_one, (simulated.file,)),
                    _AT_ONCE: Method(_eight_logins, (simulated.file,)),
                    LIMIT: Method(_round_trips, (simulated.file,)),
                    OURS: Method(_scans, (simulated.file,)),
                    SENSORS: Method(_ticks, (simulated.file, home)),
                },
                lambda answers: _check(answers, simulated),
                bench.rounds,
                bench.log,
            )
            # Three methods keep their session, two log in per stream; so does the check above, but without the limit.
            for name, server in simulated.servers.items():
                require_logins(server, before[name] + 3 + 2 + 2 * _STREAMS[name] * (bench.rounds + 2))
    replaced, at_once, limit, ours, sensors = (
        Figure.of(found[name]) for name in (REPLACED, _AT_ONCE, LIMIT, OURS, SENSORS)
    )
    return Result(
        "tick",
        "A tick of eight streams when nothing is new",
        [
            times_faster("in use today: eight SSH listings; ours: the looks", replaced, ours, 4),
            times_faster("the same listings, all at once; ours: the looks", at_once, ours, 2),
            times_faster("in use today: eight SSH listings; ours: the sensors in Dagster", replaced, sensors, 4),
            times_longer("limit: one round trip to both hosts at once; ours: the looks", limit, ours, 30),
        ],
        _NOTES,
    )


_NOTES = [
    f"{DAYS} days of the instruments, four of the camera with all exposures. The method in use today lists 24,000 "
    "files; a scan lists those of its days. Both compare the 3,400 files of the live window with the local copy.",
    "In use today: ssh and find with a login per stream; one process compares, with one stat per file.",
    "The hosts are on this machine: there is no network in between, and they use the same cores.",
    "The sensors: all work of a tick in the code server. The bounds of 2x and at the limit are our own choice: a "
    "scan lists thousands of names at the source and as many locally, and a round trip does nothing.",
]


def _check_missing_files(simulated: Observatory, home: Path) -> None:
    """Check that each method counts a file that is missing locally, and that each sensor requests a run for it."""
    site, expected = simulated.site, _in_window(simulated)
    taken = [Layout.of(site).raw_root(name) / simulated.files(name, live_days(site, name))[-1] for name in site.streams]
    changed = {name: (present - 1, missing + 1) for name, (present, missing) in expected.items()}
    right = dict.fromkeys((REPLACED, _AT_ONCE, OURS), changed) | {SENSORS: dict.fromkeys(changed, 1)}

    def check(answers: Mapping[str, Any]) -> None:
        for name, answer in answers.items():
            if answer != right[name]:
                raise WrongAnswerError(f"{name}: one local file per stream is missing: {answer}, not {right[name]}")

    methods = {
        REPLACED: Method(_one_by_one, (simulated.file,)),
        _AT_ONCE: Method(_eight_logins, (simulated.file,)),
        OURS: Method(_scans, (simulated.file,)),
        SENSORS: Method(_requested_runs, (simulated.file, home)),
    }
    for path in taken:
        path.rename(f"{path}.taken")
    alternately(methods, check, rounds=0)
    for path in taken:
        Path(f"{path}.taken").rename(path)


def _requested_runs(file: Path, home: Path) -> dict[str, int]:
    return {name: runs for name, (runs, _) in _evaluate(file, home).items()}


def _in_window(simulated: Observatory) -> Counts:
    return {name: (len(simulated.files(name, live_days(simulated.site, name))), 0) for name in simulated.site.streams}


def _check(answers: Mapping[str, Any], simulated: Observatory) -> None:
    expected = _in_window(simulated)
    for name in (REPLACED, _AT_ONCE, OURS):
        if answers[name] != expected:
            raise WrongAnswerError(f"{name}: found {answers[name]}, not {expected}")
    listed = {name: _listed(simulated, name) for name in expected}
    if answers[SENSORS] != listed:
        raise WrongAnswerError(f"the sensors skipped after listing {answers[SENSORS]} files, not {listed}")
    if answers[LIMIT] != len(_STREAMS):
        raise WrongAnswerError(f"{answers[LIMIT]} hosts answered")


def _listed(simulated: Observatory, name: str) -> int:
    """Return the number of listed files of a stream: those of the window and of the days before and after."""
    days = live_days(simulated.site, name)
    return len(simulated.files(name, {day + timedelta(n) for day in days for n in (-1, 0, 1)}))


def _at_once[T](work: Callable[[str], T], names: Sequence[str]) -> dict[str, T]:
    with ThreadPoolExecutor(len(names)) as pool:
        return dict(zip(names, pool.map(work, names), strict=True))


def _ssh_host(site: Site, name: str) -> SshHost:
    host = site.hosts[name]
    assert isinstance(host, SshHost)
    return host


def _one_by_one(file: Path) -> Counts:
    site = site_of(file)
    return {name: _compare(site, name, output_of(_list(site, name)).decode()) for name in site.streams}


def _eight_logins(file: Path) -> Counts:
    site = site_of(file)
    listings = {name: _list(site, name) for name in site.streams}
    return {name: _compare(site, name, output_of(process).decode()) for name, process in listings.items()}


def _list(site: Site, name: str) -> subprocess.Popen[bytes]:
    stream = site.streams[name]
    paths = [f"./{directory}" for directory in directories_to_list(stream, live_days(site, name))]
    find = shlex.join(["find", *paths, "-printf", r"%y %s %T@ %p\0"])
    line = f"cd {shlex.quote(stream.path)} && {find} 2>/dev/null; true"  # the directory of tomorrow does not exist
    return openssh(_ssh_host(site, stream.host), Layout.of(site).known_hosts, line)


def _compare(site: Site, name: str, listing: str) -> tuple[int, int]:
    """Compare the files of the live window with the local copy, by size and mtime (s)."""
    stream, local, days = site.streams[name], Layout.of(site).raw_root(name), set(live_days(site, name))
    same = other = 0
    for line in listing.split("\0")[:-1]:
        kind, size, mtime, path = line.split(" ", 3)
        path = path.removeprefix("./")
        if kind != "f" or not stream.includes(path) or stream.day_of(path, 0) not in days:
            continue
        try:
            status = os.stat(f"{local}/{path}")
            is_same = (status.st_size, int(status.st_mtime)) == (int(size), int(float(mtime)))
        except FileNotFoundError:
            is_same = False
        same, other = same + is_same, other + (not is_same)
    return same, other


def _round_trips(file: Path) -> int:
    """Run ``true`` on each host in a kept session; return the number of hosts that answered."""
    site = site_of(file)
    connections = Connections.of(site)
    outputs = _at_once(lambda host: connections.ask(_ssh_host(site, host), ["true"]), list(_STREAMS))
    return sum(not text for text in outputs.values())


def _scans(file: Path) -> Counts:
    site = site_of(file)
    connections = Connections.of(site)

    def scan_stream(name: str) -> tuple[int, int]:
        stream = site.streams[name]
        source = connections.source(_ssh_host(site, stream.host), within=site.limits.look.total_seconds())
        survey = scan(stream, source, Layout.of(site).raw_root(name), live_days(site, name), site.limits.look)
        if survey.unsettled or survey.refusals or survey.unreadable.total or not survey.is_whole:
            raise WrongAnswerError(f"{name}: {survey.summary()}")
        days = [day for day in survey.days.values() if isinstance(day, DaySurvey)]
        return sum(day.present for day in days), sum(day.missing for day in days)

    return _at_once(scan_stream, list(site.streams))


def _ticks(file: Path, home: Path) -> dict[str, int]:
    """Evaluate the eight sensors; return the number of files that each skip message gives: the first number in it."""
    results = _evaluate(file, home)
    if wrong := [name for name, (runs, _) in results.items() if runs]:
        raise WrongAnswerError(f"sensors requested runs: {wrong}")
    numbers = {name: re.search(r"\d+", message) for name, (_, message) in results.items()}
    if without := {name: results[name][1] for name, number in numbers.items() if number is None}:
        raise WrongAnswerError(f"sensors skipped without a number of files: {without}")
    return {name: int(number[0]) for name, number in numbers.items() if number}


def _evaluate(file: Path, home: Path) -> dict[str, tuple[int, str]]:
    """Evaluate the eight sensors at once; return the number of run requests and the skip message of each."""
    logging.disable(logging.INFO)  # keep the logs of sensors out of the output
    definitions, instance = _code_location(file, home)
    resources = {"hosts": HostsResource.of(site_of(file))}

    def evaluate(name: str) -> tuple[int, str]:
        sensor = definitions.resolve_sensor_def(f"arrivals_{name}")
        with build_sensor_context(
            cursor=_CURSORS.get(name), resources=resources, definitions=definitions, instance_ref=instance
        ) as context:
            data = sensor.evaluate_tick(context)
        _CURSORS[name] = data.cursor
        return len(data.run_requests or ()), data.skip_message or ""

    return _at_once(evaluate, list(site_of(file).streams))


_CURSORS: dict[str, str | None] = {}
"""The cursor of each sensor, which Dagster keeps from tick to tick."""


@cache
def _code_location(file: Path, home: Path) -> tuple[Definitions, InstanceRef]:
    """Load the definitions and the reference to the Dagster instance, as the code server does."""
    return build(site_of(file)), DagsterInstance.from_config(str(home)).get_ref()
