"""Failed asset checks, from Dagster's records. Read-only.

For every check the newest result of every partition counts; see ``check_results.py``.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sql
from dagster import (
    AssetCheckKey,
    AssetCheckSeverity,
    AssetKey,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    RunsFilter,
)
from dagster._core.storage.asset_check_execution_record import (
    COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES as COMPLETED,
)
from dagster._core.storage.asset_check_execution_record import (
    AssetCheckExecutionRecord,
    AssetCheckExecutionRecordStatus,
)
from dagster._core.storage.event_log import SqlEventLogStorage
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable

from aurora_assets.instance.check_results import MAX_RESULT_AGE, OpenFailures, open_failures, records_of, span_of
from aurora_platform.config.site import Site
from aurora_platform.health.models import FailedCheck, Level
from aurora_platform.layout import IS_FRESH, NOTHING_IS_RED
from aurora_platform.layout.key_parts import parts_of

_MAX_RETURNED, _MAX_NAMED = 20, 3
_NO_PARTITION = "no partition"  # in a list with partitions
_FAILED = AssetCheckExecutionRecordStatus.FAILED


@dataclass(frozen=True)
class _BadCheck:
    """A check that failed, or whose run failed before it evaluated the check."""

    record: AssetCheckExecutionRecord
    is_evaluated: bool
    failures: OpenFailures | None = None
    """Its open failures; None if only its newest result failed, and is older than ``MAX_RESULT_AGE``."""

    @property
    def level(self) -> Level:
        return _level(self.record) if self.is_evaluated else Level.AMBER

    @property
    def order(self) -> tuple[bool, bool, str]:
        return not self.is_evaluated, self.level is not Level.RED, self.record.key.to_user_string()


def failed_checks(
    instance: DagsterInstance,
    site: Site,
    keys: Iterable[AssetCheckKey] | None,
    now: datetime | None = None,
    most: int = _MAX_RETURNED,
) -> tuple[list[FailedCheck], int]:
    """The worst bad checks, worst first, and the number of all bad checks.

    Parameters
    ----------
    instance, site
        Dagster's records, and their site.
    keys
        The checks in the code. None: all checks that have a record.
    now
        The end of the period whose results count.
    most
        The most checks to return.
    """
    wanted = [key for key in (_recorded_checks(instance) if keys is None else keys) if not _has_own_report(key)]
    # The partitions of removed runs are unknown.
    since = (now or datetime.now(UTC)) - min(MAX_RESULT_AGE, site.live.keep_runs)
    bad = sorted(_bad_checks(instance, wanted, since), key=lambda check: check.order)
    worst = bad[:most]
    runs = _runs(instance, {check.record.run_id for check in worst})
    return [_to_failed_check(check, instance, site, runs.get(check.record.run_id)) for check in worst], len(bad)


def _has_own_report(key: AssetCheckKey) -> bool:
    """Whether the snapshot reports it in another place: freshness has its own part; ``nothing_is_red`` is no cause."""
    return key.name in (IS_FRESH, NOTHING_IS_RED)


def _recorded_checks(instance: DagsterInstance) -> list[AssetCheckKey]:
    storage, table = instance.event_log_storage, AssetCheckExecutionsTable
    if not isinstance(storage, SqlEventLogStorage):
        return []
    with storage.index_connection() as connection:
        rows = connection.execute(sql.select(table.c.asset_key, table.c.check_name).distinct()).all()
    found = [(AssetKey.from_db_string(asset), name) for asset, name in rows]
    return [AssetCheckKey(asset, name) for asset, name in found if asset is not None]


def _bad_checks(instance: DagsterInstance, keys: Sequence[AssetCheckKey], since: datetime) -> list[_BadCheck]:
    open_by_key = open_failures(instance, keys, since)
    records = records_of(instance, [result for failures in open_by_key.values() for result in failures.results])
    # The newest record of the highest severity.
    bad = {
        key: _BadCheck(min(records[key], key=_is_warning), True, failures)
        for key, failures in open_by_key.items()
        if key in records
    }
    newest = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    planned = {key: record for key, record in newest.items() if record.status not in COMPLETED and key not in bad}
    runs = _runs(instance, {record.run_id for record in planned.values()})
    for key, record in newest.items():
        # Until a run has evaluated the check, its last completed result counts.
        last = _newest_completed(instance, key) if key in planned else record
        run = runs.get(record.run_id)
        if key not in bad and last is not None and last.status is _FAILED:
            bad[key] = _BadCheck(last, is_evaluated=True)
        elif key in planned and run is not None and run.status is DagsterRunStatus.FAILURE:
            bad[key] = _BadCheck(record, is_evaluated=False)
    return list(bad.values())


def _level(record: AssetCheckExecutionRecord) -> Level:
    evaluation = record.evaluation
    is_error = evaluation is not None and evaluation.severity is AssetCheckSeverity.ERROR
    return Level.RED if is_error else Level.AMBER


def _is_warning(record: AssetCheckExecutionRecord) -> bool:
    return _level(record) is not Level.RED


def _newest_completed(instance: DagsterInstance, key: AssetCheckKey) -> AssetCheckExecutionRecord | None:
    history = instance.event_log_storage.get_asset_check_execution_history(key, limit=1, status=COMPLETED)
    return history[0] if history else None


def _runs(instance: DagsterInstance, run_ids: Collection[str]) -> Mapping[str, DagsterRun]:
    wanted = [run_id for run_id in run_ids if run_id]  # a sensor's result has no run
    found = instance.get_runs(RunsFilter(run_ids=wanted)) if wanted else []
    return {run.run_id: run for run in found}


def _to_failed_check(check: _BadCheck, instance: DagsterInstance, site: Site, run: DagsterRun | None) -> FailedCheck:
    record, key = check.record, check.record.key
    evaluation = record.evaluation if check.is_evaluated else None
    description = (evaluation.description if evaluation else "could not be evaluated: its run failed") or ""
    since = _since(check, instance) or datetime.fromtimestamp(record.create_timestamp, UTC)
    results = (check.failures.results if check.failures else ()) if check.is_evaluated else ()
    spans = [result.span for result in results]
    partitions = sorted({str(span or _NO_PARTITION) for span in spans} if any(spans) else ())
    own_partition = record.partition or (str(span) if run and (span := span_of(run.tags)) else None)
    return FailedCheck(
        asset=key.asset_key.to_user_string(),
        name=key.name,
        level=check.level,
        stream=_stream_of(key.asset_key, site),
        partition=_join_partitions(partitions) or own_partition,
        partitions_count=len(partitions) or (1 if own_partition else 0),
        sentence=" ".join(description.split())[:300] or "no reason was recorded",
        since_utc=since.replace(microsecond=0),
        run_id=record.run_id or None,
        is_evaluated=check.is_evaluated,
    )


def _join_partitions(partitions: Sequence[str]) -> str | None:
    """The first few partitions as a text."""
    more = f" and {len(partitions) - _MAX_NAMED} more" if len(partitions) > _MAX_NAMED else ""
    return ", ".join(partitions[:_MAX_NAMED]) + more or None


def _since(check: _BadCheck, instance: DagsterInstance) -> datetime | None:
    """When the oldest open failure was found."""
    if not check.is_evaluated:
        return None
    if check.failures is None or not check.failures.has_passed:
        return _first_failure(instance, check.record.key)  # it may be older than MAX_RESULT_AGE
    return check.failures.since


def _first_failure(instance: DagsterInstance, key: AssetCheckKey) -> datetime | None:
    """When the first failed result after the last passed result was written."""
    storage, table = instance.event_log_storage, AssetCheckExecutionsTable
    if not isinstance(storage, SqlEventLogStorage):
        return None
    is_check = sql.and_(table.c.asset_key == key.asset_key.to_string(), table.c.check_name == key.name)
    status = table.c.execution_status
    passed = sql.select(sql.func.coalesce(sql.func.max(table.c.id), 0)).where(
        is_check, status == AssetCheckExecutionRecordStatus.SUCCEEDED.value
    )
    first = sql.select(sql.func.min(table.c.evaluation_event_timestamp)).where(
        is_check, status == _FAILED.value, table.c.id > passed.scalar_subquery()
    )
    with storage.index_connection() as connection:
        found: datetime | None = connection.execute(first).scalar()
    return None if found is None else found.replace(tzinfo=UTC)


def _stream_of(asset: AssetKey, site: Site) -> str | None:
    """The stream that an asset consists of, or is made from."""
    try:
        stream = parts_of(asset.to_user_string()).stream
    except ValueError:
        return None  # the asset is not in the code any more
    return stream if stream in site.streams else None
