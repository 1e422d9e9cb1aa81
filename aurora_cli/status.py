"""``aurora status``: the age of the newest file of every stream, at the source and local. It writes nothing."""

import gc
import os
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from aurora_cli.console import WaitDisplay, console, print_json, print_line, print_table, wait_display
from aurora_cli.context import (
    days_until_today,
    describe_host_error,
    describe_later_start,
    load_site_or_exit,
    read_only_connections,
)
from aurora_platform.archive.change_guard import held_files
from aurora_platform.concurrency import run_concurrently
from aurora_platform.config.site import Site
from aurora_platform.errors import HostError
from aurora_platform.layout import Layout
from aurora_platform.mirror.scan import Survey, none_matches, scan
from aurora_platform.streams.classify import Directories
from aurora_platform.text import counted
from aurora_platform.transport.connections import Connections
from aurora_platform.transport.listing import LocalSource
from aurora_platform.transport.name_store import NameStore

# Listings per host at the same time. sshd allows ten sessions per connection (MaxSessions); some are left for others.
_AT_ONCE = 8
_SLACK = 2.0  # s, for a local listing to stop by its own bound
_WIDE = 120  # columns that the full table needs
_STYLE = {
    "up to date": "green",
    "behind": "yellow",
    "stale": "yellow",
    "ahead": "yellow",
    "planned offline": "bright_black",
    "not begun": "bright_black",
}


@dataclass(frozen=True)
class StreamStatus:
    """The status of one stream, as `--json` prints it: ``there`` is the source, ``here`` the local copy.

    Times are mtimes. Ages are by the host's clock, or by ours if the host was not listed.
    """

    stream: str
    host: str
    state: str
    newest_there: datetime | None = None
    age_there: timedelta | None = None
    newest_here: datetime | None = None
    age_here: timedelta | None = None
    missing: int | None = None
    """Settled files of the live window that are not local, or differ."""
    unsettled: int | None = None
    refused: int | None = None
    why: str = ""
    is_here_whole: bool = True
    """False if the time was over before all local files were listed: there may be newer ones."""


@dataclass(frozen=True)
class LocalListing:
    """The mtime of the newest local file that was listed, and whether all were listed in time."""

    newest: datetime | None
    is_complete: bool


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for other programs.")
@click.pass_obj
def status(file: Path | None, as_json: bool) -> None:
    """Show the newest file of every stream, at the source and local, and how many files are missing.

    Lists the days of the live window (`lookback` in the site file): where the newest file is older, it shows `-`.
    Writes nothing. If a host does not answer, its streams are `unknown` and the reason is shown. Every listing ends
    after `limits.look` (site file); an incomplete one is marked. `refused` counts files that are not copied, because
    they have no date in the name, or a date in the future, or are no regular file.

    \b
    Exit codes: 0 whatever was found; 1 the site file has an error.
    Example: aurora status --json
    """
    gc.freeze()  # the garbage collector need not search all modules again for each 10,000 entries of a listing
    site, now = load_site_or_exit(file), datetime.now(UTC)
    with read_only_connections(site) as (connections, copy), wait_display() as display:
        statuses = _statuses(site, connections, now, lambda error: describe_host_error(error, site, copy), display)
    if as_json:
        print_json({"site": site.name, "at": now, "streams": [asdict(status) for status in statuses]})
    else:
        _show(site, statuses)


def _statuses(
    site: Site, connections: Connections, now: datetime, describe: Callable[[Exception], str], display: WaitDisplay
) -> list[StreamStatus]:
    begun = [name for name, stream in site.streams.items() if not describe_later_start(stream, now)]
    names = [name for name in begun if site.streams[name].enabled]
    hosts = sorted({site.streams[name].host for name in names})

    def scan_streams_of(host_name: str) -> dict[str, Survey | Exception]:
        connections.login(site.hosts[host_name])  # one attempt for all its streams
        of_host = [name for name in names if site.streams[name].host == host_name]
        return run_concurrently(
            {name: partial(_scan, site, connections, name, now) for name in of_host}, at_once=_AT_ONCE
        )

    bound = site.limits.look.total_seconds()
    # A disk has no bound of its own: a thread that hangs is left behind.
    local_jobs = {name: partial(find_newest_local, site, name, now, site.limits.look) for name in begun}
    source_jobs = {host: display.track(f"host {host}", partial(scan_streams_of, host)) for host in hosts}
    results = run_concurrently(
        {
            "source": lambda: run_concurrently(source_jobs, _max_scan_seconds(site, len(names))),
            "local": display.track("the local disks", lambda: run_concurrently(local_jobs, bound + _SLACK)),
        }
    )
    surveys, local = (_result_or_raise(results[side]) for side in ("source", "local"))
    statuses = []
    for name, stream in site.streams.items():
        if name not in begun:
            statuses.append(StreamStatus(name, stream.host, "not begun", why=describe_later_start(stream, now)))
            continue
        survey = surveys[stream.host] if stream.enabled else None
        survey = survey[name] if isinstance(survey, dict) else survey
        statuses.append(_status(site, name, survey, local[name], now, describe))
    return statuses


def _max_scan_seconds(site: Site, streams: int) -> float:
    """Return how long scans of one host may take, in s: a login, and its streams in batches."""
    limits, batches = site.limits, -(-streams // _AT_ONCE)
    return (4 * limits.connect + 2 * batches * limits.look).total_seconds()


def _result_or_raise(group: Any) -> dict[str, Any]:
    if isinstance(group, Exception):
        raise group
    return dict(group)


def _status(
    site: Site,
    name: str,
    survey: Survey | Exception | None,
    local: LocalListing | Exception,
    now: datetime,
    describe: Callable[[Exception], str],
) -> StreamStatus:
    if isinstance(local, HostError | OSError) and not isinstance(local, TimeoutError):
        return StreamStatus(name, site.streams[name].host, "unknown", why=str(local), is_here_whole=False)
    newest = local.newest if isinstance(local, LocalListing) else None
    if isinstance(survey, Survey):
        status = _status_of_survey(site, name, survey, newest)
    else:
        status = StreamStatus(
            stream=name,
            host=site.streams[name].host,
            state="unknown" if survey else "planned offline",
            newest_here=newest,
            age_here=_elapsed(newest, now),
            why=describe(survey) if survey else "",
        )
    if isinstance(local, LocalListing) and local.is_complete:
        return status
    reason = _describe_incomplete(site, name, local)
    return replace(status, is_here_whole=False, why="; ".join(filter(None, (status.why, reason))))


def _describe_incomplete(site: Site, name: str, local: LocalListing | Exception) -> str:
    root, bound = Layout.of(site).raw_root(name), f"{site.limits.look.total_seconds():.0f} s"
    if isinstance(local, LocalListing):
        return f"{root} was not listed completely within {bound}: there may be newer local files"
    if isinstance(local, TimeoutError):
        return f"{root} did not answer within {bound}: is it on a network file system that is down?"
    return f"{root}: {type(local).__name__}: {local}"


def _live_window(site: Site, name: str, now: datetime) -> list[date]:
    return days_until_today(site.streams[name].live_from(now), now)


def _scan(site: Site, connections: Connections, name: str, now: datetime) -> Survey:
    stream, within = site.streams[name], site.limits.look
    source = connections.source(site.hosts[stream.host], within=within.total_seconds())
    days, held = _live_window(site, name, now), held_files(site, name)
    survey = scan(stream, source, Layout.of(site).raw_root(name), days, within, held)
    if not survey.is_whole:
        raise HostError(f"{stream.host}: the listing took longer than limits.look; listed: {survey.summary()}")
    return survey


def find_newest_local(site: Site, name: str, now: datetime, within: timedelta) -> LocalListing:
    """Find the mtime of the newest local file of a stream.

    Lists the directories or names of the live window, for ``within`` at most.

    Raises
    ------
    HostError
        If a directory cannot be read.
    """
    stream, root, until = site.streams[name], Layout.of(site).raw_root(name), time.monotonic() + within.total_seconds()
    newest, is_complete = None, True
    if not root.is_dir():  # nothing is mirrored yet
        return LocalListing(None, is_complete)
    directories = Directories(stream, _live_window(site, name, now))
    listing = directories.list_source(LocalSource(store=NameStore(site.paths.state)), str(root))
    with closing(listing.entries):
        for entry in listing.entries:
            if time.monotonic() > until:
                is_complete = False
                break
            if entry.is_regular and stream.includes(os.fsdecode(entry.path)):
                newest = max(newest or 0, entry.version.mtime_ns)
    if listing.unreadable.total:
        raise HostError(f"{root}/{listing.unreadable.first[0]}")
    return LocalListing(None if newest is None else datetime.fromtimestamp(newest // 10**9, UTC), is_complete)


def _status_of_survey(site: Site, name: str, survey: Survey, newest_local: datetime | None) -> StreamStatus:
    stream, clock = site.streams[name], datetime.fromtimestamp(survey.clock_ns // 10**9, UTC)
    missing = sum(day.missing for day in survey.behind)
    is_stale = survey.age is None or survey.age > stream.stale_after
    return StreamStatus(
        stream=name,
        host=stream.host,
        state="behind" if missing else "stale" if is_stale else "ahead" if survey.ahead else "up to date",
        newest_there=survey.newest,
        age_there=-survey.ahead if survey.ahead else _elapsed(survey.newest, clock),
        newest_here=newest_local,
        age_here=_elapsed(newest_local, clock),
        missing=missing,
        unsettled=survey.unsettled,
        refused=survey.refusals,
        why=_describe_survey(survey, is_stale),
    )


def _describe_survey(survey: Survey, is_stale: bool) -> str:
    remarks = []
    if survey.unmatched:
        remarks.append(none_matches(survey.unmatched))
    elif is_stale:
        is_empty = survey.newest is None
        remarks.append(
            "no file at the source in the live window" if is_empty else "no new file at the source for `stale_after`"
        )
    if survey.ahead:
        remarks.append(f"the newest file at the source is {_age(survey.ahead)} ahead of the host's clock")
    if survey.unreadable.total:
        number = counted(survey.unreadable.total, "directory", "directories")
        remarks.append(f"{number} at the source not readable: {survey.unreadable.first[0]}")
    return "; ".join(remarks)


def _elapsed(at: datetime | None, now: datetime) -> timedelta | None:
    return None if at is None else max(timedelta(0), now - at)


def _show(site: Site, statuses: list[StreamStatus]) -> None:
    """Print a table, and long texts below it; an error that several streams of a host share is printed once."""
    streams_by_error: dict[tuple[str, str], list[str]] = {}
    for status in statuses:
        if status.state == "unknown":
            streams_by_error.setdefault((status.host, status.why), []).append(status.stream)
    shared = {key: names for key, names in streams_by_error.items() if len(names) > 1}
    title = f"{site.name}: newest file of every stream (UTC)"
    if console().width >= _WIDE:
        columns = ["stream", "state", "at source", "age", "local", "age", "missing", "unsettled", "refused", "remark"]
        print_table(title, columns, [_wide_row(status, (status.host, status.why) in shared) for status in statuses])
        remarks = []
    else:
        columns = ["stream", "state", "at source", "source age", "local age", "missing"]
        print_table(title, columns, [_narrow_row(status) for status in statuses])
        remarks = [(status.stream, _describe_rest(status, (status.host, status.why) in shared)) for status in statuses]
    for (host, why), names in shared.items():
        print_line(f"host {host} ({', '.join(names)}): {why}", "red")
    for name, remark in remarks:
        if remark:
            print_line(f"{name}: {remark}")


def _wide_row(status: StreamStatus, is_shared: bool) -> list[str | Text]:
    return [
        status.stream,
        _state(status),
        _time(status.newest_there, "%Y-%m-%d %H:%M:%S"),
        _age(status.age_there),
        _time(status.newest_here, "%Y-%m-%d %H:%M:%S"),
        _age(status.age_here),
        *("" if number is None else str(number) for number in (status.missing, status.unsettled, status.refused)),
        f"see host {status.host} below" if is_shared else status.why,
    ]


def _narrow_row(status: StreamStatus) -> list[str | Text]:
    """Return the cells that fit into 80 columns."""
    missing = "" if status.missing is None else str(status.missing)
    return [
        status.stream,
        _state(status),
        _time(status.newest_there, "%m-%d %H:%M"),
        _age(status.age_there),
        _age(status.age_here),
        missing,
    ]


def _describe_rest(status: StreamStatus, is_shared: bool) -> str:
    """Describe what the narrow table does not show of a stream."""
    numbers = ((status.unsettled, "unsettled"), (status.refused, "refused"))
    remarks = [f"{number} {label}" for number, label in numbers if number]
    return "; ".join(remarks + ([status.why] if status.why and not is_shared else []))


def _state(status: StreamStatus) -> Text:
    return Text(status.state, _STYLE.get(status.state, "red"))


def _time(at: datetime | None, form: str) -> str:
    return "-" if at is None else at.strftime(form)


def _age(age: timedelta | None) -> str:
    """Write an age in its two largest units: 3d 4h, 4h 5m, 5m 6s; negative if ahead of the clock."""
    if age is None:
        return "-"
    if age < timedelta(0):
        return f"-{_age(-age)}"
    seconds = int(age.total_seconds())
    parts = [(seconds // 86400, "d"), (seconds // 3600 % 24, "h"), (seconds // 60 % 60, "m"), (seconds % 60, "s")]
    first = next((n for n, (number, _) in enumerate(parts) if number), 3)
    return " ".join(f"{number}{unit}" for number, unit in parts[first : first + 2])
