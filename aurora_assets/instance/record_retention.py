"""Removing what Dagster has recorded and a newer record has superseded: runs, observations, results of checks, logs.

Reaches below Dagster's own interface, which has no retention for these. ``schedules/record_retention.py`` says when.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sql
from dagster import AssetRecordsFilter, DagsterEventType, DagsterInstance, RunRecord, RunsFilter
from dagster._core.definitions.repository_definition import SINGLETON_REPOSITORY_NAME
from dagster._core.instance import RUNLESS_RUN_ID
from dagster._core.storage.asset_check_execution_record import (
    COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES as COMPLETED,
)
from dagster._core.storage.dagster_run import FINISHED_STATUSES
from dagster._core.storage.event_log import SqlEventLogStorage, SqliteEventLogStorage
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable, SqlEventLogStorageTable
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager
from dagster._core.storage.schedules.schema import JobTickTable
from dagster._core.storage.schedules.sql_schedule_storage import SqlScheduleStorage

from aurora_assets.instance.check_results import LOOK_BACK

_PAGE = 200


@dataclass
class Pruned:
    """What became of Dagster's old records."""

    looked_at: int = 0
    removed: int = 0
    kept: int = 0
    observations: int = 0
    checks: int = 0
    tick_logs: int = 0
    bytes: int = 0


def prune_runs(
    instance: DagsterInstance, before: datetime, dry_run: bool, most: int, at_once: int = _PAGE
) -> Iterator[Pruned]:
    """Remove finished runs from before then that are superseded; yields the counts after each run.

    It looks at ``most`` runs, of which it asks for ``at_once`` at a time.
    """
    done = Pruned()
    for record in _oldest_first(instance, before, most, at_once):
        run_id = record.dagster_run.run_id
        done.looked_at += 1
        if _is_newest_of_something(instance, run_id):
            done.kept += 1
        else:
            files = _files(instance, run_id)
            done.bytes += sum(file.stat().st_size for file in files)
            done.removed += 1
            if not dry_run:
                instance.delete_run(run_id)
                instance.compute_log_manager.delete_logs(prefix=[run_id])
                for file in files:
                    file.unlink(missing_ok=True)
        yield done


def _oldest_first(instance: DagsterInstance, before: datetime, most: int, at_once: int) -> Iterator[RunRecord]:
    wanted = RunsFilter(statuses=FINISHED_STATUSES, created_before=before)
    page = instance.get_run_records(wanted, limit=min(at_once, most), ascending=True)
    looked_at = len(page)
    while page:
        # The next page is asked for before this one is worked on, because a cursor is lost with the run that it names.
        more = min(at_once, most - looked_at)
        cursor = page[-1].dagster_run.run_id
        following = instance.get_run_records(wanted, limit=more, ascending=True, cursor=cursor) if more else []
        looked_at += len(following)
        yield from page
        page = following


def _is_newest_of_something(instance: DagsterInstance, run_id: str) -> bool:
    """Whether any partition's newest materialization is of this run."""
    for record in instance.get_records_for_run(run_id, of_type=DagsterEventType.ASSET_MATERIALIZATION).records:
        made = record.event_log_entry.asset_materialization
        if made is None:
            continue
        of = AssetRecordsFilter(made.asset_key, asset_partitions=[made.partition] if made.partition else None)
        newest = instance.fetch_materializations(of, limit=1).records
        if newest and newest[0].run_id == run_id:
            return True
    return False


def _files(instance: DagsterInstance, run_id: str) -> list[Path]:
    """The run's own event database, which Dagster empties and leaves; its log first, which without it means nothing."""
    storage = instance.event_log_storage
    if not isinstance(storage, SqliteEventLogStorage):
        return []
    shard = Path(storage.path_for_shard(run_id))
    return [file for suffix in ("-wal", "-shm", "") if (file := shard.with_name(shard.name + suffix)).exists()]


def prune_observations(instance: DagsterInstance, before: datetime, dry_run: bool) -> int:
    """Remove the sensors' observations from before then; returns how many. Runs take theirs with them."""
    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        return 0
    table = SqlEventLogStorageTable
    # Events of no run have the empty run id.
    observed = sql.and_(
        table.c.run_id == RUNLESS_RUN_ID, table.c.dagster_event_type == DagsterEventType.ASSET_OBSERVATION.value
    )
    # The newest is the state that the UI shows.
    newest = sql.select(sql.func.max(table.c.id)).where(observed).group_by(table.c.asset_key)
    old = sql.and_(observed, table.c.timestamp < before.replace(tzinfo=None), table.c.id.not_in(newest))
    if isinstance(storage, SqliteEventLogStorage):
        # There each event stands twice: in the index, and in a file of its run, also where it is of none.
        _delete(storage.run_connection(RUNLESS_RUN_ID), table, old, dry_run)
    return _delete(storage.index_connection(), table, old, dry_run)


def prune_checks(instance: DagsterInstance, before: datetime, dry_run: bool, now: datetime | None = None) -> int:
    """Remove the results of asset checks from before then, which runs leave behind; returns how many.

    What the health report reads stays: the results of its look back, and the newest of each check.
    """
    now = now or datetime.now(UTC)
    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        return 0
    table = AssetCheckExecutionsTable
    newest = sql.select(sql.func.max(table.c.id)).group_by(table.c.asset_key, table.c.check_name, table.c.partition)
    # What a run has yet to evaluate, or never did, stands as it stood before.
    completed = table.c.execution_status.in_([status.value for status in COMPLETED])
    counts = sql.and_(completed, table.c.evaluation_event_timestamp >= (now - LOOK_BACK).replace(tzinfo=None))
    old = sql.and_(
        table.c.create_timestamp < before.replace(tzinfo=None),
        table.c.id.not_in(newest),
        table.c.id.not_in(newest.where(completed)),
        sql.not_(sql.func.coalesce(counts, sql.false())),
    )
    return _delete(storage.index_connection(), table, old, dry_run)


def _delete(
    connect: AbstractContextManager[sql.Connection], table: sql.Table, these: sql.ColumnElement[bool], dry_run: bool
) -> int:
    with connect as connection:
        if dry_run:
            return int(connection.execute(sql.select(sql.func.count()).where(these)).scalar() or 0)
        return int(connection.execute(sql.delete(table).where(these)).rowcount)


def prune_tick_logs(instance: DagsterInstance, dry_run: bool) -> int:
    """Remove the logs of ticks that Dagster has purged by now (``retention`` in dagster.yaml); returns how many.

    Dagster writes one for each tick, and leaves it when it forgets the tick: some two million files a year.
    """
    logs, storage = instance.compute_log_manager, instance.schedule_storage
    if not isinstance(logs, LocalComputeLogManager) or not isinstance(storage, SqlScheduleStorage):
        return 0
    place = Path(logs.get_captured_local_path([SINGLETON_REPOSITORY_NAME], "err")).with_suffix("")
    # Listed first: a tick that begins meanwhile has its log after this, and its record before that.
    files = list(place.glob("*/*.err"))
    with storage.connect() as connection:
        ticks = {str(tick) for tick in connection.execute(sql.select(JobTickTable.c.id)).scalars()}
    orphans = [file for file in files if file.stem not in ticks]
    for file in () if dry_run else orphans:
        file.unlink(missing_ok=True)
    return len(orphans)
