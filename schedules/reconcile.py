"""Schedules of reconciliation, one per stream: find files older than the live window that are missing locally."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from dagster import RunRequest, ScheduleDefinition, ScheduleEvaluationContext, SkipReason

from aurora_assets import run_tags
from aurora_assets.jobs import day_job_name
from aurora_assets.partitions import consecutive_ranges
from aurora_assets.run_requests import has_unfinished
from aurora_platform import archive
from aurora_platform.config.site import Site
from aurora_platform.config.streams import Stream
from aurora_platform.config.types import format_duration
from aurora_platform.fs.versions import FileVersion
from aurora_platform.layout import Layout, open_state
from aurora_platform.mirror.scan import DaySurvey, scan
from aurora_platform.streams.classify import most_days_by_name
from aurora_platform.text import counted
from aurora_platform.transport.protocols import Source
from resources.hosts import HostsResource
from schedules.aurora_schedule import aurora_schedule

_DAY = timedelta(days=1)
_BATCH = 60  # days in one listing of directories
_TIME_WAS_UP = (
    "incomplete: the time was up after {:.0f} s; day_names or day_dirs in the site file let a listing continue, a "
    "longer limits.look lets it end"
)
_CONTINUES_AT = "goes_on"


def reconcile_schedule(site: Site, name: str) -> ScheduleDefinition:
    """Lists the older days of a source and starts runs for the newest of the old days that have missing files."""
    stream, layout = site.streams[name], Layout.of(site)
    job = day_job_name(name)
    most = site.live.reconcile_days
    text = (
        f"Searches host {stream.host} for files of {name} older than the last {format_duration(stream.lookback)} "
        f"that are missing locally (late, or missed in an outage), and copies them: {most} days at a time, newest "
        "first."
        if stream.enabled
        else f"Planned offline (enabled: false in the site file): does not list {name}."
    )

    @aurora_schedule(site, f"reconcile_{name}", site.live.reconcile, job=job, description=text, stream=name)
    def reconcile(context: ScheduleEvaluationContext, hosts: HostsResource) -> Sequence[RunRequest] | SkipReason:
        if not stream.enabled:
            return SkipReason(f"{name} is planned offline (enabled: false in the site file)")
        if has_unfinished(context.instance, job, {run_tags.LANE: run_tags.HISTORY}):
            return SkipReason("the runs of an earlier reconciliation have not ended; it continues after them")
        open_state(site.paths.state)
        stream_to_list = without_retired_days(stream, site.retention.raw.get(name), datetime.now(UTC))
        source = hosts.connections.source(site.hosts[stream.host], within=site.limits.look.total_seconds())
        requested_days = RequestedDays(layout.reconciliation(name))
        continues_at = requested_days.continues_at()
        held = archive.change_guard.held_files(site, name)
        listed = list_history(stream_to_list, source, layout.raw_root(name), site.limits.look * 0.8, continues_at, held)
        context.log.info(f"{listed.summary}; {counted(len(listed.incomplete), 'old day')} with missing files")
        chosen = requested_days.choose(listed.incomplete, most, listed.continues_at)
        if not chosen:
            return SkipReason(f"no file older than the live window is missing: {listed.summary}")
        return _requests(name, chosen, context.scheduled_execution_time)

    return reconcile


def without_retired_days(stream: Stream, retention: timedelta | None, now: datetime) -> Stream:
    """The stream from the first day whose local copies are kept, so that retired files are not copied again."""
    if retention is None:
        return stream
    return stream.model_copy(update={"start": max(stream.start, (now - retention).date())})


@dataclass
class History:
    """The result of listing the days before the live window."""

    incomplete: list[DaySurvey]
    """Days with missing files, newest first."""
    summary: str
    continues_at: date | None = None
    """The newest day that was not listed, if the time was up."""


def list_history(
    stream: Stream,
    source: Source,
    raw_root: Path,
    within: timedelta,
    newest: date | None = None,
    held: Mapping[str, FileVersion] | None = None,
) -> History:
    """List the days before the live window, newest first, until the time is up.

    A stream with ``day_dirs`` or ``day_names`` is listed in batches of days, from the day ``newest`` on if an earlier
    listing ended there. Any other stream needs one listing of the whole source, which has no order of days: if the time
    is up, its part until then is used. Files in ``held`` are not missing: see :func:`aurora_platform.mirror.scan.scan`.
    """
    last = stream.live_from(datetime.now(UTC)) - _DAY
    most = _BATCH if stream.day_dirs else most_days_by_name(stream)
    if not most:
        survey = scan(stream, source, raw_root, None, within, held)
        text = survey.summary() + ("" if survey.is_whole else f" ({_TIME_WAS_UP.format(within.total_seconds())})")
        return History([day for day in survey.behind if day.day <= last], text)
    day = newest_listed = min(newest or last, last)
    incomplete: list[DaySurvey] = []
    files, remark, began = 0, "", time.monotonic()
    while day >= stream.start and time.monotonic() - began < within.total_seconds():
        batch = [day - n * _DAY for n in range(most) if day - n * _DAY >= stream.start]
        time_left = within - timedelta(seconds=time.monotonic() - began)
        survey = scan(stream, source, raw_root, batch, time_left, held)
        incomplete += survey.behind
        files += survey.files
        if not survey.is_whole and day != newest_listed:
            break  # the next tick has all of its time for this batch
        if not survey.is_whole:  # more time than that there is not, and older days must not wait for ever
            remark = f" (incomplete from {batch[-1]} to {day}: too many files for limits.look)"
        day = batch[-1] - _DAY
    text = f"{counted(files, 'file')} listed from {day + _DAY} to {newest_listed}{remark}"
    if day < stream.start:
        return History(incomplete, text)
    return History(incomplete, f"{text}; the next tick continues at {day}", day)


class RequestedDays:
    """Stores the requests of earlier ticks, so that days whose files cannot be copied do not delay other days."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def continues_at(self) -> date | None:
        """The day at which the last listing ran out of time."""
        try:
            return date.fromisoformat(self._read().get(_CONTINUES_AT, ""))
        except (ValueError, TypeError):
            return None

    def choose(self, days: Sequence[DaySurvey], most: int, continues_at: date | None = None) -> list[DaySurvey]:
        """The days to request now: first those whose missing files differ from those of their last request."""
        before = self._read()
        days = sorted(days, key=lambda day: before.get(str(day.day)) == day.fingerprint)
        chosen = list(days[:most])
        incomplete = {str(day.day) for day in days}
        state = {day: fingerprint for day, fingerprint in before.items() if day in incomplete}
        state |= {str(day.day): day.fingerprint for day in chosen}
        state |= {_CONTINUES_AT: str(continues_at)} if continues_at else {}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(state))
        return chosen

    def _read(self) -> dict[str, str]:
        try:
            return dict(json.loads(self.path.read_bytes()))
        except (FileNotFoundError, ValueError, TypeError):
            return {}


def _requests(name: str, days: Sequence[DaySurvey], tick: datetime) -> list[RunRequest]:
    """One run per range of consecutive days, newest first."""
    survey_of = {day.day: day for day in days}
    return [
        RunRequest(
            run_key=f"reconcile/{name}/{first}/{last}/{tick.isoformat()}",
            partition_key=str(first) if first == last else None,
            tags=run_tags.history(name)
            | {run_tags.LISTING: survey_of[last].fingerprint}
            | ({} if first == last else run_tags.range_tags(str(first), str(last))),
        )
        for first, last in reversed(consecutive_ranges(survey_of, _DAY))
    ]
