"""``aurora sync``: the pass that the asset ``raw/<stream>`` makes, from a shell.

It takes the same locks as a run of Dagster, so both may work at the same time. But it makes no products and leaves no
record in Dagster, and no sensor asks for a run for files that are here already: whoever wants those is told what to do.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import cast

import click

from aurora_cli.console import Waiting, say, show_table, waiting
from aurora_cli.context import begin_to_write, days_from, errors_of_hosts, message_of, read_only_connections, site_of
from aurora_cli.progress_bars import Bars
from aurora_platform.concurrency import run_concurrently
from aurora_platform.config.site import Site
from aurora_platform.layout import WXCAM, Layout
from aurora_platform.mirror.plan import describe_refused
from aurora_platform.mirror.reports import DayReport, MirrorReport
from aurora_platform.mirror.scan import DaySurvey, Survey, none_matches, scan
from aurora_platform.mirror.sync import mirror_days
from aurora_platform.text import Count, counted
from aurora_platform.transport.connections import Connections
from aurora_platform.transport.protocols import Transfer

ALL = "all"
_LOG = logging.getLogger("aurora.sync")
_WITH_PRODUCTS = WXCAM
_NAMES = 3  # of files to fetch that a dry run shows for each day


@dataclass(frozen=True)
class _Work:
    """What is to be done: the days of each stream, and how its host is reached."""

    site: Site
    connections: Connections
    days: Mapping[str, Sequence[date]]
    log: Callable[[Exception], str] = message_of
    bars: Bars = field(default_factory=Bars)
    waiting: Waiting = field(default_factory=Waiting)

    def each[Result](self, do: Callable[[str], Result]) -> dict[str, Result | Exception]:
        """Do something for each stream: hosts at the same time, the streams of one host after each other.

        A host is logged in to once, and one that does not answer costs its bound once.
        """
        hosts = {self.site.streams[name].host for name in self.days}
        found = run_concurrently(
            {host: self.waiting.on(f"host {host}", partial(self._on, host, do)) for host in sorted(hosts)}
        )
        ends: dict[str, Result | Exception] = {}
        for name in self.days:
            end = found[self.site.streams[name].host]
            ends[name] = end if isinstance(end, Exception) else end[name]
        return ends

    def _on[Result](self, host_name: str, do: Callable[[str], Result]) -> dict[str, Result | Exception]:
        host = self.site.hosts[host_name]
        if host.where:
            with self.bars.waiting(f"host {host_name} ({host.where})"):
                self.connections.login(host)
        names = [name for name in self.days if self.site.streams[name].host == host_name]
        ends: dict[str, Result | Exception] = {}
        for name in names:
            try:
                ends[name] = do(name)
            except Exception as error:  # the edge that records and goes on
                ends[name] = error
        return ends

    def scan(self, name: str) -> Survey:
        """What would be fetched."""
        stream = self.site.streams[name]
        source = self.connections.source(self.site.hosts[stream.host])
        return scan(stream, source, Layout.of(self.site).raw_root(name), self.days[name])

    def mirror(self, name: str) -> MirrorReport:
        """What the asset does."""
        site, stream = self.site, self.site.streams[name]
        host = site.hosts[stream.host]
        transfer: Transfer = self.connections.transfer(host, _LOG, basis=Layout.of(site).raw_root(name))
        with ExitStack() as stack:
            if self.bars.are_shown:
                bar = stack.enter_context(self.bars.of(name))
                bar.expect(sum(day.missing_bytes for day in self.scan(name).behind))
                transfer = bar.watch(transfer)
            return mirror_days(
                name,
                stream,
                self.days[name],
                source=self.connections.source(host),
                transfer=transfer,
                raw=site.paths.raw,
                locks=Layout.of(site).locks,
                wait=site.limits.lock,
                keep_free=site.limits.keep_free,
                live_from=stream.live_from(datetime.now(UTC)),
                source_days=Layout.of(site).days_at_source(name),
            )


def _a_day(_ctx: click.Context, _param: click.Parameter, value: str | None) -> date | None:
    try:
        return None if value is None else datetime.strptime(value, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a day; write YYYY-MM-DD") from None


@click.command()
@click.argument("stream", required=False)
@click.option("--day", callback=_a_day, metavar="YYYY-MM-DD", help="This UTC day alone.")
@click.option("--since", callback=_a_day, metavar="YYYY-MM-DD", help="All days from this one on.")
@click.option("--dry-run", "-n", is_flag=True, help="Say what would be fetched, and write nothing.")
@click.pass_obj
def sync(file: Path | None, stream: str | None, day: date | None, since: date | None, dry_run: bool) -> None:
    """Bring the files of STREAM here, as the asset raw/STREAM does; `all` is every enabled stream.

    Without --day or --since these are the days of the live window (`lookback` in the site file). Nothing is ever
    deleted here, and running it again is always safe. Exit code 1: something failed; the others are done all the same.

    Products are not made: a sensor asks for no run for files that are here already. For these, materialize the days.
    """
    site, now = site_of(file), datetime.now(UTC)
    if stream is None:
        raise click.UsageError(f"which STREAM? {site.name} has {', '.join(site.streams)}; or {ALL}")
    days = _days(site, stream, day, since, now)
    for remark in _begins(site, stream, days, since, now):
        say(remark, "yellow", to_stderr=True)
    if stream != ALL and not site.streams[stream].enabled:
        say(f"{stream} is planned offline (enabled: false in the site file); trying all the same", "yellow")
    if dry_run:
        with read_only_connections(site) as (connections, copy):
            with waiting() as waits:
                work = _Work(site, connections, days, lambda error: errors_of_hosts(error, site, copy), waiting=waits)
                surveys = work.each(work.scan)
            _show_ends(surveys, _show_survey)
            _show_total(list(surveys.values()))
            _end(surveys, work.log)
    else:
        begin_to_write(site)
        with Bars.on_a_terminal() as bars:
            work = _Work(site, Connections.of(site), days, bars=bars)
            reports = work.each(work.mirror)
        _show_ends(reports, _show_report)
        _end(reports, work.log)


def _days(site: Site, stream: str, day: date | None, since: date | None, now: datetime) -> dict[str, list[date]]:
    """The days that are asked for, of each stream."""
    if day and since:
        raise click.UsageError("--day is one day, --since all from that one on: give one of them")
    if (asked := day or since) and asked > now.date():
        raise click.UsageError(f"{asked} has not begun yet; today is {now.date()} (UTC)")
    if stream != ALL and stream not in site.streams:
        raise click.UsageError(f"{stream!r} is no stream of {site.name}: {', '.join(site.streams)}, or {ALL}")
    names = _names(site, stream)
    if not names:
        raise click.UsageError("every stream of the site file is planned offline (enabled: false)")
    chosen = {}
    for name in names:
        start = site.streams[name].start
        first = max(start, day or since or site.streams[name].live_from(now))
        days = [first] if day else days_from(first, now)
        if days and (day is None or day >= start):
            chosen[name] = days
        elif stream != ALL:
            raise click.UsageError(f"{name} begins on {start} (start in the site file); {day or now.date()} is before")
    if not chosen:
        raise click.UsageError(f"no stream has begun by {day or now.date()} (start in the site file)")
    return chosen


def _names(site: Site, stream: str) -> list[str]:
    return [stream] if stream != ALL else [name for name, one in site.streams.items() if one.enabled]


def _begins(
    site: Site, stream: str, days: Mapping[str, Sequence[date]], since: date | None, now: datetime
) -> Iterator[str]:
    """What of the days that were asked for is before a stream's begin, and so is not done."""
    starts = {name: site.streams[name].start for name in _names(site, stream)}
    if out := [f"{name} ({start})" for name, start in starts.items() if name not in days]:
        yield f"left out, because they begin later (start in the site file): {', '.join(out)}"
    if late := [f"{name} ({starts[name]})" for name in days if since and since < starts[name]]:
        yield f"looked at from their begin on, which is after {since} (start in the site file): {', '.join(late)}"


def _show_ends[Result](ends: Mapping[str, Result | Exception], show: Callable[[str, Result], None]) -> None:
    for name, end in ends.items():
        if not isinstance(end, Exception):
            show(name, end)


def _end[Result](ends: Mapping[str, Result | Exception], log: Callable[[Exception], str]) -> None:
    """Say what failed, and end with 1 where something did."""
    failed = {name: end for name, end in ends.items() if isinstance(end, Exception)}
    for name, error in failed.items():
        say(f"{name}: FAILED: {log(error)}", "red", to_stderr=True)
    if failed:
        if len(ends) > 1:
            say(f"{len(failed)} of {len(ends)} streams failed: {', '.join(failed)}", "red", to_stderr=True)
        raise click.exceptions.Exit(1)


def _show_report(name: str, report: MirrorReport) -> None:
    say(f"{name}: {report.summary()}")
    if name == _WITH_PRODUCTS and (copied := [day.day for day in report.days if day.copied]):
        days = str(copied[0]) if len(copied) == 1 else f"{len(copied)} days, {min(copied)} to {max(copied)}"
        say(f"  no run starts for these: for their products, materialize {name}_day for {days}", "dim")
    _show_unmatched(report.unmatched)
    _show_refused(name, report.days, report.unreadable)
    for line in report.complaints:
        say(f"  {line}", "yellow")


def _show_survey(name: str, survey: Survey) -> None:
    days = sorted((cast(DaySurvey, day) for day in survey.days.values()), key=lambda day: day.day)
    behind = [day for day in days if day.missing]
    said = f"{name}: would fetch {_amount(days)} (dry run)"
    if behind:
        total = [f"{counted(len(days), 'day')} looked at", *_numbers(days), ""]
        show_table(
            said,
            ["day", "to fetch", "bytes", "here already", "unsettled", "refused", "first to fetch"],
            [*([str(day.day), *_numbers([day]), _first(day)] for day in behind), *([total] if len(days) > 1 else [])],
        )
    else:
        _, _, present, unsettled, refused = _numbers(days)
        say(
            f"{said}; {counted(len(days), 'day')} looked at: {present} here already, {unsettled} unsettled, "
            f"{refused} refused"
        )
    _show_unmatched(survey.unmatched)
    _show_refused(name, days, survey.unreadable)
    if survey.refused.total:
        say(f"  refused {survey.refused.total}, of no day: {', '.join(survey.refused.first)}", "yellow")


def _show_total(surveys: Sequence[Survey | Exception]) -> None:
    seen = [survey for survey in surveys if isinstance(survey, Survey)]
    if len(seen) > 1:
        days = [cast(DaySurvey, day) for survey in seen for day in survey.days.values()]
        say(f"{len(seen)} streams: would fetch {_amount(days)} (dry run)")


def _numbers(days: Sequence[DaySurvey]) -> list[str]:
    numbers = ((day.missing, day.missing_bytes, day.present, day.unsettled.total, day.refused_count) for day in days)
    return [str(sum(column)) for column in zip(*numbers, strict=True)]


def _amount(days: Sequence[DaySurvey]) -> str:
    files, size = sum(day.missing for day in days), sum(day.missing_bytes for day in days)
    return f"{counted(files, 'file')}, {counted(size, 'byte')}"


def _first(day: DaySurvey) -> str:
    return ", ".join(day.first_missing[:_NAMES]) + (", ..." if day.missing > _NAMES else "")


def _show_unmatched(unmatched: int) -> None:
    if unmatched:
        say(f"  {none_matches(unmatched)}", "yellow")


def _show_refused(name: str, days: Sequence[DayReport] | Sequence[DaySurvey], unreadable: Count) -> None:
    for day in days:
        for reason, count, first in describe_refused(day.refused):
            say(f"  {day.day}: refused {count}: {reason}: {first}", "yellow")
    if unreadable.total:
        number = counted(unreadable.total, "directory", "directories")
        say(f"  {number} of {name} not readable: {', '.join(unreadable.first)}", "yellow")
