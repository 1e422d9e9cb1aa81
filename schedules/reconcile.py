"""Schedules of reconciliation, one per stream: find files older than the live window that are missing locally."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from dagster import RunRequest, ScheduleDefinition, ScheduleEvaluationContext, SkipReason

from aurora_assets import run_tags
from aurora_assets.jobs import day_job_name
from aurora_assets.partitions import stretches
from aurora_assets.run_requests import has_unfinished
from aurora_platform.config.site import Site
from aurora_platform.config.streams import Stream
from aurora_platform.layout import Layout, open_state
from aurora_platform.mirror.scan import DaySurvey, scan
from aurora_platform.text import counted
from aurora_platform.transport.protocols import Source
from resources.hosts import HostsResource
from schedules.aurora_schedule import aurora_schedule

_DAY = timedelta(days=1)
_BATCH = 60  # days in one listing
_GOES_ON = "goes_on"


def reconcile_schedule(site: Site, name: str) -> ScheduleDefinition:
    """Lists a whole source and starts runs for the newest of the old days that have missing files."""
    stream, layout = site.streams[name], Layout.of(site)
    job = day_job_name(name)
    most = site.live.reconcile_days
    text = (
        f"Lists all days of {name} on host {stream.host} and copies files missing from older days, newest {most} days "
        "first: files recovered late, or missed in a long outage."
        if stream.enabled
        else f"Planned offline (`enabled: false` in the site file): does not list {name}."
    )

    @aurora_schedule(site, f"reconcile_{name}", site.live.reconcile, job=job, description=text, stream=name)
    def reconcile(context: ScheduleEvaluationContext, hosts: HostsResource) -> Sequence[RunRequest] | SkipReason:
        if not stream.enabled:
            return SkipReason(f"{name} is planned offline (enabled: false in the site file)")
        if has_unfinished(context.instance, job, {run_tags.LANE: run_tags.HISTORY}):
            return SkipReason("the runs of an earlier reconciliation have not ended; it continues after them")
        open_state(site.paths.state)
        wanted = kept(stream, site.retention.raw.get(name), datetime.now(UTC))
        source = hosts.connections.source(site.hosts[stream.host], within=site.limits.look.total_seconds())
        asked = Asked(layout.reconciliation(name))
        listed = list_history(wanted, source, layout.raw_root(name), site.limits.look * 0.8, asked.continues_at())
        context.log.info(f"{listed.summary}; {counted(len(listed.behind), 'old day')} with missing files")
        chosen = asked.choose(listed.behind, most, listed.continues_at)
        if not chosen:
            return SkipReason(f"no file of before the live window is missing: {listed.summary}")
        return _requests(name, chosen, context.scheduled_execution_time)

    return reconcile


def kept(stream: Stream, retention: timedelta | None, now: datetime) -> Stream:
    """The stream, beginning at the first day whose local copies are kept: retired files are not copied again."""
    if retention is None:
        return stream
    return stream.model_copy(update={"start": max(stream.start, (now - retention).date())})


@dataclass
class History:
    """What listing the days before the live window found."""

    behind: list[DaySurvey]
    """Days with missing files, newest first."""
    summary: str
    continues_at: date | None = None
    """Where time was up: the newest day that was not listed."""


def list_history(
    stream: Stream, source: Source, raw_root: Path, within: timedelta, newest: date | None = None
) -> History:
    """List the days before the live window, newest first, until the time is up.

    A stream with day directories is listed in batches of days, beginning at ``newest`` where an earlier listing ended
    there. Any other stream is one listing of the whole source, used as far as it came.
    """
    last = stream.live_from(datetime.now(UTC)) - _DAY
    if not stream.day_dirs:
        survey = scan(stream, source, raw_root, None, within)
        text = survey.summary() + (
            "" if survey.is_whole else f" (incomplete: the time was up after {within.total_seconds():.0f} s)"
        )
        return History([day for day in survey.behind if day.day <= last], text)
    first_of_all = stream.start
    day = min(newest or last, last)
    behind: list[DaySurvey] = []
    files, began = 0, time.monotonic()
    begin = day
    while day >= first_of_all and time.monotonic() - began < within.total_seconds():
        batch = [day - n * _DAY for n in range(_BATCH) if day - n * _DAY >= first_of_all]
        left = within - timedelta(seconds=time.monotonic() - began)
        survey = scan(stream, source, raw_root, batch, left)
        behind += survey.behind
        files += survey.files
        if not survey.is_whole:
            break
        day = batch[-1] - _DAY
    text = f"{counted(files, 'file')} listed of {day + _DAY} to {begin}"
    if day < first_of_all:
        return History(behind, text)
    return History(behind, f"{text}; the next tick continues there", day)


class Asked:
    """Remembers the requests of earlier ticks, so that days whose files cannot be copied do not hold up others."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def continues_at(self) -> date | None:
        """Where the last listing ran out of time."""
        try:
            return date.fromisoformat(self._read().get(_GOES_ON, ""))
        except (ValueError, TypeError):
            return None

    def choose(self, days: Sequence[DaySurvey], most: int, continues_at: date | None = None) -> list[DaySurvey]:
        """The days to request now; first those whose missing files differ from those of the last request."""
        before = self._read()
        days = sorted(days, key=lambda day: before.get(str(day.day)) == day.fingerprint)
        chosen = list(days[:most])
        behind = {str(day.day) for day in days}
        kept = {day: fingerprint for day, fingerprint in before.items() if day in behind}
        self.place.parent.mkdir(parents=True, exist_ok=True)
        where = {_GOES_ON: str(continues_at)} if continues_at else {}
        self.place.write_text(json.dumps(kept | {str(day.day): day.fingerprint for day in chosen} | where))
        return chosen

    def _read(self) -> dict[str, str]:
        try:
            return dict(json.loads(self.place.read_bytes()))
        except (FileNotFoundError, ValueError, TypeError):
            return {}


def _requests(name: str, days: Sequence[DaySurvey], tick: datetime) -> list[RunRequest]:
    """One run per stretch of consecutive days, newest first."""
    asked = {day.day: day for day in days}
    return [
        RunRequest(
            run_key=f"reconcile/{name}/{first}/{last}/{tick.isoformat()}",
            partition_key=str(first) if first == last else None,
            tags=run_tags.history(name)
            | {run_tags.LISTING: asked[last].fingerprint}
            | ({} if first == last else run_tags.range_tags(str(first), str(last))),
        )
        for first, last in reversed(stretches(asked, _DAY))
    ]
