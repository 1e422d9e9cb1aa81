"""``aurora status``: how new is the newest data of each stream, there and here? It writes nothing."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from aurora_cli.console import Waiting, console, say, show_json, show_table, waiting
from aurora_cli.context import days_from, errors_of_hosts, not_begun, read_only_connections, site_of
from aurora_platform.concurrency import run_concurrently
from aurora_platform.config.site import Site
from aurora_platform.errors import HostError
from aurora_platform.layout import Layout
from aurora_platform.mirror.checks import local_files
from aurora_platform.mirror.scan import Survey, none_matches, scan
from aurora_platform.text import counted
from aurora_platform.transport.connections import Connections

# Looks at one host at the same time: sshd has ten sessions for a connection (MaxSessions), and others may want some.
_AT_ONCE = 8
_SLACK = 2.0  # s, for who ends by itself to do so
_WIDE = 120  # columns, for a table with everything in it
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
    """One stream: times of the newest file by mtime, ages by the host's clock (ours where it was not seen)."""

    stream: str
    host: str
    state: str
    newest_there: datetime | None = None
    age_there: timedelta | None = None
    newest_here: datetime | None = None
    age_here: timedelta | None = None
    missing: int | None = None
    """Settled files of the live window that are not here, or in another version."""
    unsettled: int | None = None
    refused: int | None = None
    why: str = ""
    is_here_whole: bool = True
    """False where time was up before all files here were looked at: there may be newer ones."""


@dataclass(frozen=True)
class LocalState:
    """When the newest file that was seen here was last written, and whether all were seen in time."""

    newest: datetime | None
    is_whole: bool


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For another program.")
@click.pass_obj
def status(file: Path | None, as_json: bool) -> None:
    """Show each stream's newest data, at the source and here, and what is missing here.

    Looks at the days of the live window; writes nothing. A host that does not answer is `unknown`, with the reason.
    No look, there or here, takes longer than `limits.scan`; one that was cut says so. The exit code is 0 whatever was
    found.
    """
    site, now = site_of(file), datetime.now(UTC)
    with read_only_connections(site) as (connections, copy), waiting() as waits:
        found = _statuses(site, connections, now, lambda error: errors_of_hosts(error, site, copy), waits)
    if as_json:
        show_json({"site": site.name, "at": now, "streams": [asdict(one) for one in found]})
    else:
        _show(site, found)


def _statuses(
    site: Site, connections: Connections, now: datetime, words: Callable[[Exception], str], waits: Waiting
) -> list[StreamStatus]:
    begun = [name for name, stream in site.streams.items() if not not_begun(stream, now)]
    names = [name for name in begun if site.streams[name].enabled]
    hosts = sorted({site.streams[name].host for name in names})

    def on(host_name: str) -> dict[str, Survey | Exception]:
        connections.login(site.hosts[host_name])  # one attempt for all its streams
        ours = [name for name in names if site.streams[name].host == host_name]
        return run_concurrently({name: partial(_look, site, connections, name, now) for name in ours}, at_once=_AT_ONCE)

    bound = site.limits.look.total_seconds()
    # A disk has no bound of its own: what hangs in it is left behind.
    local = {name: partial(newest_here, site, name, now, site.limits.look) for name in begun}
    far = {host: waits.on(f"host {host}", partial(on, host)) for host in hosts}
    ends = run_concurrently(
        {
            "there": lambda: run_concurrently(far, _longest(site, len(names))),
            "here": waits.on("the disks here", lambda: run_concurrently(local, bound + _SLACK)),
        }
    )
    seen, here = (_all_of(ends[where]) for where in ("there", "here"))
    found = []
    for name, stream in site.streams.items():
        if name not in begun:
            found.append(StreamStatus(name, stream.host, "not begun", why=not_begun(stream, now)))
            continue
        end = seen[stream.host] if stream.enabled else None
        found.append(_status(site, name, end[name] if isinstance(end, dict) else end, here[name], now, words))
    return found


def _longest(site: Site, streams: int) -> float:
    """How long the looks at one host may take, in s: a login, and its streams in turns."""
    limits, turns = site.limits, -(-streams // _AT_ONCE)
    return (4 * limits.connect + 2 * turns * limits.look).total_seconds()


def _all_of(group: Any) -> dict[str, Any]:
    if isinstance(group, Exception):
        raise group
    return dict(group)


def _status(
    site: Site,
    name: str,
    survey: Survey | Exception | None,
    here: LocalState | Exception,
    now: datetime,
    words: Callable[[Exception], str],
) -> StreamStatus:
    if isinstance(here, OSError) and not isinstance(here, TimeoutError):
        why = f"{here.filename}: {here.strerror}"
        return StreamStatus(name, site.streams[name].host, "unknown", why=why, is_here_whole=False)
    newest = here.newest if isinstance(here, LocalState) else None
    if isinstance(survey, Survey):
        known = _known(site, name, survey, newest)
    else:
        known = StreamStatus(
            stream=name,
            host=site.streams[name].host,
            state="unknown" if survey else "planned offline",
            newest_here=newest,
            age_here=_since(newest, now),
            why=words(survey) if survey else "",
        )
    if isinstance(here, LocalState) and here.is_whole:
        return known
    return replace(known, is_here_whole=False, why="; ".join(filter(None, (known.why, _cut(site, name, here)))))


def _cut(site: Site, name: str, here: LocalState | Exception) -> str:
    root, bound = Layout.of(site).raw_root(name), f"{site.limits.look.total_seconds():.0f} s"
    if isinstance(here, LocalState):
        return f"not all of {root} was looked at within {bound}: newer files may be here"
    if isinstance(here, TimeoutError):
        return f"{root} gave no answer within {bound}: is it a network file system that is gone?"
    return f"{root}: {type(here).__name__}: {here}"


def _window(site: Site, name: str, now: datetime) -> list[date]:
    return days_from(site.streams[name].live_from(now), now)


def _look(site: Site, connections: Connections, name: str, now: datetime) -> Survey:
    stream, within = site.streams[name], site.limits.look
    source = connections.source(site.hosts[stream.host], within=within.total_seconds())
    survey = scan(stream, source, Layout.of(site).raw_root(name), _window(site, name, now), within)
    if not survey.is_whole:
        raise HostError(f"{stream.host}: the listing took longer than limits.look; seen: {survey.summary()}")
    return survey


def newest_here(site: Site, name: str, now: datetime, within: timedelta) -> LocalState:
    """When the newest file of a stream that is here was last written.

    Looks at the live window's directories, those of the newest day first, for ``within`` at most.
    """
    stream, newest, until = site.streams[name], None, time.monotonic() + within.total_seconds()
    is_whole = True
    for file in local_files(stream, Layout.of(site).raw_root(name), _window(site, name, now)):
        if time.monotonic() > until:
            is_whole = False
            break
        if file.is_regular and stream.includes(file.path):
            newest = max(newest or 0, file.version.mtime_ns)
    return LocalState(None if newest is None else datetime.fromtimestamp(newest // 10**9, UTC), is_whole)


def _known(site: Site, name: str, survey: Survey, here: datetime | None) -> StreamStatus:
    stream, clock = site.streams[name], datetime.fromtimestamp(survey.clock_ns // 10**9, UTC)
    missing = sum(day.missing for day in survey.behind)
    is_stale = survey.age is None or survey.age > stream.stale_after
    return StreamStatus(
        stream=name,
        host=stream.host,
        state="behind" if missing else "stale" if is_stale else "ahead" if survey.ahead else "up to date",
        newest_there=survey.newest,
        age_there=-survey.ahead if survey.ahead else _since(survey.newest, clock),
        newest_here=here,
        age_here=_since(here, clock),
        missing=missing,
        unsettled=survey.unsettled,
        refused=survey.refusals,
        why=_remark(survey, is_stale),
    )


def _remark(survey: Survey, is_stale: bool) -> str:
    remarks = []
    if survey.unmatched:
        remarks.append(none_matches(survey.unmatched))
    elif is_stale:
        remarks.append("no file there in the live window" if survey.newest is None else "nothing new there for long")
    if survey.ahead:
        remarks.append(f"the newest file there is {_age(survey.ahead)} ahead of the host's clock")
    if survey.unreadable.total:
        number = counted(survey.unreadable.total, "directory", "directories")
        remarks.append(f"{number} there not readable: {survey.unreadable.first[0]}")
    return "; ".join(remarks)


def _since(at: datetime | None, now: datetime) -> timedelta | None:
    return None if at is None else max(timedelta(0), now - at)


def _show(site: Site, found: list[StreamStatus]) -> None:
    """A table, and below it what is too long for one; what is the same of several streams of a host is said once."""
    run_concurrently: dict[tuple[str, str], list[str]] = {}
    for one in found:
        if one.state == "unknown":
            run_concurrently.setdefault((one.host, one.why), []).append(one.stream)
    shared = {key: names for key, names in run_concurrently.items() if len(names) > 1}
    title = f"{site.name}: newest data, UTC"
    if console().width >= _WIDE:
        columns = ["stream", "state", "there", "age", "here", "age", "missing", "unsettled", "refused", "remark"]
        show_table(title, columns, [_wide(one, (one.host, one.why) in shared) for one in found])
        remarks = []
    else:
        columns = ["stream", "state", "there", "age there", "age here", "missing"]
        show_table(title, columns, [_narrow(one) for one in found])
        remarks = [(one.stream, _besides(one, (one.host, one.why) in shared)) for one in found]
    for (host, why), names in shared.items():
        say(f"host {host} ({', '.join(names)}): {why}", "red")
    for name, remark in remarks:
        if remark:
            say(f"{name}: {remark}")


def _wide(one: StreamStatus, is_shared: bool) -> list[str | Text]:
    return [
        one.stream,
        _state(one),
        _time(one.newest_there, "%Y-%m-%d %H:%M:%S"),
        _age(one.age_there),
        _time(one.newest_here, "%Y-%m-%d %H:%M:%S"),
        _age(one.age_here),
        *("" if number is None else str(number) for number in (one.missing, one.unsettled, one.refused)),
        f"see host {one.host} below" if is_shared else one.why,
    ]


def _narrow(one: StreamStatus) -> list[str | Text]:
    """What 80 columns have room for."""
    missing = "" if one.missing is None else str(one.missing)
    return [
        one.stream,
        _state(one),
        _time(one.newest_there, "%m-%d %H:%M"),
        _age(one.age_there),
        _age(one.age_here),
        missing,
    ]


def _besides(one: StreamStatus, is_shared: bool) -> str:
    """What a narrow table does not show of a stream."""
    numbers = ((one.unsettled, "unsettled"), (one.refused, "refused"))
    remarks = [f"{number} {word}" for number, word in numbers if number]
    return "; ".join(remarks + ([one.why] if one.why and not is_shared else []))


def _state(one: StreamStatus) -> Text:
    return Text(one.state, _STYLE.get(one.state, "red"))


def _time(at: datetime | None, form: str) -> str:
    return "-" if at is None else at.strftime(form)


def _age(age: timedelta | None) -> str:
    """The two largest units: 3d 4h, 4h 5m, 5m 6s; with a minus for what is ahead of the clock."""
    if age is None:
        return "-"
    if age < timedelta(0):
        return f"-{_age(-age)}"
    seconds = int(age.total_seconds())
    parts = [(seconds // 86400, "d"), (seconds // 3600 % 24, "h"), (seconds // 60 % 60, "m"), (seconds % 60, "s")]
    first = next((n for n, (number, _) in enumerate(parts) if number), 3)
    return " ".join(f"{number}{unit}" for number, unit in parts[first : first + 2])
