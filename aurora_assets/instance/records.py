"""The state of Dagster from its own records: runs, queue, daemons, ticks; and the age of the products. Read-only."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from dagster import (
    AssetKey,
    AssetRecordsFilter,
    DagsterEventType,
    DagsterInstance,
    DagsterRunStatus,
    RunRecord,
    RunsFilter,
)
from dagster._core.storage.tags import PARTITION_NAME_TAG

from aurora_assets import run_tags
from aurora_assets.asset_keys import asset_key
from aurora_assets.instance.code_location import CodeLocation
from aurora_assets.instance.failed_checks import failed_checks
from aurora_assets.instance.ticks import ticks
from aurora_assets.partitions import key_of_hour
from aurora_platform.config.site import Site
from aurora_platform.health.models import Daemon, Platform, Run
from aurora_platform.layout import (
    CAMERAS,
    DAILY_PRODUCTS,
    HOURLY_THUMBNAILS,
    LATEST_VIDEO,
    WXCAM,
    camera_keys,
    product_key,
)

_MAX_FAILED_RUNS = 20
_MAX_RUNS_READ = 200
_DAY = timedelta(days=1)
_FAILED_WITHIN = 7 * _DAY  # an older failed run is not reported
_CURRENT_LANES = [run_tags.LIVE, run_tags.PUSH, run_tags.PUSH_SMALL, run_tags.EVIDENCE, run_tags.OPS]
_WAITING = [DagsterRunStatus.QUEUED, DagsterRunStatus.NOT_STARTED]
_RUNNING = [DagsterRunStatus.STARTED, DagsterRunStatus.STARTING, DagsterRunStatus.CANCELING]
_TIME = "%Y-%m-%d %H:%M:%S UTC"  # as aurora_assets.metadata.span writes it


@dataclass(frozen=True)
class DagsterRecords:
    """See :class:`aurora_platform.health.snapshot.Orchestrator`."""

    instance: DagsterInstance
    site: Site
    code: CodeLocation | None = None
    """The checks and automations in the code. None: all that have a record."""
    max_failed_runs: int = _MAX_FAILED_RUNS
    """The most failed runs to report."""
    max_runs_read: int = _MAX_RUNS_READ
    """The most runs of a status to read."""

    def platform(self, now: datetime | None = None) -> Platform:
        """Failed and stuck runs, failed checks, the queue, daemons, failing and overdue ticks."""
        now = now or datetime.now(UTC)
        # The oldest of all lanes, and the oldest of the current lanes: many history runs could hide the latter.
        in_current_lanes = RunsFilter(statuses=_WAITING, tags={run_tags.LANE: _CURRENT_LANES})
        waiting = [
            *self.instance.get_run_records(RunsFilter(statuses=_WAITING), limit=self.max_runs_read, ascending=True),
            *self.instance.get_run_records(in_current_lanes, limit=1, ascending=True),
        ]
        waiting_s = [
            (now - record.create_timestamp.astimezone(UTC)).total_seconds()
            for record in waiting
            if not run_tags.is_history(record.dagster_run.tags)
        ]
        failed = self._failed(now)
        daemons = self._daemons()
        healthy_daemons = {daemon.name for daemon in daemons if daemon.healthy}
        failing, overdue = ticks(self.instance, self.code, healthy_daemons, now)
        checks, checks_count = failed_checks(self.instance, self.site, self.code.checks if self.code else None, now)
        return Platform(
            failed_runs=failed[: self.max_failed_runs],
            more_failed_runs=len(failed) > self.max_failed_runs,
            stuck_runs=self._stuck(now),
            queued_runs=self.instance.get_runs_count(RunsFilter(statuses=_WAITING)),
            oldest_queued_s=round(max(waiting_s), 1) if waiting_s else None,
            daemons=daemons,
            failing_ticks=failing,
            overdue_ticks=overdue,
            failed_checks=checks,
            failed_checks_count=checks_count,
        )

    def _failed(self, now: datetime) -> list[Run]:
        """Runs that failed in the last week, of jobs and partitions that have not succeeded since."""
        wanted = RunsFilter(statuses=[DagsterRunStatus.FAILURE], updated_after=now - _FAILED_WITHIN)
        found: dict[tuple[str, str | None], Run] = {}
        for record in self.instance.get_run_records(wanted, limit=self.max_runs_read):
            run = record.dagster_run
            key = (run.job_name, run.tags.get(PARTITION_NAME_TAG))
            if key in found or len(found) > self.max_failed_runs or self._has_succeeded_since(record):
                continue
            found[key] = _to_run(record, self._error_of(run.run_id))
        return list(found.values())

    def _has_succeeded_since(self, record: RunRecord) -> bool:
        run = record.dagster_run
        partition = run.tags.get(PARTITION_NAME_TAG)
        wanted = RunsFilter(
            job_name=run.job_name,
            tags={PARTITION_NAME_TAG: partition} if partition else {},
            statuses=[DagsterRunStatus.SUCCESS],
            updated_after=record.update_timestamp,
        )
        return bool(self.instance.get_run_records(wanted, limit=1))

    def _error_of(self, run_id: str) -> str:
        """The error of a failed run, in one line."""
        for kind in (DagsterEventType.STEP_FAILURE, DagsterEventType.RUN_FAILURE):
            for entry in self.instance.all_logs(run_id, of_type=kind):
                event = entry.get_dagster_event()
                error = getattr(event.event_specific_data, "error", None)
                text = (error.message if error else event.message) or ""
                if text.strip():
                    return " ".join(text.split())[:300]
        return "no reason was recorded"

    def _stuck(self, now: datetime) -> list[Run]:
        longest = self.site.health.stuck_after.total_seconds()
        records = self.instance.get_run_records(RunsFilter(statuses=_RUNNING), limit=self.max_runs_read)
        return [
            _to_run(record, None)
            for record in records
            # A history run may take two days.
            if not run_tags.is_history(record.dagster_run.tags)
            # A run that hangs while it is being started has no start time yet.
            and now.timestamp() - (record.start_time or record.update_timestamp.timestamp()) > longest
        ]

    def _daemons(self) -> list[Daemon]:
        required = set(self.instance.get_required_daemon_types())
        found = []
        for name, status in sorted(self.instance.get_daemon_statuses().items()):
            if name not in required:
                continue
            heartbeat = status.last_heartbeat
            time = (
                None if heartbeat is None else datetime.fromtimestamp(heartbeat.timestamp, UTC).replace(microsecond=0)
            )
            found.append(Daemon(name=name.lower(), healthy=bool(status.healthy), last_heartbeat_utc=time))
        return found

    def newest_of_products(self) -> Mapping[str, datetime | None]:
        """The time of the newest data in every product of the camera, by the metadata of its newest partitions."""
        if WXCAM not in self.site.streams:
            return {}
        now = datetime.now(UTC)
        first = self.site.streams[WXCAM].live_from(now)
        days = [str(first + n * _DAY) for n in range((now.date() - first).days + 1)]
        midnight = datetime(now.year, now.month, now.day, tzinfo=UTC)
        hours = [key_of_hour(midnight + timedelta(hours=n)) for n in range(-24, 24)]
        partitions: dict[str, list[str] | None] = dict.fromkeys(camera_keys(*DAILY_PRODUCTS), days)
        for camera in CAMERAS:
            partitions |= {
                product_key(camera, LATEST_VIDEO): None,
                product_key(camera, HOURLY_THUMBNAILS): hours,
            }
        return {name: self._newest(asset_key(name), keys) for name, keys in partitions.items()}

    def _newest(self, key: AssetKey, partitions: list[str] | None) -> datetime | None:
        wanted = AssetRecordsFilter(asset_key=key, asset_partitions=partitions)
        # These include the newest record of every partition, unless a partition was made again very often.
        records = self.instance.fetch_materializations(wanted, limit=20).records
        times = []
        for record in records:
            materialization = record.asset_materialization
            last = materialization.metadata.get("last") if materialization else None
            if last is not None and isinstance(last.value, str):
                times.append(datetime.strptime(last.value, _TIME).replace(tzinfo=UTC))
        return max(times, default=None)


def _to_run(record: RunRecord, error: str | None) -> Run:
    run = record.dagster_run
    since = record.end_time or record.start_time or record.create_timestamp.timestamp()
    return Run(
        run_id=run.run_id,
        job=run.job_name,
        partition=run.tags.get(PARTITION_NAME_TAG),
        since_utc=datetime.fromtimestamp(since, UTC).replace(microsecond=0),
        error=error,
    )
