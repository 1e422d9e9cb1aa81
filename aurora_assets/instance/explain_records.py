"""What Dagster has recorded of one partition: the run that made it, the newest run, and failed checks. Read-only."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sql
from dagster import (
    AssetCheckKey,
    AssetKey,
    AssetRecordsFilter,
    DagsterEventType,
    DagsterInstance,
    DagsterRunStatus,
    EventLogRecord,
    RunRecord,
    RunsFilter,
)
from dagster._core.storage.event_log import SqlEventLogStorage
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable
from dagster._core.storage.tags import (
    AUTO_MATERIALIZE_TAG,
    AUTOMATION_CONDITION_TAG,
    BACKFILL_ID_TAG,
    SCHEDULE_NAME_TAG,
    SENSOR_NAME_TAG,
)

from aurora_assets.asset_keys import asset_key
from aurora_assets.instance.check_results import MAX_RESULT_AGE, Span, open_failures, records_of
from aurora_platform.config.site import Site
from aurora_platform.operations.explain_answer import DagsterFacts, FailedCheckFacts, RunFacts
from aurora_platform.text import printable

_DATA_VERSION = "dagster/data_version"
_STARTERS = ((SENSOR_NAME_TAG, "sensor"), (SCHEDULE_NAME_TAG, "schedule"), (BACKFILL_ID_TAG, "backfill"))
_CONDITIONS = (AUTOMATION_CONDITION_TAG, AUTO_MATERIALIZE_TAG)


@dataclass(frozen=True)
class DagsterRunRecords:
    """See :class:`aurora_platform.operations.explain_answer.RunRecords`."""

    instance: DagsterInstance
    site: Site

    def facts(self, asset: str, partition: str | None) -> DagsterFacts:
        """Return what is recorded of a partition, or of an asset without partitions."""
        key = asset_key(asset)
        record = self._newest_event(key, partition)
        made_by = self._run(record.run_id) if record else None
        planned = self.instance.event_log_storage.get_latest_planned_materialization_info(key, partition)
        newest = self._run(planned.run_id) if planned and (not record or planned.run_id != record.run_id) else None
        return DagsterFacts(
            asset,
            partition,
            materialized_at=_time(record.timestamp) if record else None,
            data_version=_data_version(record),
            made_by=made_by,
            newest_run=newest,
            failed_checks=self._failed_checks(key, partition),
        )

    def _newest_event(self, key: AssetKey, partition: str | None) -> EventLogRecord | None:
        """The newest materialization; of an asset that is observed only, the newest observation."""
        wanted = AssetRecordsFilter(asset_key=key, asset_partitions=[partition] if partition else None)
        records = self.instance.fetch_materializations(wanted, limit=1).records
        if not records:
            records = self.instance.fetch_observations(wanted, limit=1).records
        return next(iter(records), None)

    def _run(self, run_id: str) -> RunFacts | None:
        records = self.instance.get_run_records(RunsFilter(run_ids=[run_id]), limit=1) if run_id else []
        if not records:
            return None  # an event of a sensor, or the run is removed from the records
        record: RunRecord = records[0]
        run = record.dagster_run
        failed = run.status is DagsterRunStatus.FAILURE
        return RunFacts(
            run.run_id,
            run.job_name,
            run.status.value,
            _started_by(run.tags),
            began_at=_time(record.start_time),
            ended_at=_time(record.end_time),
            error=self._error(run.run_id) if failed else "",
        )

    def _error(self, run_id: str) -> str:
        """The first line of why a run failed."""
        for kind in (DagsterEventType.STEP_FAILURE, DagsterEventType.RUN_FAILURE):
            for entry in self.instance.all_logs(run_id, of_type=kind):
                event = entry.get_dagster_event()
                error = getattr(event.event_specific_data, "error", None)
                # The error of the step wraps that of our own code.
                while error is not None and error.cause is not None:
                    error = error.cause
                text = " ".join(((error.message if error else event.message) or "").split())
                if text:
                    return printable(text[:300])
        return "no reason was recorded"

    def _failed_checks(self, key: AssetKey, partition: str | None) -> tuple[FailedCheckFacts, ...]:
        """The failed results that no newer result replaces, of this partition or of no partition."""
        since = datetime.now(UTC) - min(MAX_RESULT_AGE, self.site.live.keep_runs)
        found = []
        for check, failures in open_failures(self.instance, self._check_keys(key), since).items():
            results = [one for one in failures.results if _is_about(one.span, partition)][:1]
            for record in records_of(self.instance, results).get(check, []):
                evaluation = record.evaluation
                text = (evaluation.description if evaluation else "") or "no reason was recorded"
                severity = evaluation.severity.value if evaluation else "ERROR"
                when = _time(record.create_timestamp)
                sentence = " ".join(text.split())
                span = results[0].span
                checked = None if span is None else str(span)
                found.append(FailedCheckFacts(check.name, sentence, severity, when, record.run_id or None, checked))
        return tuple(sorted(found, key=lambda one: one.name))

    def _check_keys(self, key: AssetKey) -> list[AssetCheckKey]:
        storage, table = self.instance.event_log_storage, AssetCheckExecutionsTable
        if not isinstance(storage, SqlEventLogStorage):
            return []
        query = sql.select(table.c.check_name).where(table.c.asset_key == key.to_string()).distinct()
        with storage.index_connection() as connection:
            return [AssetCheckKey(key, name) for (name,) in connection.execute(query).all()]


def _is_about(span: Span | None, partition: str | None) -> bool:
    if span is None or partition is None:
        return True
    return span.first <= partition <= span.last  # keys of days and of hours are in order of time


def _started_by(tags: Mapping[str, str]) -> str:
    for tag, kind in _STARTERS:
        if tag in tags:
            return f"{kind} {printable(tags[tag])}"
    return "an automation condition" if any(tag in tags for tag in _CONDITIONS) else "an operator"


def _data_version(record: EventLogRecord | None) -> str:
    made = record.asset_materialization if record else None
    return str((made.tags or {}).get(_DATA_VERSION, "")) if made else ""


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
