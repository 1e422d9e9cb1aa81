"""Dagster, as its own records show it: runs, queue, daemons and ticks; and how new the products' data is. Read-only."""

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

_SHOWN = 20  # failed runs, at most
_LOOKED_AT = 200
_DAY = timedelta(days=1)
_REMEMBERED = 7 * _DAY  # a failed run that nobody made good meanwhile
_PRESENT = [run_tags.LIVE, run_tags.PUSH, run_tags.PUSH_SMALL, run_tags.EVIDENCE, run_tags.OPS]
_WAITING = [DagsterRunStatus.QUEUED, DagsterRunStatus.NOT_STARTED]
_GOING = [DagsterRunStatus.STARTED, DagsterRunStatus.STARTING, DagsterRunStatus.CANCELING]
_TIME = "%Y-%m-%d %H:%M:%S UTC"  # as presentation.span writes it


@dataclass(frozen=True)
class DagsterRecords:
    """See :class:`aurora_platform.health.snapshot.Orchestrator`."""

    instance: DagsterInstance
    site: Site
    code: CodeLocation | None = None
    """What is in the code. Without it, everything of which there is a record."""
    shown: int = _SHOWN
    """How many failed runs are told, at most."""
    looked_at: int = _LOOKED_AT
    """How many runs of a kind are read, at most."""

    def platform(self, now: datetime | None = None) -> Platform:
        """Failed and stuck runs, failed checks, the queue, daemons, ticks that fail or do not come."""
        now = now or datetime.now(UTC)
        # The oldest of all, and the oldest that is of now: behind a long history it would not be among those.
        of_now = RunsFilter(statuses=_WAITING, tags={run_tags.LANE: _PRESENT})
        waiting = [
            *self.instance.get_run_records(RunsFilter(statuses=_WAITING), limit=self.looked_at, ascending=True),
            *self.instance.get_run_records(of_now, limit=1, ascending=True),
        ]
        impatient = [
            (now - record.create_timestamp.astimezone(UTC)).total_seconds()
            for record in waiting
            if not run_tags.is_history(record.dagster_run.tags)
        ]
        failed = self._failed(now)
        daemons = self._daemons()
        failing, overdue = ticks(self.instance, self.code, {one.name for one in daemons if one.healthy}, now)
        checks, checks_count = failed_checks(self.instance, self.site, self.code.checks if self.code else None, now)
        return Platform(
            failed_runs=failed[: self.shown],
            more_failed_runs=len(failed) > self.shown,
            stuck_runs=self._stuck(now),
            queued_runs=self.instance.get_runs_count(RunsFilter(statuses=_WAITING)),
            oldest_queued_s=round(max(impatient), 1) if impatient else None,
            daemons=daemons,
            failing_ticks=failing,
            overdue_ticks=overdue,
            failed_checks=checks,
            failed_checks_count=checks_count,
        )

    def _failed(self, now: datetime) -> list[Run]:
        """Runs that failed in the last week, of jobs and partitions that have not succeeded since."""
        wanted = RunsFilter(statuses=[DagsterRunStatus.FAILURE], updated_after=now - _REMEMBERED)
        found: dict[tuple[str, str | None], Run] = {}
        for record in self.instance.get_run_records(wanted, limit=self.looked_at):
            run = record.dagster_run
            key = (run.job_name, run.tags.get(PARTITION_NAME_TAG))
            if key in found or len(found) > self.shown or self._was_made_good(record):
                continue
            found[key] = _shown(record, self._why(run.run_id))
        return list(found.values())

    def _was_made_good(self, record: RunRecord) -> bool:
        run = record.dagster_run
        partition = run.tags.get(PARTITION_NAME_TAG)
        wanted = RunsFilter(
            job_name=run.job_name,
            tags={PARTITION_NAME_TAG: partition} if partition else {},
            statuses=[DagsterRunStatus.SUCCESS],
            updated_after=record.update_timestamp,
        )
        return bool(self.instance.get_run_records(wanted, limit=1))

    def _why(self, run_id: str) -> str:
        """The first line of why a run failed."""
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
        records = self.instance.get_run_records(RunsFilter(statuses=_GOING), limit=self.looked_at)
        return [
            _shown(record, None)
            for record in records
            # History may well take two days.
            if not run_tags.is_history(record.dagster_run.tags)
            # One that hangs while it is being started has no time of its own yet.
            and now.timestamp() - (record.start_time or record.update_timestamp.timestamp()) > longest
        ]

    def _daemons(self) -> list[Daemon]:
        required = set(self.instance.get_required_daemon_types())
        found = []
        for name, status in sorted(self.instance.get_daemon_statuses().items()):
            if name not in required:
                continue
            last = status.last_heartbeat
            at = None if last is None else datetime.fromtimestamp(last.timestamp, UTC).replace(microsecond=0)
            found.append(Daemon(name=name.lower(), healthy=bool(status.healthy), last_heartbeat_utc=at))
        return found

    def newest_of_products(self) -> Mapping[str, datetime | None]:
        """The time of the newest data in each product of the camera, by what its newest partitions say."""
        if WXCAM not in self.site.streams:
            return {}
        now = datetime.now(UTC)
        first = self.site.streams[WXCAM].live_from(now)
        days = [str(first + n * _DAY) for n in range((now.date() - first).days + 1)]
        midnight = datetime(now.year, now.month, now.day, tzinfo=UTC)
        hours = [key_of_hour(midnight + timedelta(hours=n)) for n in range(-24, 24)]
        partitions: dict[str, list[str] | None] = dict.fromkeys(camera_keys(*DAILY_PRODUCTS), days)
        for one in CAMERAS:
            partitions |= {
                product_key(one, LATEST_VIDEO): None,
                product_key(one, HOURLY_THUMBNAILS): hours,
            }
        return {name: self._newest(asset_key(name), keys) for name, keys in partitions.items()}

    def _newest(self, key: AssetKey, partitions: list[str] | None) -> datetime | None:
        wanted = AssetRecordsFilter(asset_key=key, asset_partitions=partitions)
        # The newest record of each partition is among these, unless one was made again and again.
        records = self.instance.fetch_materializations(wanted, limit=20).records
        times = []
        for record in records:
            made = record.asset_materialization
            last = made.metadata.get("last") if made else None
            if last is not None and isinstance(last.value, str):
                times.append(datetime.strptime(last.value, _TIME).replace(tzinfo=UTC))
        return max(times, default=None)


def _shown(record: RunRecord, error: str | None) -> Run:
    run = record.dagster_run
    began = record.end_time or record.start_time or record.create_timestamp.timestamp()
    return Run(
        run_id=run.run_id,
        job=run.job_name,
        partition=run.tags.get(PARTITION_NAME_TAG),
        since_utc=datetime.fromtimestamp(began, UTC).replace(microsecond=0),
        error=error,
    )
