"""Results of asset checks stay in sight when their asset is materialized again.

Dagster's UI shows a check's newest result only while it belongs to the newest materialization of the asset: two minutes
after a check has failed, the next arrival makes it "not evaluated". Here such a result is made to belong to the newest
materialization, in the row where it stands. No row is added, so nothing grows; and a newer result, which has a row of
its own, is always the newest, whoever writes first.

Reaches below Dagster's own interface, which has no way to say this of a result of an earlier run.
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
_WHY = "The asset was materialized since. The check has not been evaluated again: this is what it found then."


def targets(instance: DagsterInstance, assets: Collection[AssetKey]) -> dict[AssetKey, Target]:
    """The newest materialization of each of some assets that has one, of whatever partition it is."""
    found = {}
    for record in instance.get_asset_records(list(assets)) if assets else ():
        made = record.asset_entry.last_materialization_record
        if made is not None:
            found[record.asset_entry.asset_key] = _target(made)
    return found


def newest_results(instance: DagsterInstance, keys: Collection[AssetCheckKey]) -> Results:
    """The newest record of each of some checks, which may be that of a run that has yet to evaluate it."""
    return instance.event_log_storage.get_latest_asset_check_execution_by_key(list(keys))


def contradicts(newest: AssetCheckExecutionRecord | None, evaluation: AssetCheckEvaluation) -> bool:
    """Whether somebody else has written another verdict than what is so now: an operator, before it changed back."""
    wrong = AssetCheckExecutionRecordStatus.FAILED if evaluation.passed else AssetCheckExecutionRecordStatus.SUCCEEDED
    return newest is not None and newest.status is wrong


def shown_with(evaluation: AssetCheckEvaluation, made: Target | None) -> AssetCheckEvaluation:
    """The same evaluation as a result of this materialization of the asset, where it has one."""
    return replace(evaluation, target_materialization_data=made)


def keep_in_sight(
    instance: DagsterInstance, newest: Results, evaluated: Mapping[AssetCheckKey, AssetCheckEvaluation]
) -> int:
    """Make the UI show again what a materialization has hidden; returns how many results.

    Parameters
    ----------
    instance
        Dagster's records.
    newest
        Results of which those that failed are kept in sight. They say when they were found.
    evaluated
        Checks that were evaluated right now, with the verdict of their newest result: kept in sight, passed or failed.
    """
    storage = instance.event_log_storage
    wanted = [
        one
        for key, one in newest.items()
        if one.status is AssetCheckExecutionRecordStatus.FAILED
        or (one.status is AssetCheckExecutionRecordStatus.SUCCEEDED and key in evaluated)
    ]
    if not wanted or not isinstance(storage, SqlEventLogStorage):
        return 0
    made = targets(instance, {one.key.asset_key for one in wanted})
    hidden = [(one, made[one.key.asset_key]) for one in wanted if _is_hidden(one, made.get(one.key.asset_key))]
    return sum(_retarget(storage, one, target, evaluated.get(one.key)) for one, target in hidden)


def _is_hidden(one: AssetCheckExecutionRecord, made: Target | None) -> bool:
    """Whether the UI leaves it out: :meth:`AssetCheckExecutionRecord.targets_latest_materialization`, by storage id."""
    if made is None or made.run_id == one.run_id or one.evaluation is None:
        return False
    target = one.evaluation.target_materialization_data
    return target is None or target.storage_id != made.storage_id


def _retarget(
    storage: SqlEventLogStorage, one: AssetCheckExecutionRecord, made: Target, evaluated: AssetCheckEvaluation | None
) -> bool:
    """Make a result belong to a materialization, unless its row was written anew or removed meanwhile."""
    table = AssetCheckExecutionsTable
    this = table.c.id == one.id
    with storage.index_connection() as connection:
        text = connection.execute(sql.select(table.c.evaluation_event).where(this)).scalar()
    entry = deserialize_value(text, EventLogEntry) if text else None
    if entry is None or entry.dagster_event is None:
        return False
    before = entry.dagster_event.event_specific_data
    if not isinstance(before, AssetCheckEvaluation):
        return False
    after = replace(evaluated or _repeated(before, entry.timestamp), target_materialization_data=made)
    timestamp = datetime.now(UTC).timestamp() if evaluated else entry.timestamp
    event = entry.dagster_event._replace(event_specific_data=after)
    values = {
        "evaluation_event": serialize_value(entry._replace(dagster_event=event, timestamp=timestamp)),
        "materialization_event_storage_id": made.storage_id,
    }
    with storage.index_connection() as connection:
        is_as_it_was = sql.and_(this, table.c.evaluation_event == text)
        return bool(connection.execute(sql.update(table).where(is_as_it_was).values(values)).rowcount)


def _repeated(evaluation: AssetCheckEvaluation, found_at: float) -> AssetCheckEvaluation:
    """The same with when it was found, and why it is shown though the asset is newer."""
    when = f"{datetime.fromtimestamp(found_at, UTC):%Y-%m-%d %H:%M:%S} UTC"
    return evaluation.with_metadata(
        {**evaluation.metadata, _FOUND: MetadataValue.text(when), _REPEATED: MetadataValue.text(_WHY)}
    )


def _target(made: EventLogRecord) -> Target:
    return Target(storage_id=made.storage_id, run_id=made.run_id, timestamp=made.timestamp)
