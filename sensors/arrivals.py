"""The arrival sensors, one per stream: list the live window on the host and request a run per day with new files.

A tick is one listing and copies nothing. It decides by the listing and by Dagster's records of runs, and keeps no state
of its own for that: a restarted daemon decides the same.
"""

import json
from datetime import UTC, datetime, timedelta

from dagster import (
    AssetObservation,
    DefaultSensorStatus,
    RunRequest,
    SensorDefinition,
    SensorEvaluationContext,
    SensorResult,
    sensor,
)

from aurora_assets import run_tags
from aurora_assets.asset_keys import raw_key, source_key
from aurora_assets.automation import default_status
from aurora_assets.jobs import day_job_name
from aurora_assets.metadata import metadata_of
from aurora_assets.partitions import live_days
from aurora_assets.run_requests import EarlierRuns
from aurora_platform import archive
from aurora_platform.config.site import Site
from aurora_platform.config.types import format_duration
from aurora_platform.errors import AuroraError
from aurora_platform.layout import Layout, open_state
from aurora_platform.mirror.scan import DaySurvey, Survey, scan
from aurora_platform.streams.state import record_days_at_source, record_failure, record_scan
from aurora_platform.transport.name_store import NameStore
from resources.hosts import HostsResource

# Not at every tick: an observation is stored for as long as Dagster's records are kept.
_OBSERVE_EVERY = timedelta(minutes=10)


def arrival_sensors(site: Site) -> list[SensorDefinition]:
    """One sensor per stream of the site file."""
    return [_arrival_sensor(site, name) for name in site.streams]


def _arrival_sensor(site: Site, name: str) -> SensorDefinition:
    stream, layout = site.streams[name], Layout.of(site)
    job = day_job_name(name)

    @sensor(
        name=f"arrivals_{name}",
        job_name=job,
        minimum_interval_seconds=int(site.live.every.total_seconds()),
        default_status=default_status(site, DefaultSensorStatus),
        description=(
            f"Lists the last {format_duration(stream.lookback)} of {name} on host {stream.host} every "
            f"{format_duration(site.live.every)} and starts {job} for every day with new files."
            if stream.enabled
            else f"Planned offline (enabled: false in the site file): does not list {name}."
        ),
        tags={run_tags.STREAM: name},
    )
    def arrivals(context: SensorEvaluationContext, hosts: HostsResource) -> SensorResult:
        if not stream.enabled:
            return SensorResult(skip_reason=f"{name} is planned offline (enabled: false in the site file)")
        days = live_days(site, name)
        if not days:
            return SensorResult(skip_reason=f"{name} begins on {stream.start} (start in the site file)")
        open_state(site.paths.state)
        connections = hosts.connections.but(names=NameStore(site.paths.state, is_writable=True))
        try:
            survey = scan(
                stream,
                connections.source(site.hosts[stream.host], within=site.limits.look.total_seconds()),
                layout.raw_root(name),
                days,
                within=site.limits.look,
                held=archive.change_guard.held_files(site, name),
            )
        except AuroraError as error:
            record_failure(layout.freshness(name), str(error))
            raise
        record_scan(layout.freshness(name), survey.newest_ns, survey.clock_ns)
        if not survey.is_whole:
            raise TimeoutError(
                f"{name}: the listing took longer than limits.look; listed until then: {survey.summary()}"
            )
        record_days_at_source(layout.days_at_source(name), survey.days_at_source())
        partitions = [day.isoformat() for day in days]
        earlier_runs = EarlierRuns(context.instance, job, raw_key(name), partitions, site.live.every)
        requests = [request for day in _days_newest_first(survey) if (request := _request(name, day, earlier_runs))]
        observation, cursor = _observe(name, survey, context.cursor)
        text = "; ".join([survey.summary(), *earlier_runs.skip_reasons])
        context.log.info(text)
        return SensorResult(
            run_requests=requests,
            skip_reason=None if requests else f"nothing new: {text}" if not earlier_runs.skip_reasons else text,
            asset_events=observation,
            cursor=cursor,
        )

    return arrivals


def _days_newest_first(survey: Survey) -> list[DaySurvey]:
    """All days of the window, newest first, because users wait for the newest day."""
    days = [day for day in survey.days.values() if isinstance(day, DaySurvey)]
    return sorted(days, key=lambda day: day.day, reverse=True)


def _request(name: str, day: DaySurvey, earlier_runs: EarlierRuns) -> RunRequest | None:
    new_run = earlier_runs.next_run(day.day.isoformat(), day.fingerprint if day.missing else None)
    if new_run is None:
        return None
    return RunRequest(
        run_key=f"{name}/{day.day}/{new_run.fingerprint}/{new_run.previous_run}",
        partition_key=day.day.isoformat(),
        tags=run_tags.live(name, new_run.fingerprint),
    )


def _observe(name: str, survey: Survey, cursor: str | None) -> tuple[list[AssetObservation], str | None]:
    """An observation of the source, if it has changed and the last one is at least ten minutes old; and the cursor."""
    state = f"{survey.files} {survey.bytes} {survey.newest_ns} {survey.unsettled} {survey.refusals}"
    now = datetime.now(UTC)
    try:
        last = json.loads(cursor or "{}")
        is_overdue = last.get("state") != state and now >= datetime.fromisoformat(last["at"]) + _OBSERVE_EVERY
    except (ValueError, KeyError, TypeError, AttributeError):
        is_overdue = True
    if not is_overdue:
        return [], cursor
    observation = AssetObservation(source_key(name), metadata=metadata_of(survey))
    return [observation], json.dumps({"state": state, "at": now.isoformat(timespec="seconds")})
