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

from aurora_assets.errors import HostError
from aurora_assets.hosts import SshHost
from aurora_assets.mirror.survey import Survey, look
from aurora_assets.mirror.verify import local_files
from aurora_assets.site import Site
from cli.console import printable, show_json, show_table
from cli.reaching import days_from, in_their_words, looking_only, site_of
from cli.together import together
from resources.outside import Outside

# Looks at one host at the same time: sshd has ten sessions for a connection (MaxSessions), and others may want some.
_AT_ONCE = 8
_SLACK = 2.0  # s, for who ends by itself to do so
_STYLE = {"up to date": "green", "behind": "yellow", "stale": "yellow", "planned offline": "bright_black"}


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
class Here:
    """When the newest file that was seen here was last written, and whether all were seen in time."""

    newest: datetime | None
    is_whole: bool


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For another program.")
@click.pass_obj
def status(file: Path | None, as_json: bool) -> None:
    """Show each stream's newest data, at the source and here, and what is missing here.

    Looks at the days of the live window; writes nothing. A host that does not answer is `unknown`, with the reason.
    No look, there or here, takes longer than `limits.look`; one that was cut says so. The exit code is 0 whatever was
    found.
    """
    site, now = site_of(file), datetime.now(UTC)
    with looking_only(site) as (outside, copy):
        found = _statuses(site, outside, now, lambda error: in_their_words(error, site, copy))
    if as_json:
        show_json({"site": site.name, "at": now, "streams": [asdict(one) for one in found]})
    else:
        _show(site, found)


def _statuses(site: Site, outside: Outside, now: datetime, words: Callable[[Exception], str]) -> list[StreamStatus]:
    names = [name for name, stream in site.streams.items() if stream.enabled]
    hosts = sorted({site.streams[name].host for name in names})

    def on(host_name: str) -> dict[str, Survey | Exception]:
        host = site.hosts[host_name]
        if isinstance(host, SshHost):
            outside.ssh.session(host)  # one attempt for all its streams
        ours = [name for name in names if site.streams[name].host == host_name]
        return together({name: partial(_look, site, outside, name, now) for name in ours}, at_once=_AT_ONCE)

    bound = site.limits.look.total_seconds()
    # A disk has no bound of its own: what hangs in it is left behind.
    local = {name: partial(newest_here, site, name, now, site.limits.look) for name in site.streams}
    ends = together(
        {
            "there": lambda: together({host: partial(on, host) for host in hosts}, _longest(site, len(names))),
            "here": lambda: together(local, bound + _SLACK),
        }
    )
    seen, here = (_all_of(ends[where]) for where in ("there", "here"))
    found = []
    for name, stream in site.streams.items():
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
    here: Here | Exception,
    now: datetime,
    words: Callable[[Exception], str],
) -> StreamStatus:
    if isinstance(here, OSError) and not isinstance(here, TimeoutError):
        why = f"{here.filename}: {here.strerror}"
        return StreamStatus(name, site.streams[name].host, "unknown", why=why, is_here_whole=False)
    newest = here.newest if isinstance(here, Here) else None
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
    if isinstance(here, Here) and here.is_whole:
        return known
    return replace(known, is_here_whole=False, why="; ".join(filter(None, (known.why, _cut(site, name, here)))))


def _cut(site: Site, name: str, here: Here | Exception) -> str:
    root, bound = site.raw_root(name), f"{site.limits.look.total_seconds():.0f} s"
    if isinstance(here, Here):
        return f"not all of {root} was looked at within {bound}: newer files may be here"
    if isinstance(here, TimeoutError):
        return f"{root} gave no answer within {bound}: is it a network file system that is gone?"
    return f"{root}: {type(here).__name__}: {here}"


def _window(site: Site, name: str, now: datetime) -> list[date]:
    return days_from(site.streams[name].live_from(now), now)


def _look(site: Site, outside: Outside, name: str, now: datetime) -> Survey:
    stream, within = site.streams[name], site.limits.look
    source = outside.ssh.source(site.hosts[stream.host], within=within.total_seconds())
    survey = look(stream, source, site.raw_root(name), _window(site, name, now), within)
    if not survey.is_whole:
        raise HostError(f"{stream.host}: the listing took longer than limits.look; seen: {survey.summary()}")
    return survey


def newest_here(site: Site, name: str, now: datetime, within: timedelta) -> Here:
    """When the newest file of a stream that is here was last written.

    Looks at the live window's directories, those of the newest day first, for ``within`` at most.
    """
    stream, newest, until = site.streams[name], None, time.monotonic() + within.total_seconds()
    is_whole = True
    for file in local_files(stream, site.raw_root(name), _window(site, name, now)):
        if time.monotonic() > until:
            is_whole = False
            break
        if file.is_regular and stream.includes(file.path):
            newest = max(newest or 0, file.mtime_ns)
    return Here(None if newest is None else datetime.fromtimestamp(newest // 10**9, UTC), is_whole)


def _known(site: Site, name: str, survey: Survey, here: datetime | None) -> StreamStatus:
    stream, clock = site.streams[name], datetime.fromtimestamp(survey.clock_ns // 10**9, UTC)
    missing = sum(day.missing for day in survey.behind)
    is_stale = survey.age is None or survey.age > stream.stale_after
    return StreamStatus(
        stream=name,
        host=stream.host,
        state="behind" if missing else "stale" if is_stale else "up to date",
        newest_there=survey.newest,
        age_there=_since(survey.newest, clock),
        newest_here=here,
        age_here=_since(here, clock),
        missing=missing,
        unsettled=survey.unsettled,
        refused=survey.refusals,
        why=_remark(survey, is_stale),
    )


def _remark(survey: Survey, is_stale: bool) -> str:
    remarks = []
    if is_stale:
        remarks.append("no file there in the live window" if survey.newest is None else "nothing new there for long")
    if survey.unreadable.count:
        remarks.append(f"{survey.unreadable.count} directories there not readable: {survey.unreadable.first[0]}")
    return "; ".join(remarks)


def _since(at: datetime | None, now: datetime) -> timedelta | None:
    return None if at is None else max(timedelta(0), now - at)


def _show(site: Site, found: list[StreamStatus]) -> None:
    show_table(
        f"{site.name}: newest data, UTC",
        ["stream", "state", "there", "age", "here", "age", "missing", "still written", "refused", "remark"],
        [
            [
                one.stream,
                Text(one.state, _STYLE.get(one.state, "red")),
                _time(one.newest_there),
                _age(one.age_there),
                _time(one.newest_here),
                _age(one.age_here),
                *("" if number is None else str(number) for number in (one.missing, one.unsettled, one.refused)),
                printable(one.why),
            ]
            for one in found
        ],
    )


def _time(at: datetime | None) -> str:
    return "-" if at is None else f"{at:%Y-%m-%d %H:%M:%S}"


def _age(age: timedelta | None) -> str:
    """The two largest units: 3d 4h, 4h 5m, 5m 6s."""
    if age is None:
        return "-"
    seconds = int(age.total_seconds())
    parts = [(seconds // 86400, "d"), (seconds // 3600 % 24, "h"), (seconds // 60 % 60, "m"), (seconds % 60, "s")]
    first = next((n for n, (number, _) in enumerate(parts) if number), 3)
    return " ".join(f"{number}{unit}" for number, unit in parts[first : first + 2])
