"""Whether a day gets a run: not while it has one, not for the same thing twice, and after a failure not at once."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from dagster import DagsterInstance, DagsterRunStatus, RunRecord, RunsFilter

from aurora_assets import lanes

UNFINISHED = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]
_LONGEST_PAUSE = timedelta(hours=1)
_LOOK_BACK = 12  # runs of a day; after so many failures in a row the pause has long been the longest


@dataclass(frozen=True)
class Attempt:
    """A run that is to be asked for."""

    listing: str
    """What is to be fetched, as a digest."""
    after: str
    """The run before it. With the listing it makes the run key: asked for twice, it is one run."""


class Attempts:
    """What Dagster knows of earlier runs of a job, a partition at a time.

    ``remarks`` collects why days that seem to need a run do not get one.
    """

    def __init__(self, instance: DagsterInstance, job: str, pause: timedelta) -> None:
        self.instance = instance
        self.job = job
        self.pause = pause
        self.remarks: list[str] = []

    def next(self, partition: str, missing: str | None) -> Attempt | None:
        """The run that a day needs; None where it needs none now.

        Parameters
        ----------
        partition
            The day's partition key.
        missing
            The digest of what is missing here; None where nothing is. Even then a run is needed where the last one
            failed: it may have ended between the copy and the products.
        """
        wanted = RunsFilter(job_name=self.job, tags={"dagster/partition": partition})
        runs = list(self.instance.get_run_records(wanted, limit=_LOOK_BACK))  # newest first
        if not runs:
            return Attempt(missing, "first") if missing else None
        newest = runs[0].dagster_run
        listing = missing or newest.tags.get(lanes.LISTING, "again")
        # Any, not the newest alone: one that waits in the queue may have been overtaken.
        if going := [record.dagster_run for record in runs if record.dagster_run.status in UNFINISHED]:
            if missing:
                self.remarks.append(f"{partition} has a run that is {going[0].status.value.lower()}")
            return None
        failures = _failures(runs)
        if not failures and (not missing or self._was_tried(partition, runs, missing)):
            return None
        if failures and self._must_wait(partition, failures):
            return None
        return Attempt(listing, newest.run_id[:8])

    def _was_tried(self, partition: str, runs: list[RunRecord], missing: str) -> bool:
        """Whether a run was for the very same files and could not copy them; once an hour it is tried again.

        Not the last run alone: that may have brought a new file, and left the same ones as the run before it.
        """
        tried = next((record for record in runs if record.dagster_run.tags.get(lanes.LISTING) == missing), None)
        if tried is None or datetime.now(UTC) >= (again := _ended(tried) + _LONGEST_PAUSE):
            return False
        self.remarks.append(
            f"{partition}: run {tried.dagster_run.run_id[:8]} could not copy some files (see its refused_files); "
            f"tried again after {again:%H:%M:%S} UTC"
        )
        return True

    def _must_wait(self, partition: str, failures: list[RunRecord]) -> bool:
        again = _ended(failures[0]) + min(self.pause * 2 ** (len(failures) - 1), _LONGEST_PAUSE)
        if datetime.now(UTC) >= again:
            return False
        self.remarks.append(
            f"{partition} failed {len(failures)} times, last in run {failures[0].dagster_run.run_id[:8]}; "
            f"tried again after {again:%H:%M:%S} UTC"
        )
        return True


def _ended(record: RunRecord) -> datetime:
    return datetime.fromtimestamp(record.end_time or record.update_timestamp.timestamp(), UTC)


def _failures(runs: list[RunRecord]) -> list[RunRecord]:
    """The runs that failed or were cancelled since the last that succeeded, newest first."""
    failed = []
    for record in runs:
        if record.dagster_run.status == DagsterRunStatus.SUCCESS:
            break
        failed.append(record)
    return failed
