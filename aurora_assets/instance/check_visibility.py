"""Keeps check results visible in the UI when their asset is materialized again.

Dagster's UI shows a check's newest result only while it belongs to the newest materialization of the asset: two minutes
after a check has failed, the next arrival makes it "not evaluated". This module changes the result's row, so that the
result belongs to the newest materialization. It adds no row, so the table does not grow; and a newer result, which has
its own row, always stays the newest, whichever is written first.

Uses Dagster's private interface: the public one cannot attach the result of an earlier run.
"""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime

import sqlalchemy as sql
from dagster import (
    AssetCheckEvaluation,
    AssetCheckKey,
    AssetKey,
    DagsterInstance,
    EventLogEntry,
    EventLogRecord,
    MetadataValue,
)
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationTargetMaterializationData
from dagster._core.storage.asset_check_execution_record import (
    AssetCheckExecutionRecord,
    AssetCheckExecutionRecordStatus,
)
from dagster._core.storage.event_log import SqlEventLogStorage
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable
from dagster._serdes import deserialize_value, serialize_value
from dagster_shared.record import replace

Target = AssetCheckEvaluationTargetMaterializationData
Results = Mapping[AssetCheckKey, AssetCheckExecutionRecord]
_FOUND, _REPEATED = "found", "repeated"
_NOTE = "The asset was materialized since. The check has not been evaluated again: this is its last result."


def newest_materializations(instance: DagsterInstance, assets: Collection[AssetKey]) -> dict[AssetKey, Target]:
    """The newest materialization, of any partition, of every one of these assets that has one."""
    found = {}
    for record in instance.get_asset_records(list(assets)) if assets else ():
        materialization = record.asset_entry.last_materialization_record
        if materialization is not None:
            found[record.asset_entry.asset_key] = _target(materialization)
    return found


def newest_results(instance: DagsterInstance, keys: Collection[AssetCheckKey]) -> Results:
    """The newest record of every one of these checks; it may belong to a run that has not evaluated the check yet."""
    return instance.event_log_storage.get_latest_asset_check_execution_by_key(list(keys))


def contradicts(newest: AssetCheckExecutionRecord | None, evaluation: AssetCheckEvaluation) -> bool:
    """Whether the newest result has another verdict, for example because an operator ran the check earlier."""
    wrong = AssetCheckExecutionRecordStatus.FAILED if evaluation.passed else AssetCheckExecutionRecordStatus.SUCCEEDED
    return newest is not None and newest.status is wrong


def attach_to_materialization(evaluation: AssetCheckEvaluation, materialization: Target | None) -> AssetCheckEvaluation:
    """The same evaluation as a result of this materialization of the asset, if there is one."""
    return replace(evaluation, target_materialization_data=materialization)


def keep_visible(
    instance: DagsterInstance, newest: Results, evaluated: Mapping[AssetCheckKey, AssetCheckEvaluation]
) -> int:
    """Make the UI show the results again that a materialization has hidden; returns their number.

    Parameters
    ----------
    instance
        Dagster's records.
    newest
        The newest results; the failed ones are kept visible, with the time when they were found.
    evaluated
        Checks that were evaluated right now with the verdict of their newest result; kept visible, passed or failed.
    """
    storage = instance.event_log_storage
    wanted = [
        record
        for key, record in newest.items()
        if record.status is AssetCheckExecutionRecordStatus.FAILED
        or (record.status is AssetCheckExecutionRecordStatus.SUCCEEDED and key in evaluated)
    ]
    if not wanted or not isinstance(storage, SqlEventLogStorage):
        return 0
    targets = newest_materializations(instance, {record.key.asset_key for record in wanted})
    hidden = [
        (record, targets[record.key.asset_key])
        for record in wanted
        if _is_hidden(record, targets.get(record.key.asset_key))
    ]
    return sum(_attach(storage, record, target, evaluated.get(record.key)) for record, target in hidden)


def _is_hidden(record: AssetCheckExecutionRecord, materialization: Target | None) -> bool:
    """Whether the UI hides it: :meth:`AssetCheckExecutionRecord.targets_latest_materialization`, by storage id."""
    if materialization is None or materialization.run_id == record.run_id or record.evaluation is None:
        return False
    target = record.evaluation.target_materialization_data
    return target is None or target.storage_id != materialization.storage_id


def _attach(
    storage: SqlEventLogStorage,
    record: AssetCheckExecutionRecord,
    materialization: Target,
    evaluated: AssetCheckEvaluation | None,
) -> bool:
    """Attach a result to a materialization, unless its row was changed or removed meanwhile."""
    table = AssetCheckExecutionsTable
    row = table.c.id == record.id
    with storage.index_connection() as connection:
        text = connection.execute(sql.select(table.c.evaluation_event).where(row)).scalar()
    entry = deserialize_value(text, EventLogEntry) if text else None
    if entry is None or entry.dagster_event is None:
        return False
    before = entry.dagster_event.event_specific_data
    if not isinstance(before, AssetCheckEvaluation):
        return False
    after = replace(evaluated or _repeated(before, entry.timestamp), target_materialization_data=materialization)
    timestamp = datetime.now(UTC).timestamp() if evaluated else entry.timestamp
    event = entry.dagster_event._replace(event_specific_data=after)
    values = {
        "evaluation_event": serialize_value(entry._replace(dagster_event=event, timestamp=timestamp)),
        "materialization_event_storage_id": materialization.storage_id,
    }
    with storage.index_connection() as connection:
        is_unchanged = sql.and_(row, table.c.evaluation_event == text)
        return bool(connection.execute(sql.update(table).where(is_unchanged).values(values)).rowcount)


def _repeated(evaluation: AssetCheckEvaluation, found_at: float) -> AssetCheckEvaluation:
    """The same evaluation with the time when it was found, and a note that the asset is newer."""
    when = f"{datetime.fromtimestamp(found_at, UTC):%Y-%m-%d %H:%M:%S} UTC"
    return evaluation.with_metadata(
        {**evaluation.metadata, _FOUND: MetadataValue.text(when), _REPEATED: MetadataValue.text(_NOTE)}
    )


def _target(materialization: EventLogRecord) -> Target:
    return Target(
        storage_id=materialization.storage_id, run_id=materialization.run_id, timestamp=materialization.timestamp
    )
