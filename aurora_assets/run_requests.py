"""Whether a day gets a run: not while it has one, not for the same thing twice, and after a failure not at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property

from dagster import AssetKey, DagsterInstance, DagsterRunStatus, RunRecord, RunsFilter
from dagster._core.storage.tags import PARTITION_NAME_TAG

from aurora_assets import run_tags

UNFINISHED = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]
_FAILED = [DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED]
_LONGEST_PAUSE = timedelta(hours=1)
_SOON = 4  # sensor intervals
_LOOK_BACK = 40  # runs of a day: more than an hour of them


@dataclass(frozen=True)
class Attempt:
    """A run that is to be asked for."""

    listing: str
    """What is to be fetched, as a digest."""
    after: str
    """The run before it. With the listing it makes the run key: asked for twice, it is one run."""


def has_unfinished(instance: DagsterInstance, job: str, tags: Mapping[str, str] | None = None) -> bool:
    """Whether a run of a job, with these tags, is queued or going."""
    return bool(instance.get_run_records(RunsFilter(job_name=job, tags=tags, statuses=UNFINISHED), limit=1))


def on_its_way(instance: DagsterInstance, job: str, raw: AssetKey) -> dict[str, str]:
    """Partition -> state of each unfinished run that mirrors a day of a stream, whoever asked for it.

    A range of days in the lane of history, or a backfill, is not counted: it may take days, and what arrives now does
    not wait for it. Both may then work on the same day; they have the mirror's locks and the products' for that.
    """
    found = {}
    for record in instance.get_run_records(RunsFilter(statuses=UNFINISHED)):
        run = record.dagster_run
        if run.job_name != job and raw not in (run.asset_selection or ()):
            continue
        if partition := run.tags.get(PARTITION_NAME_TAG):
            found[partition] = run.status.value.lower()
        elif not run_tags.is_history(run.tags):
            found |= dict.fromkeys(_range(run.tags), run.status.value.lower())
    return found


def _range(tags: Mapping[str, str]) -> list[str]:
    try:
        first, last = (date.fromisoformat(tags[end]) for end in run_tags.range_tags("", ""))
    except (KeyError, ValueError):
        return []
    return [str(first + timedelta(days=n)) for n in range((last - first).days + 1)]


class Attempts:
    """What Dagster knows of earlier runs of a job, a partition at a time.

    ``remarks`` collects why days that seem to need a run do not get one.
    """

    def __init__(
        self, instance: DagsterInstance, job: str, raw: AssetKey, partitions: Sequence[str], pause: timedelta
    ) -> None:
        """``partitions`` are those that may be asked about."""
        self.instance = instance
        self.job = job
        self.partitions = partitions
        self.pause = pause
        self.going = on_its_way(instance, job, raw)
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
        if partition in self.going:
            if missing:
                self.remarks.append(f"{partition} has a run that is {self.going[partition]}")
            return None
        if not missing and not self._any_failed:
            return None
        wanted = RunsFilter(job_name=self.job, tags={PARTITION_NAME_TAG: partition})
        runs = list(self.instance.get_run_records(wanted, limit=_LOOK_BACK))  # newest first
        if not runs:
            return Attempt(missing, "first") if missing else None
        newest = runs[0].dagster_run
        listing = missing or newest.tags.get(run_tags.LISTING, "again")
        failures = _failures(runs)
        if not failures and (not missing or self._was_tried(partition, runs, missing)):
            return None
        if failures and self._must_wait(partition, failures, missing):
            return None
        return Attempt(listing, newest.run_id[:8])

    @cached_property
    def _any_failed(self) -> bool:
        """Whether a run of any of these days has ever failed: one question instead of one a day, at most ticks."""
        wanted = RunsFilter(job_name=self.job, tags={PARTITION_NAME_TAG: self.partitions}, statuses=_FAILED)
        return self.instance.get_runs_count(wanted) > 0

    def _was_tried(self, partition: str, runs: list[RunRecord], missing: str) -> bool:
        """Whether a run was for the very same files and could not copy them; once an hour it is tried again.

        Not the last run alone: that may have brought a new file, and left the same ones as the run before it.
        """
        tried = next((record for record in runs if record.dagster_run.tags.get(run_tags.LISTING) == missing), None)
        if tried is None or datetime.now(UTC) >= (again := _ended(tried) + _LONGEST_PAUSE):
            return False
        self.remarks.append(
            f"{partition}: run {tried.dagster_run.run_id[:8]} could not copy some files (see its refused_files); "
            f"tried again after {again:%H:%M:%S} UTC"
        )
        return True

    def _must_wait(self, partition: str, failures: list[RunRecord], missing: str | None) -> bool:
        # What is new is brought soon, also where a product of the day fails again and again.
        is_new = missing is not None and missing != failures[0].dagster_run.tags.get(run_tags.LISTING, missing)
        longest = _SOON * self.pause if is_new else _LONGEST_PAUSE
        again = _ended(failures[0]) + min(self.pause * 2 ** (len(failures) - 1), longest)
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
