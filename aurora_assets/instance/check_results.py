"""Results of asset checks in Dagster's records that still stand, by what they are about. Read-only.

A check that is evaluated for one partition says nothing of another. So a failed result stands until newer results of
the same check cover its partition, or range of partitions. Dagster's records of checks do not have the partition; the
tags of its run do.
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

LOOK_BACK = timedelta(days=14)
"""An older result counts only where it is the newest of its check."""
MOST_RESULTS = 20_000
"""Of the failed ones and of the passed ones each, so many are read."""
_ROWS = 100_000
_CHUNK = 10_000  # values in one query
_TAGS = (PARTITION_NAME_TAG, ASSET_PARTITION_RANGE_START_TAG, ASSET_PARTITION_RANGE_END_TAG)
_PASSED, _FAILED = AssetCheckExecutionRecordStatus.SUCCEEDED, AssetCheckExecutionRecordStatus.FAILED


@dataclass(frozen=True)
class Span:
    """A partition, or the first and the last of a range of them."""

    first: str
    last: str

    def __str__(self) -> str:
        return self.first if self.first == self.last else f"{self.first} to {self.last}"

    @property
    def times(self) -> tuple[datetime, datetime] | None:
        """The time that it is about, where its keys are days or hours."""
        first, last = _times(self.first), _times(self.last)
        return (first[0], last[1]) if first and last else None


@dataclass(frozen=True)
class Result:
    """A result of a check, without what it says."""

    id: int
    key: AssetCheckKey
    run_id: str
    is_passed: bool
    found_at: datetime | None
    of: Span | None = None
    """None: its run has no partition."""


@dataclass
class Standing:
    """Failed results of one check that no newer result covers, the newest first; and since when the first of them."""

    results: list[Result] = field(default_factory=list)
    since: datetime | None = None
    has_passed: bool = False
    """Whether any result within the look-back passed."""


class _Covered:
    """What results that were looked at are about, taken together."""

    def __init__(self) -> None:
        self._seen: set[Span | None] = set()
        self._stretches: list[tuple[datetime, datetime]] = []

    def has(self, span: Span | None) -> bool:
        if span in self._seen:
            return True
        times = span.times if span else None
        return times is not None and any(a <= times[0] and times[1] <= b for a, b in self._stretches)

    def add(self, span: Span | None) -> None:
        if self.has(span):
            return
        self._seen.add(span)
        if span is None or (times := span.times) is None:
            return
        begin, end = times
        apart = [one for one in self._stretches if one[1] < begin or end < one[0]]
        touching = [one for one in self._stretches if not (one[1] < begin or end < one[0])]
        self._stretches = [*apart, (min([begin, *(a for a, _ in touching)]), max([end, *(b for _, b in touching)]))]


def standing_results(
    instance: DagsterInstance, keys: Collection[AssetCheckKey], since: datetime, most: int = MOST_RESULTS
) -> dict[AssetCheckKey, Standing]:
    """The failed results since then that stand, of each of some checks that has one.

    Of very many records only the newest ``most`` are read: what is older is forgotten, never taken for bad.
    """
    results = _results(instance, keys, since, most)
    found: dict[AssetCheckKey, Standing] = {}
    looked_at: dict[AssetCheckKey, tuple[_Covered, _Covered]] = {}
    for one in sorted(results, key=lambda one: one.id, reverse=True):
        standing = found.setdefault(one.key, Standing())
        covered, passed = looked_at.setdefault(one.key, (_Covered(), _Covered()))
        if one.is_passed:
            standing.has_passed = True
            passed.add(one.of)
        else:
            if not covered.has(one.of):
                standing.results.append(one)
            if not passed.has(one.of):
                standing.since = one.found_at
        covered.add(one.of)
    return {key: standing for key, standing in found.items() if standing.results}


def records_of(
    instance: DagsterInstance, results: Iterable[Result]
) -> dict[AssetCheckKey, list[AssetCheckExecutionRecord]]:
    """The records of some results, with what they say; the newest first."""
    keys = {one.id: one.key for one in results}
    table, storage = AssetCheckExecutionsTable, instance.event_log_storage
    columns = [table.c[name] for name in ("id", "run_id", "execution_status", "evaluation_event", "create_timestamp")]
    found: dict[AssetCheckKey, list[AssetCheckExecutionRecord]] = {}
    if not isinstance(storage, SqlEventLogStorage):
        return found
    for ids in batched(sorted(keys, reverse=True), _CHUNK):
        query = sql.select(*columns, table.c.partition).where(table.c.id.in_(ids)).order_by(table.c.id.desc())
        with storage.index_connection() as connection:
            rows = connection.execute(query).mappings().all()
        for row in rows:
            key = keys[row["id"]]
            found.setdefault(key, []).append(AssetCheckExecutionRecord.from_db_row(row, key))
    return found


def span_of(tags: Mapping[str, str]) -> Span | None:
    """What a run is about, by its tags."""
    first, last = (tags.get(tag) for tag in (ASSET_PARTITION_RANGE_START_TAG, ASSET_PARTITION_RANGE_END_TAG))
    if first and last:
        return Span(first, last)
    one = tags.get(PARTITION_NAME_TAG) or first
    return Span(one, one) if one else None


def spans_of(instance: DagsterInstance, run_ids: Collection[str]) -> dict[str, Span | None]:
    """What each of some runs is about; without those that are not in the records any more."""
    storage, tags = instance.run_storage, dict[str, dict[str, str]]()
    if not isinstance(storage, SqlRunStorage):
        return {}
    run, tag = RunsTable.c.run_id, RunTagsTable.c
    with_tags = RunsTable.outerjoin(RunTagsTable, sql.and_(tag.run_id == run, tag.key.in_(_TAGS)))
    for some in batched(sorted(run_ids), _CHUNK):
        query = sql.select(run, tag.key, tag.value).select_from(with_tags).where(run.in_(some))
        with storage.connect() as connection:
            rows = connection.execute(query).all()
        for run_id, key, value in rows:
            tags.setdefault(run_id, {}).update({key: value} if key else {})
    return {run_id: span_of(of) for run_id, of in tags.items()}


def _results(instance: DagsterInstance, keys: Collection[AssetCheckKey], since: datetime, most: int) -> list[Result]:
    """Failed results of some checks, and the passed ones that may have made them good."""
    storage, table = instance.event_log_storage, AssetCheckExecutionsTable
    if not isinstance(storage, SqlEventLogStorage):
        return []
    newest = sql.select(sql.func.coalesce(sql.func.max(table.c.id), 0)).scalar_subquery()
    columns = [table.c[name] for name in ("id", "asset_key", "check_name", "run_id", "execution_status")]
    these = sql.select(*columns, table.c.evaluation_event_timestamp, table.c.partition).order_by(table.c.id.desc())
    wanted = {(key.asset_key.to_string(), key.name) for key in keys}
    names = {key.name for key in keys}
    with storage.index_connection() as connection:
        query = these.where(
            table.c.id > newest - _ROWS,
            table.c.execution_status == _FAILED.value,
            table.c.evaluation_event_timestamp >= since.replace(tzinfo=None),
            table.c.check_name.in_(names),
        )
        failed = [row for row in connection.execute(query.limit(most)).all() if tuple(row[1:3]) in wanted]
        if not failed:
            return []
        bad = {tuple(row[1:3]) for row in failed}
        query = these.where(
            table.c.id > failed[-1][0],
            table.c.execution_status == _PASSED.value,
            table.c.asset_key.in_({asset for asset, _ in bad}),
            table.c.check_name.in_({name for _, name in bad}),
        )
        read = connection.execute(query.limit(most)).all()
    # Beyond what was read nobody knows what passed.
    oldest = read[-1][0] if len(read) == most else 0
    rows = [row for row in [*failed, *read] if tuple(row[1:3]) in bad and row[0] >= oldest]
    spans = spans_of(instance, {row[3] for row in rows if row[3]})
    # What a run was about that is removed nobody knows. A sensor's result is of no run.
    return [_result(row, spans) for row in rows if not row[3] or row[3] in spans]


def _result(row: sql.Row, spans: Mapping[str, Span | None]) -> Result:
    number, asset, name, run_id, status, found_at, partition = row
    key = AssetCheckKey(AssetKey.from_db_string(asset) or AssetKey([]), name)
    of = Span(partition, partition) if partition else spans.get(run_id)
    when = None if found_at is None else found_at.replace(tzinfo=UTC)
    return Result(number, key, run_id, status == _PASSED.value, when, of)


def _times(key: str) -> tuple[datetime, datetime] | None:
    """When a day or an hour begins and ends."""
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
