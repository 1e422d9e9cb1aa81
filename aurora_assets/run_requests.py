"""Decides whether a day gets a run: not while it has one, not twice for the same files, after a failure only later."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property

from dagster import AssetKey, DagsterInstance, DagsterRunStatus, RunRecord, RunsFilter
from dagster._core.storage.tags import PARTITION_NAME_TAG

from aurora_assets import run_tags
from aurora_platform.text import counted

UNFINISHED = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]
_FAILED = [DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED]
_LONGEST_PAUSE = timedelta(hours=1)
_NEW_FILES_PAUSE = 4  # sensor intervals; the longest pause if there are new files
_NEWEST_RUNS = 40  # runs of a day: more than an hour of them


@dataclass(frozen=True)
class NewRun:
    """A run to request."""

    fingerprint: str
    """The fingerprint of the missing files."""
    previous_run: str
    """The run before it. With the fingerprint it makes the run key, so that a repeated request starts one run."""


def has_unfinished(instance: DagsterInstance, job: str, tags: Mapping[str, str] | None = None) -> bool:
    """Whether a run of a job, with these tags, is queued or in progress."""
    return bool(instance.get_run_records(RunsFilter(job_name=job, tags=tags, statuses=UNFINISHED), limit=1))


def unfinished_runs(instance: DagsterInstance, job: str, raw: AssetKey) -> dict[str, str]:
    """Partition -> state of every unfinished run that mirrors a day of a stream, started by anyone.

    A range of days in the history lane, or a backfill, does not count: it may take days, and new files do not wait for
    it. Both may then work on the same day; the locks of the mirror and of the products allow that.
    """
    states = {}
    for record in instance.get_run_records(RunsFilter(statuses=UNFINISHED)):
        run = record.dagster_run
        if run.job_name != job and raw not in (run.asset_selection or ()):
            continue
        if partition := run.tags.get(PARTITION_NAME_TAG):
            states[partition] = run.status.value.lower()
        elif not run_tags.is_history(run.tags):
            states |= dict.fromkeys(_range_partitions(run.tags), run.status.value.lower())
    return states


def _range_partitions(tags: Mapping[str, str]) -> list[str]:
    try:
        first, last = (date.fromisoformat(tags[end]) for end in run_tags.range_tags("", ""))
    except (KeyError, ValueError):
        return []
    return [str(first + timedelta(days=n)) for n in range((last - first).days + 1)]


class EarlierRuns:
    """Dagster's records of earlier runs of a job, read per partition.

    ``skip_reasons`` collects the reasons why days with missing files or failed runs get no run.
    """

    def __init__(
        self, instance: DagsterInstance, job: str, raw: AssetKey, partitions: Sequence[str], pause: timedelta
    ) -> None:
        """``partitions`` are all partitions for which :meth:`next_run` may be called."""
        self.instance = instance
        self.job = job
        self.partitions = partitions
        self.pause = pause
        self.unfinished = unfinished_runs(instance, job, raw)
        self.skip_reasons: list[str] = []

    def next_run(self, partition: str, missing: str | None) -> NewRun | None:
        """The run that a day needs now; None if it needs none.

        Parameters
        ----------
        partition
            The day's partition key.
        missing
            The fingerprint of the files that are missing locally; None if no file is. Even then a day needs a run if
            its last run failed: that run may have ended between the copy and the products.
        """
        if partition in self.unfinished:
            if missing:
                self.skip_reasons.append(f"{partition} already has a run that is {self.unfinished[partition]}")
            return None
        if not missing and not self._has_failed:
            return None
        wanted = RunsFilter(job_name=self.job, tags={PARTITION_NAME_TAG: partition})
        runs = list(self.instance.get_run_records(wanted, limit=_NEWEST_RUNS))  # newest first
        if not runs:
            return NewRun(missing, "first") if missing else None
        newest = runs[0].dagster_run
        fingerprint = missing or newest.tags.get(run_tags.LISTING, "again")
        failures = _newest_failures(runs)
        if not failures and (not missing or self._could_not_copy(partition, runs, missing)):
            return None
        if failures and self._is_pausing(partition, failures, missing):
            return None
        return NewRun(fingerprint, newest.run_id[:8])

    @cached_property
    def _has_failed(self) -> bool:
        """Whether a run of any of these days has ever failed: for most ticks one query instead of one per day."""
        wanted = RunsFilter(job_name=self.job, tags={PARTITION_NAME_TAG: self.partitions}, statuses=_FAILED)
        return self.instance.get_runs_count(wanted) > 0

    def _could_not_copy(self, partition: str, runs: list[RunRecord], missing: str) -> bool:
        """Whether a run of the last hour was for the same files and could not copy them.

        Any run, not only the last one: that may have copied a new file, and failed for the same files as before.
        """
        tried = next((record for record in runs if record.dagster_run.tags.get(run_tags.LISTING) == missing), None)
        if tried is None or datetime.now(UTC) >= (again := _end_of(tried) + _LONGEST_PAUSE):
            return False
        self.skip_reasons.append(
            f"{partition}: run {tried.dagster_run.run_id[:8]} could not copy some files (see its refused_files); "
            f"tried again after {again:%H:%M:%S} UTC"
        )
        return True

    def _is_pausing(self, partition: str, failures: list[RunRecord], missing: str | None) -> bool:
        # New files are copied soon, even if a product of the day fails every time.
        is_new = missing is not None and missing != failures[0].dagster_run.tags.get(run_tags.LISTING, missing)
        longest = _NEW_FILES_PAUSE * self.pause if is_new else _LONGEST_PAUSE
        again = _end_of(failures[0]) + min(self.pause * 2 ** (len(failures) - 1), longest)
        if datetime.now(UTC) >= again:
            return False
        self.skip_reasons.append(
            f"{partition} failed {counted(len(failures), 'time')}, last in run {failures[0].dagster_run.run_id[:8]}; "
            f"tried again after {again:%H:%M:%S} UTC"
        )
        return True


def _end_of(record: RunRecord) -> datetime:
    return datetime.fromtimestamp(record.end_time or record.update_timestamp.timestamp(), UTC)


def _newest_failures(runs: list[RunRecord]) -> list[RunRecord]:
    """The runs that failed or were cancelled since the last successful run, newest first."""
    failed = []
    for record in runs:
        if record.dagster_run.status == DagsterRunStatus.SUCCESS:
            break
        failed.append(record)
    return failed
