"""Six-hourly, a stream at a time: what lies on the host, is not here, and no live window will ever show?"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dagster import (
    DagsterInstance,
    DefaultScheduleStatus,
    RunRequest,
    RunsFilter,
    ScheduleDefinition,
    ScheduleEvaluationContext,
    SkipReason,
    schedule,
)

from aurora_assets import lanes
from aurora_assets.jobs import day_job_name
from aurora_assets.mirror.survey import DaySurvey, look
from aurora_assets.partitions import stretches
from aurora_assets.site import Site
from resources.ssh import SshResource
from sensors.requests import UNFINISHED

_DAY = timedelta(days=1)


def reconcile_schedule(site: Site, name: str, status: DefaultScheduleStatus) -> ScheduleDefinition:
    """Lists a whole source and starts runs for the newest of the old days that have something new."""
    stream = site.streams[name]
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
        tags={lanes.STREAM: name},
    )
    def reconcile(context: ScheduleEvaluationContext, ssh: SshResource) -> Sequence[RunRequest] | SkipReason:
        if not stream.enabled:
            return SkipReason(f"{name} is planned offline (enabled: false in the site file)")
        if _unfinished(context.instance, job):
            return SkipReason("the runs of an earlier reconciliation have not ended; this goes on when they have")
        source = ssh.source(site.hosts[stream.host], within=site.limits.look.total_seconds())
        survey = look(stream, source, site.raw_root(name), None, within=site.limits.look * 0.9)
        old = [day for day in survey.behind if day.day < stream.live_from(datetime.now(UTC))]
        said = survey.summary() + ("" if survey.is_whole else f" (NOT ALL: {site.limits.look} were not enough)")
        context.log.info(f"{said}; {len(old)} old days are behind")
        if not old:
            return SkipReason(f"nothing of before the live window is missing here: {said}")
        asked = Asked(site.paths.state / "reconcile" / f"{name}.json")
        return _requests(name, asked.choose(old, most), context.scheduled_execution_time)

    return reconcile


class Asked:
    """What was asked for before, so that days whose files cannot be copied do not take every turn."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def choose(self, days: Sequence[DaySurvey], most: int) -> list[DaySurvey]:
        """The days to ask for now; first those of which something else is missing than when they were asked for."""
        before = self._read()
        days = sorted(days, key=lambda day: before.get(str(day.day)) == day.digest)
        chosen = list(days[:most])
        behind = {str(day.day) for day in days}
        kept = {day: digest for day, digest in before.items() if day in behind}
        self.place.parent.mkdir(parents=True, exist_ok=True)
        self.place.write_text(json.dumps(kept | {str(day.day): day.digest for day in chosen}))
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
            tags=lanes.history(name)
            | {lanes.LISTING: asked[last].digest}
            | ({} if first == last else lanes.range_tags(str(first), str(last))),
        )
        for first, last in reversed(stretches(asked, _DAY))
    ]


def _unfinished(instance: DagsterInstance, job: str) -> bool:
    wanted = RunsFilter(job_name=job, tags={lanes.LANE: lanes.HISTORY}, statuses=UNFINISHED)
    return bool(instance.get_run_records(wanted, limit=1))
