"""One tick of all streams when nothing is new: each is looked at on its host, and compared with what is here.

In use today: a session, a login and a ``find`` for each stream. The limit: one round trip to each host, a program that
does nothing, in a session that is open already.
"""

from __future__ import annotations

import logging
import os
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
from aurora_platform.streams.classify import directories
from aurora_platform.transport.connections import Connections
from benchmarks.measure import Method, WrongAnswerError, alternately
from benchmarks.observatory import DAYS, Observatory, observatory, site_of
from benchmarks.remote import log_grew, logins, openssh, output_of
from benchmarks.subject import LIMIT, OURS, REPLACED, Bench, Figure, Result, times_faster, times_longer
from resources.hosts import HostsResource

type Seen = dict[str, tuple[int, int]]
"""Of each stream: how many files of its live window are there and here, and how many are there and not here."""

SENSORS = "the sensors"
_DAGSTER = Path(__file__).resolve().parent.parent / "dagster.yaml"
_STREAMS = {"ass": 7, "aps": 1}
_AT_ONCE = f"{REPLACED}, all at once"


def run(bench: Bench) -> Result:
    """Measure."""
    with bench.directory() as directory:
        bench.log("making the trees of eight streams")
        with observatory(directory) as there:
            home = directory / "dagster"
            home.mkdir()
            shutil.copy(_DAGSTER, home)
            before = {name: logins(server) for name, server in there.servers.items()}
            _prove(there, home)
            found = alternately(
                {
                    REPLACED: Method(_one_by_one, (there.file,)),
                    _AT_ONCE: Method(_eight_logins, (there.file,)),
                    LIMIT: Method(_round_trips, (there.file,)),
                    OURS: Method(_looks, (there.file,)),
                    SENSORS: Method(_ticks, (there.file, home)),
                },
                lambda answers: _check(answers, there),
                bench.rounds,
                bench.log,
            )
            # Three keep their session, and two log in for each stream; so they did in the proof, without the limit.
            for name, server in there.servers.items():
                log_grew(server, before[name] + 3 + 2 + 2 * _STREAMS[name] * (bench.rounds + 2))
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
    f"{DAYS} days of the instruments, four of the camera with all of its exposures. In use today 24,000 files are "
    "listed; a look lists those of its days. Both compare the 3,400 of the live window with those that are here.",
    "In use today: ssh and find with a login for each stream; the comparison is in one process, by one stat a file.",
    "The hosts are on this machine: there is no network between, and their work is on the same cores.",
    "The sensors: all that a tick does in the code server. The bound of 2x, and that at the limit, are our own "
    "choice: a look lists thousands of names there and as many here, and a round trip does nothing.",
]


def _prove(there: Observatory, home: Path) -> None:
    """Who looks has to miss a file that is not here, and ask for its day."""
    site, seen = there.site, _in_window(there)
    taken = [Layout.of(site).raw_root(name) / there.files(name, live_days(site, name))[-1] for name in site.streams]
    less = {name: (here - 1, missing + 1) for name, (here, missing) in seen.items()}
    wanted = dict.fromkeys((REPLACED, _AT_ONCE, OURS), less) | {SENSORS: dict.fromkeys(less, 1)}

    def check(answers: Mapping[str, Any]) -> None:
        for name, answer in answers.items():
            if answer != wanted[name]:
                raise WrongAnswerError(f"{name}: a file of each is not here, so {wanted[name]}; it says {answer}")

    methods = {
        REPLACED: Method(_one_by_one, (there.file,)),
        _AT_ONCE: Method(_eight_logins, (there.file,)),
        OURS: Method(_looks, (there.file,)),
        SENSORS: Method(_asked_for, (there.file, home)),
    }
    for path in taken:
        path.rename(f"{path}.taken")
    alternately(methods, check, rounds=0)
    for path in taken:
        Path(f"{path}.taken").rename(path)


def _asked_for(file: Path, home: Path) -> dict[str, int]:
    return {name: runs for name, (runs, _) in _evaluate(file, home).items()}


def _in_window(there: Observatory) -> Seen:
    return {name: (len(there.files(name, live_days(there.site, name))), 0) for name in there.site.streams}


def _check(answers: Mapping[str, Any], there: Observatory) -> None:
    seen = _in_window(there)
    for name in (REPLACED, _AT_ONCE, OURS):
        if answers[name] != seen:
            raise WrongAnswerError(f"{name}: saw {answers[name]}, and there is {seen}")
    said = {name: f"nothing new: {_listed(there, name)} files seen" for name in seen}
    if answers[SENSORS] != said:
        raise WrongAnswerError(f"the sensors said {answers[SENSORS]}, and not {said}")
    if answers[LIMIT] != len(_STREAMS):
        raise WrongAnswerError(f"{answers[LIMIT]} hosts answered")


def _listed(there: Observatory, name: str) -> int:
    """How many files of a stream its listing names: those of the window and of the days beside."""
    days = live_days(there.site, name)
    return len(there.files(name, {day + timedelta(n) for day in days for n in (-1, 0, 1)}))


def _at_once[T](work: Callable[[str], T], names: Sequence[str]) -> dict[str, T]:
    with ThreadPoolExecutor(len(names)) as pool:
        return dict(zip(names, pool.map(work, names), strict=True))


def _far(site: Site, host: str) -> SshHost:
    far = site.hosts[host]
    assert isinstance(far, SshHost)
    return far


def _one_by_one(file: Path) -> Seen:
    site = site_of(file)
    return {name: _compare(site, name, output_of(_list(site, name)).decode()) for name in site.streams}


def _eight_logins(file: Path) -> Seen:
    site = site_of(file)
    listings = {name: _list(site, name) for name in site.streams}
    return {name: _compare(site, name, output_of(process).decode()) for name, process in listings.items()}


def _list(site: Site, name: str) -> subprocess.Popen[bytes]:
    stream = site.streams[name]
    below = [f"./{one}" for one in directories(stream, live_days(site, name))]
    find = shlex.join(["find", *below, "-printf", r"%y %s %T@ %p\0"])
    line = f"cd {shlex.quote(stream.path)} && {find} 2>/dev/null; true"  # tomorrow is not there
    return openssh(_far(site, stream.host), Layout.of(site).known_hosts, line)


def _compare(site: Site, name: str, listing: str) -> tuple[int, int]:
    """Compare the files of the live window with those that are here, by size and mtime (s)."""
    stream, here, days = site.streams[name], Layout.of(site).raw_root(name), set(live_days(site, name))
    same = other = 0
    for line in listing.split("\0")[:-1]:
        kind, size, mtime, path = line.split(" ", 3)
        path = path.removeprefix("./")
        if kind != "f" or not stream.includes(path) or stream.day_of(path, 0) not in days:
            continue
        try:
            status = os.stat(f"{here}/{path}")
            is_same = (status.st_size, int(status.st_mtime)) == (int(size), int(float(mtime)))
        except FileNotFoundError:
            is_same = False
        same, other = same + is_same, other + (not is_same)
    return same, other


def _round_trips(file: Path) -> int:
    """Run ``true`` on each host in a session that is kept; how many hosts have answered."""
    site = site_of(file)
    connections = Connections.of(site)
    said = _at_once(lambda host: connections.ask(_far(site, host), ["true"]), list(_STREAMS))
    return sum(not text for text in said.values())


def _looks(file: Path) -> Seen:
    site = site_of(file)
    connections = Connections.of(site)

    def one(name: str) -> tuple[int, int]:
        stream = site.streams[name]
        source = connections.source(_far(site, stream.host), within=site.limits.look.total_seconds())
        survey = scan(stream, source, Layout.of(site).raw_root(name), live_days(site, name), site.limits.look)
        if survey.unsettled or survey.refusals or survey.unreadable.total or not survey.is_whole:
            raise WrongAnswerError(f"{name}: {survey.summary()}")
        days = [day for day in survey.days.values() if isinstance(day, DaySurvey)]
        return sum(day.present for day in days), sum(day.missing for day in days)

    return _at_once(one, list(site.streams))


def _ticks(file: Path, home: Path) -> dict[str, str]:
    """Evaluate the eight sensors; what each says of why it starts no run, as far as that stays the same."""
    asked = _evaluate(file, home)
    if wrong := [name for name, (runs, _) in asked.items() if runs]:
        raise WrongAnswerError(f"they ask for runs: {wrong}")
    return {name: said.partition(" (")[0] for name, (_, said) in asked.items()}


def _evaluate(file: Path, home: Path) -> dict[str, tuple[int, str]]:
    """Evaluate the eight sensors at once; for how many runs each asks, and what it says where for none."""
    logging.disable(logging.INFO)  # what a sensor logs goes into Dagster's records, not here
    definitions, instance = _code_location(file, home)
    resources = {"hosts": HostsResource.of(site_of(file))}

    def one(name: str) -> tuple[int, str]:
        sensor = definitions.resolve_sensor_def(f"arrivals_{name}")
        with build_sensor_context(
            cursor=_CURSORS.get(name), resources=resources, definitions=definitions, instance_ref=instance
        ) as context:
            data = sensor.evaluate_tick(context)
        _CURSORS[name] = data.cursor
        return len(data.run_requests or ()), data.skip_message or ""

    return _at_once(one, list(site_of(file).streams))


_CURSORS: dict[str, str | None] = {}
"""What Dagster keeps for each sensor from tick to tick."""


@cache
def _code_location(file: Path, home: Path) -> tuple[Definitions, InstanceRef]:
    """What the code server has loaded, and where it finds Dagster's records."""
    return build(site_of(file)), DagsterInstance.from_config(str(home)).get_ref()
