"""Removes Dagster's superseded records: runs, observations, check results, and logs of ticks.

Uses Dagster's private interface: the public one has no retention for these. ``schedules/record_retention.py`` runs it.
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

from aurora_assets.instance.check_results import MAX_RESULT_AGE

_PAGE_SIZE = 200


@dataclass
class RemovedRecords:
    """The counts of a removal of Dagster's old records."""

    looked_at: int = 0
    removed: int = 0
    kept: int = 0
    observations: int = 0
    checks: int = 0
    tick_logs: int = 0
    bytes: int = 0


def remove_runs(
    instance: DagsterInstance, before: datetime, dry_run: bool, most: int, page_size: int = _PAGE_SIZE
) -> Iterator[RemovedRecords]:
    """Remove superseded finished runs that were created before then; yields the counts after every run.

    At most ``most`` runs are examined; they are read in pages of ``page_size``.
    """
    done = RemovedRecords()
    for record in _oldest_first(instance, before, most, page_size):
        run_id = record.dagster_run.run_id
        done.looked_at += 1
        if _has_newest_materialization(instance, run_id):
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


def _oldest_first(instance: DagsterInstance, before: datetime, most: int, page_size: int) -> Iterator[RunRecord]:
    wanted = RunsFilter(statuses=FINISHED_STATUSES, created_before=before)
    page = instance.get_run_records(wanted, limit=min(page_size, most), ascending=True)
    count = len(page)
    while page:
        # Read the next page before the runs of this page are removed: the cursor is lost with the run that it names.
        limit = min(page_size, most - count)
        cursor = page[-1].dagster_run.run_id
        next_page = instance.get_run_records(wanted, limit=limit, ascending=True, cursor=cursor) if limit else []
        count += len(next_page)
        yield from page
        page = next_page


def _has_newest_materialization(instance: DagsterInstance, run_id: str) -> bool:
    """Whether this run made the newest materialization of any partition."""
    for record in instance.get_records_for_run(run_id, of_type=DagsterEventType.ASSET_MATERIALIZATION).records:
        materialization = record.event_log_entry.asset_materialization
        if materialization is None:
            continue
        partition = materialization.partition
        wanted = AssetRecordsFilter(materialization.asset_key, asset_partitions=[partition] if partition else None)
        newest = instance.fetch_materializations(wanted, limit=1).records
        if newest and newest[0].run_id == run_id:
            return True
    return False


def _files(instance: DagsterInstance, run_id: str) -> list[Path]:
    """The run's event database, which Dagster empties but does not delete; the WAL first: it is useless alone."""
    storage = instance.event_log_storage
    if not isinstance(storage, SqliteEventLogStorage):
        return []
    shard = Path(storage.path_for_shard(run_id))
    return [file for suffix in ("-wal", "-shm", "") if (file := shard.with_name(shard.name + suffix)).exists()]


def remove_observations(instance: DagsterInstance, before: datetime, dry_run: bool) -> int:
    """Remove the sensors' observations from before then; returns their number. A run's are removed with the run."""
    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        return 0
    table = SqlEventLogStorageTable
    # Events without a run have the empty run id.
    observed = sql.and_(
        table.c.run_id == RUNLESS_RUN_ID, table.c.dagster_event_type == DagsterEventType.ASSET_OBSERVATION.value
    )
    # The UI shows the newest as the current state.
    newest = sql.select(sql.func.max(table.c.id)).where(observed).group_by(table.c.asset_key)
    old = sql.and_(observed, table.c.timestamp < before.replace(tzinfo=None), table.c.id.not_in(newest))
    if isinstance(storage, SqliteEventLogStorage):
        # SQLite has every event twice: in the index, and in the file of its run (also of the empty run id).
        _delete(storage.run_connection(RUNLESS_RUN_ID), table, old, dry_run)
    return _delete(storage.index_connection(), table, old, dry_run)


def remove_check_results(
    instance: DagsterInstance, before: datetime, dry_run: bool, now: datetime | None = None
) -> int:
    """Remove results of asset checks from before then, which stay when their run is removed; returns their number.

    Results that the health report reads stay: those of the last ``MAX_RESULT_AGE``, and the newest of every check.
    """
    now = now or datetime.now(UTC)
    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        return 0
    table = AssetCheckExecutionsTable
    newest = sql.select(sql.func.max(table.c.id)).group_by(table.c.asset_key, table.c.check_name, table.c.partition)
    # While a planned evaluation is not completed, the last completed result counts.
    completed = table.c.execution_status.in_([status.value for status in COMPLETED])
    counts = sql.and_(completed, table.c.evaluation_event_timestamp >= (now - MAX_RESULT_AGE).replace(tzinfo=None))
    old = sql.and_(
        table.c.create_timestamp < before.replace(tzinfo=None),
        table.c.id.not_in(newest),
        table.c.id.not_in(newest.where(completed)),
        sql.not_(sql.func.coalesce(counts, sql.false())),
    )
    return _delete(storage.index_connection(), table, old, dry_run)


def _delete(
    connect: AbstractContextManager[sql.Connection], table: sql.Table, condition: sql.ColumnElement[bool], dry_run: bool
) -> int:
    with connect as connection:
        if dry_run:
            return int(connection.execute(sql.select(sql.func.count()).where(condition)).scalar() or 0)
        return int(connection.execute(sql.delete(table).where(condition)).rowcount)


def remove_tick_logs(instance: DagsterInstance, dry_run: bool) -> int:
    """Remove the logs of ticks that Dagster has purged (``retention`` in dagster.yaml); returns their number.

    Dagster writes a log file per tick and does not delete it with the tick: about two million files per year.
    """
    logs, storage = instance.compute_log_manager, instance.schedule_storage
    if not isinstance(logs, LocalComputeLogManager) or not isinstance(storage, SqlScheduleStorage):
        return 0
    directory = Path(logs.get_captured_local_path([SINGLETON_REPOSITORY_NAME], "err")).with_suffix("")
    # List the files first: a tick that begins meanwhile creates its log later, and its record before its log.
    files = list(directory.glob("*/*.err"))
    with storage.connect() as connection:
        ticks = {str(tick) for tick in connection.execute(sql.select(JobTickTable.c.id)).scalars()}
    orphans = [file for file in files if file.stem not in ticks]
    for file in () if dry_run else orphans:
        file.unlink(missing_ok=True)
    return len(orphans)
