"""``aurora status``: how new is the newest data of each stream, there and here? It writes nothing."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path

import click
from rich.text import Text

from aurora_assets.errors import HostError
from aurora_assets.mirror.survey import Survey, look
from aurora_assets.mirror.verify import local_files
from aurora_assets.site import Site, SshHost
from cli.console import printable, show_json, show_table
from cli.reaching import days_from, in_their_words, looking_only, site_of
from cli.together import together
from resources.outside import Outside

# Looks at one host at the same time: sshd has ten sessions for a connection (MaxSessions), and others may want some.
_AT_ONCE = 8
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


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For another program.")
@click.pass_obj
def status(file: Path | None, as_json: bool) -> None:
    """Show each stream's newest data, at the source and here, and what is missing here.

    Looks at the days of the live window; writes nothing. A host that does not answer is `unknown`, with the reason.
    The exit code is 0 whatever was found.
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

    seen = together({host: partial(on, host) for host in hosts})
    found = []
    for name, stream in site.streams.items():
        end = seen[stream.host] if stream.enabled else None
        survey = end[name] if isinstance(end, dict) else end
        try:
            found.append(_status(site, name, survey, now, words))
        except OSError as error:  # of the directory here
            found.append(StreamStatus(name, stream.host, "unknown", why=f"{error.filename}: {error.strerror}"))
    return found


def _status(
    site: Site, name: str, survey: Survey | Exception | None, now: datetime, words: Callable[[Exception], str]
) -> StreamStatus:
    if isinstance(survey, Survey):
        return _known(site, name, survey)
    here, state = newest_here(site, name, now), "unknown" if survey else "planned offline"
    return StreamStatus(
        stream=name,
        host=site.streams[name].host,
        state=state,
        newest_here=here,
        age_here=_since(here, now),
        why=words(survey) if survey else "",
    )


def _window(site: Site, name: str, now: datetime) -> list[date]:
    return days_from(site.streams[name].live_from(now), now)


def _look(site: Site, outside: Outside, name: str, now: datetime) -> Survey:
    stream, within = site.streams[name], site.limits.look
    source = outside.ssh.source(site.hosts[stream.host], within=within.total_seconds())
    survey = look(stream, source, site.raw_root(name), _window(site, name, now), within)
    if not survey.is_whole:
        raise HostError(f"{stream.host}: the listing took longer than limits.look; seen: {survey.summary()}")
    return survey


def newest_here(site: Site, name: str, now: datetime) -> datetime | None:
    """When the newest file of a stream that is here was last written, looking at the live window's directories."""
    stream = site.streams[name]
    files = local_files(stream, site.raw_root(name), _window(site, name, now))
    newest = max((file.mtime_ns for file in files if file.is_regular and stream.includes(file.path)), default=None)
    return None if newest is None else datetime.fromtimestamp(newest // 10**9, UTC)


def _known(site: Site, name: str, survey: Survey) -> StreamStatus:
    stream, clock = site.streams[name], datetime.fromtimestamp(survey.clock_ns // 10**9, UTC)
    here, missing = newest_here(site, name, clock), sum(day.missing for day in survey.behind)
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
