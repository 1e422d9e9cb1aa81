"""Six-hourly, a stream at a time: what lies on the host, is not here, and no live window will ever show?"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from dagster import (
    DefaultScheduleStatus,
    RunRequest,
    ScheduleDefinition,
    ScheduleEvaluationContext,
    SkipReason,
    schedule,
)

from aurora_assets import run_tags
from aurora_assets.jobs import day_job_name
from aurora_assets.partitions import stretches
from aurora_assets.run_requests import has_unfinished
from aurora_platform.config.site import Site
from aurora_platform.config.streams import Stream
from aurora_platform.layout import Layout, open_state
from aurora_platform.mirror.scan import DaySurvey, scan
from aurora_platform.transport.protocols import Source
from resources.hosts import HostsResource

_DAY = timedelta(days=1)
_BATCH = 60  # days in one listing
_GOES_ON = "goes_on"


def reconcile_schedule(site: Site, name: str, status: DefaultScheduleStatus) -> ScheduleDefinition:
    """Lists a whole source and starts runs for the newest of the old days that have something new."""
    stream, layout = site.streams[name], Layout.of(site)
    job = day_job_name(name)
    most = site.live.reconcile_days

    @schedule(
        name=f"reconcile_{name}",
        job_name=job,
        cron_schedule=site.live.reconcile,
        default_status=status,
        description=(
            f"Lists all of {name} on host {stream.host} and brings over what no look at the newest days "
            f"would find: files recovered late, or missed in a long outage. Newest days first, {most} at a time."
            if stream.enabled
            else "Planned offline (`enabled: false` in the site file): lists nothing."
        ),
        tags={run_tags.STREAM: name},
    )
    def reconcile(context: ScheduleEvaluationContext, hosts: HostsResource) -> Sequence[RunRequest] | SkipReason:
        if not stream.enabled:
            return SkipReason(f"{name} is planned offline (enabled: false in the site file)")
        if has_unfinished(context.instance, job, {run_tags.LANE: run_tags.HISTORY}):
            return SkipReason("the runs of an earlier reconciliation have not ended; this goes on when they have")
        open_state(site.paths.state)
        wanted = kept(stream, site.retention.raw.get(name), datetime.now(UTC))
        source = hosts.connections.source(site.hosts[stream.host], within=site.limits.look.total_seconds())
        asked = Asked(layout.reconciliation(name))
        seen = look_at_history(wanted, source, layout.raw_root(name), site.limits.look * 0.8, asked.goes_on())
        context.log.info(f"{seen.said}; {len(seen.behind)} old days are behind")
        chosen = asked.choose(seen.behind, most, seen.goes_on)
        if not chosen:
            return SkipReason(f"nothing of before the live window is missing here: {seen.said}")
        return _requests(name, chosen, context.scheduled_execution_time)

    return reconcile


def kept(stream: Stream, retention: timedelta | None, now: datetime) -> Stream:
    """The stream from the first day on of which working copies are kept: what was retired is not brought back."""
    if retention is None:
        return stream
    return stream.model_copy(update={"start": max(stream.start, (now - retention).date())})


@dataclass
class History:
    """What a look at the days before the live window found."""

    behind: list[DaySurvey]
    """Days with something that is not here, newest first."""
    said: str
    goes_on: date | None = None
    """Where time was up: the newest day that was not looked at."""


def look_at_history(
    stream: Stream, source: Source, raw_root: Path, within: timedelta, newest: date | None = None
) -> History:
    """Look at the days before the live window, newest first, for as long as there is time.

    A stream whose days have directories is listed in batches of days, from ``newest`` on where an earlier look ended
    there. Any other is one listing of the whole source, used as far as it came.
    """
    last = stream.live_from(datetime.now(UTC)) - _DAY
    if not stream.day_dirs:
        survey = scan(stream, source, raw_root, None, within)
        text = survey.summary() + ("" if survey.is_whole else f" (NOT ALL: {within} were not enough)")
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
    text = f"{files} files seen of {day + _DAY} to {begin}"
    if day < first_of_all:
        return History(behind, text)
    return History(behind, f"{text}; goes on there the next time", day)


class Asked:
    """What was asked for before, so that days whose files cannot be copied do not take every turn."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def goes_on(self) -> date | None:
        """Where the last look had no more time."""
        try:
            return date.fromisoformat(self._read().get(_GOES_ON, ""))
        except (ValueError, TypeError):
            return None

    def choose(self, days: Sequence[DaySurvey], most: int, goes_on: date | None = None) -> list[DaySurvey]:
        """The days to ask for now; first those of which something else is missing than when they were asked for."""
        before = self._read()
        days = sorted(days, key=lambda day: before.get(str(day.day)) == day.fingerprint)
        chosen = list(days[:most])
        behind = {str(day.day) for day in days}
        kept = {day: fingerprint for day, fingerprint in before.items() if day in behind}
        self.place.parent.mkdir(parents=True, exist_ok=True)
        where = {_GOES_ON: str(goes_on)} if goes_on else {}
        self.place.write_text(json.dumps(kept | {str(day.day): day.fingerprint for day in chosen} | where))
        return chosen

    def _read(self) -> dict[str, str]:
        try:
            return dict(json.loads(self.place.read_bytes()))
        except (FileNotFoundError, ValueError, TypeError):
            return {}


def _requests(name: str, days: Sequence[DaySurvey], tick: datetime) -> list[RunRequest]:
    """A run for each stretch of days without a gap, newest first."""
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
