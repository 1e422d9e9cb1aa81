"""Open failures of asset checks in Dagster's records, by partition. Read-only.

A check result for one partition does not apply to another. So a failed result stays open until newer results of the
same check cover its partition or range of partitions. Dagster's records of checks do not have the partition; the tags
of their run do.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import batched

import sqlalchemy as sql
from dagster import AssetCheckKey, AssetKey, DagsterInstance
from dagster._core.storage.asset_check_execution_record import (
    AssetCheckExecutionRecord,
    AssetCheckExecutionRecordStatus,
)
from dagster._core.storage.event_log import SqlEventLogStorage
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable
from dagster._core.storage.runs.schema import RunsTable, RunTagsTable
from dagster._core.storage.runs.sql_run_storage import SqlRunStorage
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
)

from aurora_assets.partitions import day_of_key, hour_of_key

MAX_RESULT_AGE = timedelta(days=14)
"""An older result counts only if it is the newest of its check."""
MAX_RESULTS = 20_000
"""At most this many failed results, and as many passed results, are read."""
_MAX_ROWS_BACK = 100_000
_MAX_VALUES = 10_000  # values in one query
_TAGS = (PARTITION_NAME_TAG, ASSET_PARTITION_RANGE_START_TAG, ASSET_PARTITION_RANGE_END_TAG)
_PASSED, _FAILED = AssetCheckExecutionRecordStatus.SUCCEEDED, AssetCheckExecutionRecordStatus.FAILED


@dataclass(frozen=True)
class Span:
    """A partition, or the first and the last of a range of partitions."""

    first: str
    last: str

    def __str__(self) -> str:
        return self.first if self.first == self.last else f"{self.first} to {self.last}"

    @property
    def times(self) -> tuple[datetime, datetime] | None:
        """Begin and end of the time that it covers; None if its keys are neither days nor hours."""
        first, last = _interval_of(self.first), _interval_of(self.last)
        return (first[0], last[1]) if first and last else None


@dataclass(frozen=True)
class Result:
    """A result of a check, without its description and metadata."""

    id: int
    key: AssetCheckKey
    run_id: str
    has_passed: bool
    evaluated_at: datetime | None
    span: Span | None = None
    """None: its run has no partition."""


@dataclass
class OpenFailures:
    """Failed results of one check that no newer result covers, newest first."""

    results: list[Result] = field(default_factory=list)
    since: datetime | None = None
    """When the oldest of them was found."""
    has_passed: bool = False
    """Whether any result that was read passed."""


class _CoveredPartitions:
    """The partitions that the results read so far cover."""

    def __init__(self) -> None:
        self._spans: set[Span | None] = set()
        self._intervals: list[tuple[datetime, datetime]] = []

    def has(self, span: Span | None) -> bool:
        if span in self._spans:
            return True
        times = span.times if span else None
        return times is not None and any(a <= times[0] and times[1] <= b for a, b in self._intervals)

    def add(self, span: Span | None) -> None:
        if self.has(span):
            return
        self._spans.add(span)
        if span is None or (times := span.times) is None:
            return
        begin, end = times
        apart = [interval for interval in self._intervals if interval[1] < begin or end < interval[0]]
        touching = [interval for interval in self._intervals if not (interval[1] < begin or end < interval[0])]
        self._intervals = [*apart, (min([begin, *(a for a, _ in touching)]), max([end, *(b for _, b in touching)]))]


def open_failures(
    instance: DagsterInstance, keys: Collection[AssetCheckKey], since: datetime, most: int = MAX_RESULTS
) -> dict[AssetCheckKey, OpenFailures]:
    """The open failures since then, of every one of these checks that has any.

    At most the newest ``most`` records are read; an older record never counts as a failure.
    """
    results = _results(instance, keys, since, most)
    found: dict[AssetCheckKey, OpenFailures] = {}
    coverage: dict[AssetCheckKey, tuple[_CoveredPartitions, _CoveredPartitions]] = {}
    for result in sorted(results, key=lambda result: result.id, reverse=True):
        failures = found.setdefault(result.key, OpenFailures())
        covered, passed = coverage.setdefault(result.key, (_CoveredPartitions(), _CoveredPartitions()))
        if result.has_passed:
            failures.has_passed = True
            passed.add(result.span)
        else:
            if not covered.has(result.span):
                failures.results.append(result)
            if not passed.has(result.span):
                failures.since = result.evaluated_at
        covered.add(result.span)
    return {key: failures for key, failures in found.items() if failures.results}


def records_of(
    instance: DagsterInstance, results: Iterable[Result]
) -> dict[AssetCheckKey, list[AssetCheckExecutionRecord]]:
    """The records of these results, with descriptions and metadata; newest first."""
    keys = {result.id: result.key for result in results}
    table, storage = AssetCheckExecutionsTable, instance.event_log_storage
    columns = [table.c[name] for name in ("id", "run_id", "execution_status", "evaluation_event", "create_timestamp")]
    found: dict[AssetCheckKey, list[AssetCheckExecutionRecord]] = {}
    if not isinstance(storage, SqlEventLogStorage):
        return found
    for ids in batched(sorted(keys, reverse=True), _MAX_VALUES):
        query = sql.select(*columns, table.c.partition).where(table.c.id.in_(ids)).order_by(table.c.id.desc())
        with storage.index_connection() as connection:
            rows = connection.execute(query).mappings().all()
        for row in rows:
            key = keys[row["id"]]
            found.setdefault(key, []).append(AssetCheckExecutionRecord.from_db_row(row, key))
    return found


def span_of(tags: Mapping[str, str]) -> Span | None:
    """The partition or range of partitions of a run, by its tags."""
    first, last = (tags.get(tag) for tag in (ASSET_PARTITION_RANGE_START_TAG, ASSET_PARTITION_RANGE_END_TAG))
    if first and last:
        return Span(first, last)
    partition = tags.get(PARTITION_NAME_TAG) or first
    return Span(partition, partition) if partition else None


def spans_of(instance: DagsterInstance, run_ids: Collection[str]) -> dict[str, Span | None]:
    """The span of every one of these runs, except of runs that were removed from the records."""
    storage, tags = instance.run_storage, dict[str, dict[str, str]]()
    if not isinstance(storage, SqlRunStorage):
        return {}
    run, tag = RunsTable.c.run_id, RunTagsTable.c
    with_tags = RunsTable.outerjoin(RunTagsTable, sql.and_(tag.run_id == run, tag.key.in_(_TAGS)))
    for batch in batched(sorted(run_ids), _MAX_VALUES):
        query = sql.select(run, tag.key, tag.value).select_from(with_tags).where(run.in_(batch))
        with storage.connect() as connection:
            rows = connection.execute(query).all()
        for run_id, key, value in rows:
            tags.setdefault(run_id, {}).update({key: value} if key else {})
    return {run_id: span_of(run_tags) for run_id, run_tags in tags.items()}


def _results(instance: DagsterInstance, keys: Collection[AssetCheckKey], since: datetime, most: int) -> list[Result]:
    """Failed results of these checks, and the passed results that may cover them."""
    storage, table = instance.event_log_storage, AssetCheckExecutionsTable
    if not isinstance(storage, SqlEventLogStorage):
        return []
    newest = sql.select(sql.func.coalesce(sql.func.max(table.c.id), 0)).scalar_subquery()
    columns = [table.c[name] for name in ("id", "asset_key", "check_name", "run_id", "execution_status")]
    select = sql.select(*columns, table.c.evaluation_event_timestamp, table.c.partition).order_by(table.c.id.desc())
    wanted = {(key.asset_key.to_string(), key.name) for key in keys}
    names = {key.name for key in keys}
    with storage.index_connection() as connection:
        query = select.where(
            table.c.id > newest - _MAX_ROWS_BACK,
            table.c.execution_status == _FAILED.value,
            table.c.evaluation_event_timestamp >= since.replace(tzinfo=None),
            table.c.check_name.in_(names),
        )
        failed = [row for row in connection.execute(query.limit(most)).all() if tuple(row[1:3]) in wanted]
        if not failed:
            return []
        bad = {tuple(row[1:3]) for row in failed}
        query = select.where(
            table.c.id > failed[-1][0],
            table.c.execution_status == _PASSED.value,
            table.c.asset_key.in_({asset for asset, _ in bad}),
            table.c.check_name.in_({name for _, name in bad}),
        )
        passed = connection.execute(query.limit(most)).all()
    # If the limit was reached, older results may have passed unread: do not use older failures.
    oldest = passed[-1][0] if len(passed) == most else 0
    rows = [row for row in [*failed, *passed] if tuple(row[1:3]) in bad and row[0] >= oldest]
    spans = spans_of(instance, {row[3] for row in rows if row[3]})
    # Without results of removed runs, whose partitions are unknown. A sensor's result has no run.
    return [_result(row, spans) for row in rows if not row[3] or row[3] in spans]


def _result(row: sql.Row, spans: Mapping[str, Span | None]) -> Result:
    number, asset, name, run_id, status, timestamp, partition = row
    key = AssetCheckKey(AssetKey.from_db_string(asset) or AssetKey([]), name)
    span = Span(partition, partition) if partition else spans.get(run_id)
    evaluated_at = None if timestamp is None else timestamp.replace(tzinfo=UTC)
    return Result(number, key, run_id, status == _PASSED.value, evaluated_at, span)


def _interval_of(key: str) -> tuple[datetime, datetime] | None:
    """Begin and end of a day or hour partition; None for any other key."""
    try:
        hour = hour_of_key(key)
        return hour, hour + timedelta(hours=1)
    except ValueError:
        pass
    try:
        day = day_of_key(key)
    except ValueError:
        return None
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return begin, begin + timedelta(days=1)
