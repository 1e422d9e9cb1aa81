"""Dagster's own records, bounded: a year of runs and observations every two minutes must not fill the disk.

What a run that is superseded said is removed after ``live.keep_runs``. Kept for ever is the newest materialization of
each partition, with its run: it is what the UI and the automation conditions know of a day.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy as sql
from dagster import (
    AssetRecordsFilter,
    Config,
    DagsterEventType,
    DagsterInstance,
    DefaultScheduleStatus,
    JobDefinition,
    OpExecutionContext,
    RunRecord,
    RunsFilter,
    ScheduleDefinition,
    job,
    op,
)
from dagster._core.storage.dagster_run import FINISHED_STATUSES
from dagster._core.storage.event_log import SqlEventLogStorage, SqliteEventLogStorage
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from pydantic import Field

from aurora_assets.site import Site
from aurora_assets.values import format_duration

_PAGE = 200
_TELL_EVERY = 500
JOB = "prune_records"


class Prune(Config):
    """What to prune, as the launchpad asks for it."""

    dry_run: bool = Field(default=False, description="Only say what would be removed.")
    older_than_days: float = Field(description="Runs that began longer ago than this.", ge=1)
    most: int = Field(default=100_000, description="Look at no more runs than this in one go.", ge=1)


@dataclass
class Pruned:
    """What became of Dagster's old records."""

    looked_at: int = 0
    removed: int = 0
    kept: int = 0
    observations: int = 0
    bytes: int = 0


def retention_schedule(site: Site, status: DefaultScheduleStatus) -> ScheduleDefinition:
    """Prunes once a day."""
    return ScheduleDefinition(
        name="retention",
        job=retention_job(site),
        cron_schedule=site.live.retention,
        default_status=status,
        description=(
            f"Removes Dagster's records of runs older than {format_duration(site.live.keep_runs)} that a newer run has "
            "superseded. Touches no data: nothing of the mirror, the products or the archive."
        ),
    )


def retention_job(site: Site) -> JobDefinition:
    """The job that prunes; an operator may start it with ``dry_run``."""
    defaults = {"older_than_days": site.live.keep_runs / timedelta(days=1)}

    @op(description="Remove Dagster's records of superseded runs, or say what would be removed.")
    def prune(context: OpExecutionContext, config: Prune) -> None:
        before = datetime.now(UTC) - timedelta(days=config.older_than_days)
        done = Pruned()
        for pruned in prune_runs(context.instance, before, config.dry_run, config.most):
            done = pruned
            if done.looked_at % _TELL_EVERY == 0:
                context.log.info(f"{done.looked_at} runs looked at, {done.removed} removed")
        done.observations = prune_observations(context.instance, before, config.dry_run)
        verb = "would be removed" if config.dry_run else "removed"
        context.log.info(
            f"of {done.looked_at} runs from before {before:%Y-%m-%d %H:%M} UTC, {done.removed} {verb} "
            f"({done.bytes / 1e6:.1f} MB), {done.kept} kept: they made what is newest of a partition; "
            f"{done.observations} observations {verb}"
        )
        context.add_output_metadata(
            {"removed": done.removed, "kept": done.kept, "bytes": done.bytes, "observations": done.observations}
        )

    @job(
        name=JOB,
        config={"ops": {"prune": {"config": defaults}}},
        description="Prune Dagster's own records of old, superseded runs. Data is never touched.",
    )
    def prune_records() -> None:
        prune()

    return prune_records


def prune_runs(instance: DagsterInstance, before: datetime, dry_run: bool, most: int) -> Iterator[Pruned]:
    """Remove finished runs from before then that are superseded; yields the counts after each run."""
    done = Pruned()
    for record in _oldest_first(instance, before, most):
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


def _oldest_first(instance: DagsterInstance, before: datetime, most: int) -> Iterator[RunRecord]:
    wanted = RunsFilter(statuses=FINISHED_STATUSES, created_before=before)
    page = instance.get_run_records(wanted, limit=min(_PAGE, most), ascending=True)
    looked_at = len(page)
    while page:
        # The next page is asked for before this one is worked on, because a cursor is lost with the run that it names.
        more = min(_PAGE, most - looked_at)
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
    """The run's own event database, which Dagster empties and leaves, and its captured logs."""
    storage = instance.event_log_storage
    if not isinstance(storage, SqliteEventLogStorage):
        return []
    shard = Path(storage.path_for_shard(run_id))
    return [file for suffix in ("", "-wal", "-shm") if (file := shard.with_name(shard.name + suffix)).exists()]


def prune_observations(instance: DagsterInstance, before: datetime, dry_run: bool) -> int:
    """Remove the sensors' observations from before then; returns how many. Runs take theirs with them."""
    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        return 0
    table = SqlEventLogStorageTable
    # Events of no run have the empty run id. The newest is the state that the UI shows.
    old = sql.and_(
        table.c.run_id == "",
        table.c.dagster_event_type == DagsterEventType.ASSET_OBSERVATION.value,
        table.c.timestamp < before.replace(tzinfo=None),
        table.c.id.not_in(sql.select(sql.func.max(table.c.id)).where(table.c.run_id == "").group_by(table.c.asset_key)),
    )
    with storage.index_connection() as connection:
        if dry_run:
            return int(connection.execute(sql.select(sql.func.count()).where(old)).scalar() or 0)
        return int(connection.execute(sql.delete(table).where(old)).rowcount)
