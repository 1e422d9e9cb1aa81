"""Asset checks whose newest result is bad, as Dagster's records show them. Read-only.

The newest result of a check counts, of whatever partition it is. One query finds those of all checks.
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
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
)

from aurora_assets import camera
from aurora_assets.health.model import FailedCheck, Level
from aurora_assets.health.next_steps import TOLD_AS_FRESHNESS, TOLD_BY_ALL
from aurora_assets.site import Site

_SHOWN = 20
_FAILED = AssetCheckExecutionRecordStatus.FAILED


@dataclass(frozen=True)
class _Bad:
    """A check that failed, or whose run failed before the check could say anything."""

    record: AssetCheckExecutionRecord
    is_evaluated: bool

    @property
    def level(self) -> Level:
        evaluation = self.record.evaluation if self.is_evaluated else None
        is_error = evaluation is not None and evaluation.severity is AssetCheckSeverity.ERROR
        return Level.RED if is_error else Level.AMBER

    @property
    def order(self) -> tuple[bool, bool, str]:
        return not self.is_evaluated, self.level is not Level.RED, self.record.key.to_user_string()


def failed_checks(
    instance: DagsterInstance, site: Site, keys: Iterable[AssetCheckKey] | None
) -> tuple[list[FailedCheck], int]:
    """Checks that are bad, the worst first, and how many there are: of many only the first are returned.

    Parameters
    ----------
    instance, site
        Dagster's records, and the site that they are about.
    keys
        The checks that there are. None: all of which there is a record.
    """
    wanted = [key for key in (_recorded(instance) if keys is None else keys) if not _is_told_elsewhere(key)]
    bad = sorted(_bad(instance, wanted), key=lambda one: one.order)
    shown = bad[:_SHOWN]
    runs = _runs(instance, {one.record.run_id for one in shown})
    return [_shown(one, instance, site, runs.get(one.record.run_id)) for one in shown], len(bad)


def _is_told_elsewhere(key: AssetCheckKey) -> bool:
    """Freshness has its own part of the snapshot; and that something is red is no cause of its own."""
    return key.name in (TOLD_AS_FRESHNESS, TOLD_BY_ALL)


def _recorded(instance: DagsterInstance) -> list[AssetCheckKey]:
    storage, table = instance.event_log_storage, AssetCheckExecutionsTable
    if not isinstance(storage, SqlEventLogStorage):
        return []
    with storage.index_connection() as connection:
        rows = connection.execute(sql.select(table.c.asset_key, table.c.check_name).distinct()).all()
    found = [(AssetKey.from_db_string(asset), name) for asset, name in rows]
    return [AssetCheckKey(asset, name) for asset, name in found if asset is not None]


def _bad(instance: DagsterInstance, keys: Sequence[AssetCheckKey]) -> list[_Bad]:
    newest = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    planned = {key: one for key, one in newest.items() if one.status not in COMPLETED}
    runs = _runs(instance, {one.run_id for one in planned.values()})
    bad = [_Bad(one, is_evaluated=True) for one in newest.values() if one.status is _FAILED]
    for key, one in planned.items():
        # What a run has yet to evaluate stands as it stood before.
        before = _completed(instance, key)
        run = runs.get(one.run_id)
        if before is not None and before.status is _FAILED:
            bad.append(_Bad(before, is_evaluated=True))
        elif run is not None and run.status is DagsterRunStatus.FAILURE:
            bad.append(_Bad(one, is_evaluated=False))
    return bad


def _completed(instance: DagsterInstance, key: AssetCheckKey) -> AssetCheckExecutionRecord | None:
    history = instance.event_log_storage.get_asset_check_execution_history(key, limit=1, status=COMPLETED)
    return history[0] if history else None


def _runs(instance: DagsterInstance, run_ids: Collection[str]) -> Mapping[str, DagsterRun]:
    wanted = [run_id for run_id in run_ids if run_id]  # a result that a sensor wrote is of no run
    found = instance.get_runs(RunsFilter(run_ids=wanted)) if wanted else []
    return {run.run_id: run for run in found}


def _shown(one: _Bad, instance: DagsterInstance, site: Site, run: DagsterRun | None) -> FailedCheck:
    record, key = one.record, one.record.key
    evaluation = record.evaluation if one.is_evaluated else None
    said = (evaluation.description if evaluation else "could not be evaluated: its run failed") or ""
    since = _first_failed(instance, key) if one.is_evaluated else None
    when = since or datetime.fromtimestamp(record.create_timestamp, UTC)
    return FailedCheck(
        asset=key.asset_key.to_user_string(),
        name=key.name,
        level=one.level,
        stream=_stream_of(key.asset_key, site),
        partition=record.partition or (_partition_of(run) if run else None),
        sentence=" ".join(said.split())[:300] or "no reason was recorded",
        since_utc=when.replace(microsecond=0),
        run_id=record.run_id or None,
        is_evaluated=one.is_evaluated,
    )


def _first_failed(instance: DagsterInstance, key: AssetCheckKey) -> datetime | None:
    """When the first of the failed results was written that no passed one has followed."""
    storage, table = instance.event_log_storage, AssetCheckExecutionsTable
    if not isinstance(storage, SqlEventLogStorage):
        return None
    this = sql.and_(table.c.asset_key == key.asset_key.to_string(), table.c.check_name == key.name)
    status = table.c.execution_status
    passed = sql.select(sql.func.coalesce(sql.func.max(table.c.id), 0)).where(
        this, status == AssetCheckExecutionRecordStatus.SUCCEEDED.value
    )
    first = sql.select(sql.func.min(table.c.evaluation_event_timestamp)).where(
        this, status == _FAILED.value, table.c.id > passed.scalar_subquery()
    )
    with storage.index_connection() as connection:
        found: datetime | None = connection.execute(first).scalar()
    return None if found is None else found.replace(tzinfo=UTC)


def _partition_of(run: DagsterRun) -> str | None:
    """The partition that a run is about, or the first and the last of its range."""
    first, last = (run.tags.get(tag) for tag in (ASSET_PARTITION_RANGE_START_TAG, ASSET_PARTITION_RANGE_END_TAG))
    if first and last and first != last:
        return f"{first} to {last}"
    return run.tags.get(PARTITION_NAME_TAG) or first


def _stream_of(asset: AssetKey, site: Site) -> str | None:
    """The stream whose data an asset is, or is made from."""
    if asset.path[-1] in site.streams:
        return asset.path[-1]
    is_of_camera = asset.path[0] == camera.STREAM or asset.path[-1] == f"{camera.STREAM}_products"
    return camera.STREAM if is_of_camera and camera.STREAM in site.streams else None
