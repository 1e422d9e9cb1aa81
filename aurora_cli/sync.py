"""``aurora sync``: copy the files of streams from their hosts, as the asset ``raw/<stream>`` does.

It takes the same locks as a run of Dagster, so both may work at the same time. But it makes no products and leaves no
record in Dagster, and no sensor starts a run for files that are local already: the output names the job to materialize.
"""

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import cast

import click

from aurora_cli.console import WaitDisplay, print_line, print_table, wait_display
from aurora_cli.context import (
    days_until_today,
    describe_error,
    describe_host_error,
    load_site_or_exit,
    open_state_or_exit,
    read_only_connections,
)
from aurora_cli.progress_bars import ProgressBars
from aurora_platform.archive.change_guard import guard_of, held_files
from aurora_platform.concurrency import run_concurrently
from aurora_platform.config.site import Site
from aurora_platform.layout import WXCAM, Layout
from aurora_platform.mirror.plan import describe_refused
from aurora_platform.mirror.reports import DayReport, MirrorReport
from aurora_platform.mirror.scan import DaySurvey, Survey, none_matches, scan
from aurora_platform.mirror.sync import mirror_days
from aurora_platform.operations import grounds
from aurora_platform.text import Count, counted
from aurora_platform.transport.connections import Connections
from aurora_platform.transport.protocols import Transfer

ALL = "all"
_LOG = logging.getLogger("aurora.sync")
_WITH_PRODUCTS = WXCAM
_MOST_NAMES = 3  # names of files to fetch that a dry run shows per day


@dataclass(frozen=True)
class _SyncPlan:
    """The days of every stream to sync, and the connections to the hosts."""

    site: Site
    connections: Connections
    days: Mapping[str, Sequence[date]]
    describe: Callable[[Exception], str] = describe_error
    bars: ProgressBars = field(default_factory=ProgressBars)
    display: WaitDisplay = field(default_factory=WaitDisplay)

    def for_each_stream[Result](self, action: Callable[[str], Result]) -> dict[str, Result | Exception]:
        """Call ``action`` for every stream: hosts at the same time, the streams of a host one after another.

        Each host is logged in to once, so a host that does not answer costs its bound once.
        """
        hosts = {self.site.streams[name].host for name in self.days}
        by_host = run_concurrently(
            {host: self.display.track(f"host {host}", partial(self._run_on, host, action)) for host in sorted(hosts)}
        )
        results: dict[str, Result | Exception] = {}
        for name in self.days:
            result = by_host[self.site.streams[name].host]
            results[name] = result if isinstance(result, Exception) else result[name]
        return results

    def _run_on[Result](self, host_name: str, action: Callable[[str], Result]) -> dict[str, Result | Exception]:
        host = self.site.hosts[host_name]
        if host.address_and_port:
            with self.bars.show_waiting(f"host {host_name} ({host.address_and_port})"):
                self.connections.login(host)
        names = [name for name in self.days if self.site.streams[name].host == host_name]
        results: dict[str, Result | Exception] = {}
        for name in names:
            try:
                results[name] = action(name)
            except Exception as error:  # the edge that records and goes on
                results[name] = error
        return results

    def scan(self, name: str) -> Survey:
        """Scan a stream: which files would be fetched?"""
        stream = self.site.streams[name]
        source = self.connections.source(self.site.hosts[stream.host])
        held = held_files(self.site, name)
        return scan(stream, source, Layout.of(self.site).raw_root(name), self.days[name], held=held)

    def mirror(self, name: str) -> MirrorReport:
        """Copy the files of a stream, as its asset does."""
        site, stream = self.site, self.site.streams[name]
        host = site.hosts[stream.host]
        transfer: Transfer = self.connections.transfer(host, _LOG, basis=Layout.of(site).raw_root(name))
        with ExitStack() as stack:
            if self.bars.are_enabled:
                bar = stack.enter_context(self.bars.show_bar(name))
                bar.set_total(sum(day.missing_bytes for day in self.scan(name).behind))
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
                reserve=site.limits.reserve,
                live_from=stream.live_from(datetime.now(UTC)),
                source_days=Layout.of(site).days_at_source(name),
                guard=guard_of(site, name),
                sync_lock=Layout.of(site).sync_lock(name),
            )


def _parse_day(_ctx: click.Context, _param: click.Parameter, value: str | None) -> date | None:
    try:
        return None if value is None else datetime.strptime(value, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a day; write YYYY-MM-DD") from None


@click.command()
@click.argument("stream", required=False)
@click.option("--day", callback=_parse_day, metavar="YYYY-MM-DD", help="Copy this UTC day only.")
@click.option("--since", callback=_parse_day, metavar="YYYY-MM-DD", help="Copy all UTC days from this one to today.")
@click.option("--dry-run", "-n", is_flag=True, help="Show what would be fetched; write nothing.")
@click.pass_obj
def sync(file: Path | None, stream: str | None, day: date | None, since: date | None, dry_run: bool) -> None:
    """Copy missing and changed files of STREAM from its host.

    `all` stands for every enabled stream. Without --day or --since it copies the days of the live window (`lookback` in
    the site file). Does the same as the asset raw/STREAM. Writes below `paths.raw` and `paths.state`; deletes nothing.
    It is safe to run it again, and while Dagster works.

    It makes no products, and no sensor starts a run for files that are local already: materialize their days.

    \b
    Exit codes: 0 done; 1 a stream failed (the others are copied) or an error;
    2 a wrong argument.
    Example: aurora sync all --since 2026-08-01 --dry-run
    """
    site, now = load_site_or_exit(file), datetime.now(UTC)
    if stream is None:
        raise click.UsageError(f"missing STREAM: choose one of {', '.join(site.streams)}, or {ALL}")
    days = _days(site, stream, day, since, now)
    for remark in _skipped_days(site, stream, days, since, now):
        print_line(remark, "yellow", to_stderr=True)
    if stream != ALL and not site.streams[stream].enabled:
        print_line(f"{stream} is planned offline (enabled: false in the site file); trying anyway", "yellow")
    if dry_run:
        with read_only_connections(site) as (connections, copy):
            with wait_display() as display:
                plan = _SyncPlan(
                    site, connections, days, lambda error: describe_host_error(error, site, copy), display=display
                )
                surveys = plan.for_each_stream(plan.scan)
            _show_results(surveys, _show_survey)
            _show_total(list(surveys.values()))
            _exit_if_failed(surveys, plan.describe)
    else:
        open_state_or_exit(site)
        grounds.learn(site, "raw", "state", *(f"raw of {name}" for name in days))
        with ProgressBars.on_terminal() as bars:
            plan = _SyncPlan(site, Connections.of(site), days, bars=bars)
            reports = plan.for_each_stream(plan.mirror)
        _show_results(reports, _show_report)
        _exit_if_failed(reports, plan.describe)


def _days(site: Site, stream: str, day: date | None, since: date | None, now: datetime) -> dict[str, list[date]]:
    """Return the days to sync of every stream."""
    if day and since:
        raise click.UsageError("use --day (one day) or --since (all days from that day), not both")
    if (wanted := day or since) and wanted > now.date():
        raise click.UsageError(f"{wanted} is in the future; today is {now.date()} (UTC)")
    if stream != ALL and stream not in site.streams:
        raise click.UsageError(
            f"{stream!r} is not a stream of {site.name}; choose one of {', '.join(site.streams)}, or {ALL}"
        )
    names = _stream_names(site, stream)
    if not names:
        raise click.UsageError("every stream of the site file is planned offline (enabled: false)")
    days_by_stream = {}
    for name in names:
        start = site.streams[name].start
        first = max(start, day or since or site.streams[name].live_from(now))
        days = [first] if day else days_until_today(first, now)
        if days and (day is None or day >= start):
            days_by_stream[name] = days
        elif stream != ALL:
            raise click.UsageError(f"{name} begins on {start} (start in the site file); {day or now.date()} is earlier")
    if not days_by_stream:
        raise click.UsageError(f"no stream has begun by {day or now.date()} (start in the site file)")
    return days_by_stream


def _stream_names(site: Site, stream: str) -> list[str]:
    return [stream] if stream != ALL else [name for name, settings in site.streams.items() if settings.enabled]


def _skipped_days(
    site: Site, stream: str, days: Mapping[str, Sequence[date]], since: date | None, now: datetime
) -> Iterator[str]:
    """Yield a line for days that are skipped because a stream begins later."""
    starts = {name: site.streams[name].start for name in _stream_names(site, stream)}
    if skipped := [f"{name} ({start})" for name, start in starts.items() if name not in days]:
        yield f"skipped, because they begin later (start in the site file): {', '.join(skipped)}"
    if shortened := [f"{name} ({starts[name]})" for name in days if since and since < starts[name]]:
        yield f"copied from their first day, which is after {since} (start in the site file): {', '.join(shortened)}"


def _show_results[Result](results: Mapping[str, Result | Exception], show: Callable[[str, Result], None]) -> None:
    for name, result in results.items():
        if not isinstance(result, Exception):
            show(name, result)


def _exit_if_failed[Result](results: Mapping[str, Result | Exception], describe: Callable[[Exception], str]) -> None:
    """Print which streams failed, and exit with 1 if there are any."""
    failed = {name: result for name, result in results.items() if isinstance(result, Exception)}
    for name, error in failed.items():
        print_line(f"{name}: FAILED: {describe(error)}", "red", to_stderr=True)
    if failed:
        if len(results) > 1:
            print_line(f"{len(failed)} of {len(results)} streams failed: {', '.join(failed)}", "red", to_stderr=True)
        raise click.exceptions.Exit(1)


def _show_report(name: str, report: MirrorReport) -> None:
    print_line(f"{name}: {report.summary()}")
    if name == _WITH_PRODUCTS and (copied := [day.day for day in report.days if day.copied]):
        days = str(copied[0]) if len(copied) == 1 else f"{len(copied)} days, {min(copied)} to {max(copied)}"
        print_line(
            f"  no run starts for these files. To make their products: job {name}_day for {days}, in the UI, or", "dim"
        )
        tags = json.dumps({"dagster/partition": str(copied[0])})
        print_line(f"  dagster job execute -m aurora_assets.definitions -j {name}_day --tags '{tags}'", "dim")
    _show_unmatched(report.unmatched)
    _show_refused(name, report.days, report.unreadable)
    for line in report.messages:
        print_line(f"  {line}", "yellow")


def _show_survey(name: str, survey: Survey) -> None:
    days = sorted((cast(DaySurvey, day) for day in survey.days.values()), key=lambda day: day.day)
    behind = [day for day in days if day.missing]
    summary = f"{name}: would fetch {_amount(days)} (dry run)"
    if behind:
        total = [f"{counted(len(days), 'day')} listed", *_numbers(days), ""]
        print_table(
            summary,
            ["day (UTC)", "to fetch", "bytes", "present", "unsettled", "refused", "first files to fetch"],
            [*([str(day.day), *_numbers([day]), _first(day)] for day in behind), *([total] if len(days) > 1 else [])],
        )
    else:
        _, _, present, unsettled, refused = _numbers(days)
        print_line(
            f"{summary}; {counted(len(days), 'day')} listed: {present} present, {unsettled} unsettled, "
            f"{refused} refused"
        )
    _show_unmatched(survey.unmatched)
    _show_refused(name, days, survey.unreadable)
    if survey.refused.total:
        print_line(f"  refused {survey.refused.total} without a day: {', '.join(survey.refused.first)}", "yellow")


def _show_total(surveys: Sequence[Survey | Exception]) -> None:
    scanned = [survey for survey in surveys if isinstance(survey, Survey)]
    if len(scanned) > 1:
        days = [cast(DaySurvey, day) for survey in scanned for day in survey.days.values()]
        print_line(f"{len(scanned)} streams: would fetch {_amount(days)} (dry run)")


def _numbers(days: Sequence[DaySurvey]) -> list[str]:
    numbers = ((day.missing, day.missing_bytes, day.present, day.unsettled.total, day.refused_count) for day in days)
    return [str(sum(column)) for column in zip(*numbers, strict=True)]


def _amount(days: Sequence[DaySurvey]) -> str:
    files, size = sum(day.missing for day in days), sum(day.missing_bytes for day in days)
    return f"{counted(files, 'file')}, {counted(size, 'byte')}"


def _first(day: DaySurvey) -> str:
    return ", ".join(day.first_missing[:_MOST_NAMES]) + (", ..." if day.missing > _MOST_NAMES else "")


def _show_unmatched(unmatched: int) -> None:
    if unmatched:
        print_line(f"  {none_matches(unmatched)}", "yellow")


def _show_refused(name: str, days: Sequence[DayReport] | Sequence[DaySurvey], unreadable: Count) -> None:
    for day in days:
        for reason, count, first in describe_refused(day.refused):
            print_line(f"  {day.day}: refused {count}: {reason}: {first}", "yellow")
    if unreadable.total:
        number = counted(unreadable.total, "directory", "directories")
        print_line(f"  {number} of {name} not readable: {', '.join(unreadable.first)}", "yellow")
