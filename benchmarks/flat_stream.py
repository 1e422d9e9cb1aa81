"""Measures the ticks of a flat stream, and ``aurora status``, at a site that has run for three years.

A flat stream has all its files in one directory: 315,360 of the ceilometer. Before, each tick read all names and
compared them with the patterns of its days.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from aurora_assets.partitions import live_days
from aurora_platform.archive import backlog
from aurora_platform.archive.selection import raw_items
from aurora_platform.archive.stores import Records
from aurora_platform.config.hosts import SshHost
from aurora_platform.config.site import Site
from aurora_platform.fs.versions import ScannedEntry
from aurora_platform.health.freshness import measure_local
from aurora_platform.health.models import Freshness
from aurora_platform.layout import Layout, open_state, raw_group
from aurora_platform.mirror.scan import scan
from aurora_platform.streams.classify import Classifier, Directories
from aurora_platform.text import Count
from aurora_platform.transport.connections import Connections
from aurora_platform.transport.listing import matching
from aurora_platform.transport.name_store import NameStore
from benchmarks.measure import Measured, Method, WrongAnswerError, alternately
from benchmarks.observatory import site_of
from benchmarks.remote import remote_host
from benchmarks.subject import Bench, Figure, Result, Row, at_most, times_longer

DAYS = 1095
_FLAT = "cl61"
_HOST = "127.0.0.24"
_ROOT = Path(__file__).resolve().parent.parent
_QUIET = 3.5  # s; names are stored of a directory that did not change for 3 s
_TICK_GOAL, _STATUS_GOAL = 0.1, 1.0  # s
_STATUS_BEFORE = 5.6  # s, of version 0.2.0 at 1.57 million files, measured once
_CHANGED_GOAL = 2  # times the limit

PUSH, FRESHNESS, ARRIVALS, STATUS = "push tick", "freshness", "arrivals", "aurora status"
CHANGED, BEFORE, NAMES = "push tick after a change", "before", "reading the names"


def _camera(at: datetime, number: int) -> str:
    tree, end = (("FISH", ""), ("PANO", "_PANO"))[number % 2]
    is_clip = number % 20 < 2
    kind = "mp4" if is_clip else "jpg"
    return f"{tree}/{at:%Y%m%d}/{'' if is_clip else f'{at:%H}/'}HDR_{at:%Y%m%d_%H%M%S}{end}.{kind}"


# Files per day, and the name of each. Written by hand, independent of the patterns in the site file.
_STREAMS: dict[str, tuple[int, Callable[[datetime, int], str]]] = {
    "cl61": (288, lambda at, _: f"gamb2le_depolarisation_lidar_ceilometer_aurora_{at:%Y%m%d_%H%M%S}.nc"),
    "radar": (216, lambda at, n: f"{at:Y%Y/M%m/D%d}/{at:%y%m%d_%H}0000_P{n % 9:02}_ZEN.LV1"),
    "hatpro": (264, lambda at, n: f"{at:Y%Y/M%m/D%d}/HATPROG5-AURORA-ICELAND_{at:%y%m%d%H}.{n % 11:02}.NC"),
    "vaisalamet": (1, lambda at, _: f"vaisala_met_level0_{at:%d-%m-%Y}.dat"),
    "asfs_logger": (96, lambda at, _: f"aurora_asfs_data_sci_{at:%Y%m%d%H%M}.dat"),
    "asfs_fast_sonic": (96, lambda at, _: f"aurora_asfs_data_fast_sonic_{at:%Y%m%d%H%M}.dat"),
    "power": (1, lambda at, _: f"power_data_{at:%Y%m%d}.csv"),
    "wxcam": (472, _camera),
}


def run(bench: Bench) -> Result:
    """Measure the ticks and the command."""
    with bench.directory() as directory, remote_host(directory, _HOST) as (host, _):
        file = _write_site(directory, host)
        site = site_of(file)
        for name in _STREAMS:
            bench.log(f"making the files of {name}")
            _write_files(Layout.of(site).raw_root(name), name)
        _mark_copied(site)
        unchanged = {PUSH: _push, FRESHNESS: _freshness, ARRIVALS: _arrivals, STATUS: _status}
        others = {CHANGED: Method(_push_after_a_change, (file,), _change), BEFORE: Method(_read_all, (file,))}
        found = alternately(
            {name: Method(work, (file,), _settle) for name, work in unchanged.items()}
            | others
            | {NAMES: Method(_read_names, (file,))},
            _check_counts,
            bench.rounds,
            bench.log,
        )
    files = sum(per_day for per_day, _ in _STREAMS.values()) * DAYS
    title = f"A flat stream of {_STREAMS[_FLAT][0] * DAYS:,} files, and aurora status with {files:,} local files"
    return Result("flat_stream", title, _rows(found), _NOTES)


_NOTES = [
    "Seconds of the cores. Before: a tick read every name of the local directory, and compared it with the patterns of "
    "its days; the function is that of version 0.2.0. Its `aurora status` was measured once, at a site of this size.",
    "The stored names are of the newest days. A directory that changed is read again: once by the first tick "
    "after each change, which for this stream is every 5 minutes. That costs most of what the kernel takes to read the "
    "names, so no tick after a change can reach 0.1 s. The bound at that limit is our own choice.",
    "Arrivals: a listing over SSH and its comparison; the host's own work is not counted. Status: the whole command, "
    "with Python's start, a login, and listings of eight streams; the ticks have stored names, as at a running site.",
]


def _rows(found: Mapping[str, Measured]) -> list[Row]:
    ours = {name: Figure(tuple(run.cores for run in measured.runs)) for name, measured in found.items()}
    before = ours[BEFORE]
    tick, status = at_most(_TICK_GOAL, "s"), at_most(_STATUS_GOAL, "s")
    texts = {
        PUSH: "push tick, the directory did not change; compared with before",
        FRESHNESS: "freshness of the local files, the directory did not change; compared with before",
        ARRIVALS: "scan of the arrival sensor",
    }
    rows = [
        Row(text, ours[name], ours[name].middle, tick, None if name == ARRIVALS else before)
        for name, text in texts.items()
    ]
    what = "push tick after a change; limit: reading the names"
    rows.append(times_longer(what, ours[NAMES], ours[CHANGED], _CHANGED_GOAL))
    rows.append(Row("aurora status", ours[STATUS], ours[STATUS].middle, status, Figure((_STATUS_BEFORE,))))
    return rows


def _write_site(directory: Path, host: SshHost) -> Path:
    """Write a site whose sources are its local files, so that nothing is missing locally."""
    data = yaml.safe_load((_ROOT / "sites" / "gamb2le.yaml").read_text())
    data["paths"] = {name: str(directory / name) for name in data["paths"]}
    data["hosts"] = {name: host.model_dump(mode="json") for name in data["hosts"]}
    for stream in data["streams"].values():
        stream["path"] = f"{directory}/raw/{stream['raw']}"
        stream["start"] = _first_day()
    file = directory / "site.yaml"
    file.write_text(yaml.safe_dump(data))
    open_state(directory / "state")
    return file


def _first_day() -> date:
    return datetime.now(UTC).date() - timedelta(days=DAYS - 1)


def _times(name: str) -> Iterator[tuple[datetime, str]]:
    """Yield time and name of every file of a stream, oldest first; the day of today is over."""
    per_day, name_of = _STREAMS[name]
    begin = datetime.combine(_first_day(), datetime.min.time(), UTC)
    for number in range(per_day * DAYS):
        at = begin + timedelta(days=1) / per_day * number
        yield at, name_of(at, number)


def _write_files(root: Path, name: str) -> None:
    """Write the empty files of a stream; files of the hours to come get the mtime of an hour ago."""
    latest, parents = time.time() - 3600, set()
    for at, path in _times(name):
        parent = os.path.dirname(path)
        if parent not in parents:
            (root / parent).mkdir(parents=True, exist_ok=True)
            parents.add(parent)
        os.close(os.open(f"{root}/{path}", os.O_CREAT | os.O_WRONLY))
        seconds = min(at.timestamp(), latest)
        os.utime(f"{root}/{path}", (seconds, seconds))


def _mark_copied(site: Site) -> None:
    assert site.archive is not None
    root, days = Layout.of(site).raw_root(_FLAT), live_days(site, _FLAT)
    items = list(raw_items(site.streams[_FLAT], root, site.archive.raw, set(days), Count()))
    with Records(site).ledger() as ledger:
        ledger.offer(site.archive.name, raw_group(_FLAT), items)
        ledger.mark_copied(site.archive.name, [ScannedEntry(item.remote_path, item.version) for item in items])


def _settle(file: Path) -> None:
    """Wait until the directory is quiet, and let the ticks of all streams store their names."""
    status = Layout.of(site_of(file)).raw_root(_FLAT).stat()
    time.sleep(max(0.0, max(status.st_mtime, status.st_ctime) + _QUIET - time.time()))
    for name in _STREAMS:
        _measure_local(file, name)


def _change(file: Path) -> None:
    """Change the directory: a file arrives, and is gone."""
    new = Layout.of(site_of(file)).raw_root(_FLAT) / "new"
    new.touch()
    new.unlink()


def _push(file: Path) -> str:
    site = site_of(file)
    with Records(site).ledger() as ledger:
        found = backlog.raw_push(site, _FLAT, ledger, live_days(site, _FLAT))
    return f"{len(found.days)} days: {found.why}"


def _push_after_a_change(file: Path) -> str:
    return _push(file)


def _freshness(file: Path) -> str:
    return str(_measure_local(file, _FLAT).newest_utc)


def _measure_local(file: Path, name: str) -> Freshness:
    site = site_of(file)
    store = NameStore(site.paths.state, is_writable=True)
    return measure_local(site, name, site.streams[name], datetime.now(UTC), store)


def _arrivals(file: Path) -> tuple[int, int, int]:
    """Scan the live window as the sensor does; return the files of its days, the missing and the refused ones."""
    site = site_of(file)
    stream, connections = site.streams[_FLAT], Connections.of(site)
    source = connections.source(site.hosts[stream.host], within=site.limits.look.total_seconds())
    days, root = live_days(site, _FLAT), Layout.of(site).raw_root(_FLAT)
    survey = scan(stream, source, root, days, site.limits.look)
    return sum(survey.days[day].seen for day in days), survey.missing, survey.refusals


def _status(file: Path) -> list[tuple[str, int, bool]]:
    """Run the command; return the name of each stream, its missing files, and whether it has a newest local file."""
    environment = {**os.environ, "AURORA_SITE": str(file)}
    command = [sys.executable, "-m", "aurora_cli.main", "status", "--json"]
    output = subprocess.run(command, cwd=_ROOT, env=environment, stdout=subprocess.PIPE, check=True).stdout
    streams = json.loads(output)["streams"]
    return [(stream["stream"], stream["missing"], stream["newest_here"] is not None) for stream in streams]


def _read_all(file: Path) -> int:
    """List the local files of the live window as version 0.2.0 did; return their number."""
    site = site_of(file)
    stream, root, days = site.streams[_FLAT], os.fsencode(Layout.of(site).raw_root(_FLAT)), live_days(site, _FLAT)
    directories = Directories(stream, days)
    names, classify = matching(directories.name_patterns), Classifier(stream, directories, time.time_ns())
    count, pending, skipped = 0, list[bytes](), list[re.Pattern[bytes]]()
    with os.scandir(root) as items:
        for item in items:
            path = os.path.join(b"", item.name)
            if any(pattern.match(path) for pattern in skipped):
                continue
            if item.is_dir(follow_symlinks=False):
                pending.append(path)
            if names.fullmatch(item.name) is None and not item.is_symlink():
                continue
            count += classify(ScannedEntry.of(path, item.stat(follow_symlinks=False))).day in days
    return count


def _read_names(file: Path) -> int:
    root = Layout.of(site_of(file)).raw_root(_FLAT)
    with os.scandir(root) as items:
        return sum(1 for _ in items)


def _check_counts(answers: Mapping[str, Any]) -> None:
    """Check the answers against the names that were written."""
    today, per_day = datetime.now(UTC).date(), _STREAMS[_FLAT][0]
    first = today - timedelta(days=2)
    copied = f"0 days: every file of {first} to {today} is copied"
    expected = {
        PUSH: copied,
        CHANGED: copied,
        ARRIVALS: (3 * per_day, 0, 0),
        BEFORE: 3 * per_day,
        NAMES: per_day * DAYS,
    }
    for name, answer in expected.items():
        if answers[name] != answer:
            raise WrongAnswerError(f"{name}: {answers[name]!r}, not {answer!r}")
    if not answers[FRESHNESS].startswith(str(today)) and not answers[FRESHNESS].startswith(str(today - timedelta(1))):
        raise WrongAnswerError(f"{FRESHNESS}: the newest file is of {answers[FRESHNESS]!r}")
    if sorted(answers[STATUS]) != sorted((name, 0, True) for name in _STREAMS):
        raise WrongAnswerError(f"{STATUS}: {answers[STATUS]}")
