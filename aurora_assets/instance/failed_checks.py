"""Asset checks of which a bad result stands, as Dagster's records show them. Read-only.

For each check the newest result of each partition counts, see ``check_results.py``.
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

from aurora_assets.instance.check_results import LOOK_BACK, Standing, records_of, span_of, standing_results
from aurora_platform.config.site import Site
from aurora_platform.health.models import FailedCheck, Level
from aurora_platform.layout import IS_FRESH, NOTHING_IS_RED
from aurora_platform.layout.key_parts import parts_of

_SHOWN, _NAMED = 20, 3
_OF_NONE = "no partition"  # beside some
_FAILED = AssetCheckExecutionRecordStatus.FAILED


@dataclass(frozen=True)
class _Bad:
    """A check that failed, or whose run failed before the check could say anything."""

    record: AssetCheckExecutionRecord
    is_evaluated: bool
    standing: Standing | None = None
    """All of it that is bad; none where only its newest result is, older than others are looked at."""

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
    most: int = _SHOWN,
) -> tuple[list[FailedCheck], int]:
    """Checks that are bad, the worst first, and how many there are: of many only the first are returned.

    Parameters
    ----------
    instance, site
        Dagster's records, and the site that they are about.
    keys
        The checks that there are. None: all of which there is a record.
    now
        The time, from which the look back is counted.
    most
        How many are returned.
    """
    wanted = [key for key in (_recorded(instance) if keys is None else keys) if not _is_told_elsewhere(key)]
    # Of runs that are removed nobody knows what they were about.
    since = (now or datetime.now(UTC)) - min(LOOK_BACK, site.live.keep_runs)
    bad = sorted(_bad(instance, wanted, since), key=lambda one: one.order)
    shown = bad[:most]
    runs = _runs(instance, {one.record.run_id for one in shown})
    return [_shown(one, instance, site, runs.get(one.record.run_id)) for one in shown], len(bad)


def _is_told_elsewhere(key: AssetCheckKey) -> bool:
    """Freshness has its own part of the snapshot; and that something is red is no cause of its own."""
    return key.name in (IS_FRESH, NOTHING_IS_RED)


def _recorded(instance: DagsterInstance) -> list[AssetCheckKey]:
    storage, table = instance.event_log_storage, AssetCheckExecutionsTable
    if not isinstance(storage, SqlEventLogStorage):
        return []
    with storage.index_connection() as connection:
        rows = connection.execute(sql.select(table.c.asset_key, table.c.check_name).distinct()).all()
    found = [(AssetKey.from_db_string(asset), name) for asset, name in rows]
    return [AssetCheckKey(asset, name) for asset, name in found if asset is not None]


def _bad(instance: DagsterInstance, keys: Sequence[AssetCheckKey], since: datetime) -> list[_Bad]:
    standing = standing_results(instance, keys, since)
    records = records_of(instance, [result for one in standing.values() for result in one.results])
    # The newest of the worst.
    bad = {key: _Bad(min(records[key], key=_severity), True, one) for key, one in standing.items() if key in records}
    newest = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    planned = {key: one for key, one in newest.items() if one.status not in COMPLETED and key not in bad}
    runs = _runs(instance, {one.run_id for one in planned.values()})
    for key, one in newest.items():
        # What a run has yet to evaluate stands as it stood before.
        last = _completed(instance, key) if key in planned else one
        run = runs.get(one.run_id)
        if key not in bad and last is not None and last.status is _FAILED:
            bad[key] = _Bad(last, is_evaluated=True)
        elif key in planned and run is not None and run.status is DagsterRunStatus.FAILURE:
            bad[key] = _Bad(one, is_evaluated=False)
    return list(bad.values())


def _level(record: AssetCheckExecutionRecord) -> Level:
    evaluation = record.evaluation
    is_error = evaluation is not None and evaluation.severity is AssetCheckSeverity.ERROR
    return Level.RED if is_error else Level.AMBER


def _severity(record: AssetCheckExecutionRecord) -> bool:
    return _level(record) is not Level.RED


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
    when = _since(one, instance) or datetime.fromtimestamp(record.create_timestamp, UTC)
    of = (one.standing.results if one.standing else ()) if one.is_evaluated else ()
    partitions = sorted({str(result.of or _OF_NONE) for result in of} if any(result.of for result in of) else ())
    alone = record.partition or (str(span) if run and (span := span_of(run.tags)) else None)
    return FailedCheck(
        asset=key.asset_key.to_user_string(),
        name=key.name,
        level=one.level,
        stream=_stream_of(key.asset_key, site),
        partition=_named(partitions) or alone,
        partitions_count=len(partitions) or (1 if alone else 0),
        sentence=" ".join(said.split())[:300] or "no reason was recorded",
        since_utc=when.replace(microsecond=0),
        run_id=record.run_id or None,
        is_evaluated=one.is_evaluated,
    )


def _named(partitions: Sequence[str]) -> str | None:
    """The first few of them."""
    more = f" and {len(partitions) - _NAMED} more" if len(partitions) > _NAMED else ""
    return ", ".join(partitions[:_NAMED]) + more or None


def _since(one: _Bad, instance: DagsterInstance) -> datetime | None:
    """When the oldest of what stands was found."""
    if not one.is_evaluated:
        return None
    if one.standing is None or not one.standing.has_passed:
        return _first_failed(instance, one.record.key)  # which may be longer ago than others are looked at
    return one.standing.since


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


def _stream_of(asset: AssetKey, site: Site) -> str | None:
    """The stream whose data an asset is, or is made from."""
    try:
        stream = parts_of(asset.to_user_string()).stream
    except ValueError:
        return None  # a record of an asset that the code does not have any more
    return stream if stream in site.streams else None
