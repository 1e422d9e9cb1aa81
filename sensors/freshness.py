"""The freshness sensor: evaluates the age of the newest data without a run; writes a result only when it changes.

The same ticks keep failed check results visible: in the UI a newer materialization of the asset hides them.
"""

import json
from collections.abc import Collection
from datetime import UTC, datetime

from dagster import (
    AssetCheckKey,
    DefaultSensorStatus,
    RepositoryDefinition,
    SensorDefinition,
    SensorEvaluationContext,
    SensorResult,
    sensor,
)

from aurora_assets import instance as dagster_instance
from aurora_assets.automation import default_status
from aurora_assets.health.checks import asset_of, evaluation_of
from aurora_platform import health
from aurora_platform.config.site import Site
from aurora_platform.layout import IS_FRESH

_EVERY = 60  # s
_RECORDS = "records"  # in the cursor: the newest of Dagster's records when it was written


def freshness_sensor(site: Site) -> SensorDefinition:
    """One sensor for all streams and products; its cursor is the last state written for each, and the newest record."""

    @sensor(
        name="freshness",
        minimum_interval_seconds=_EVERY,
        default_status=default_status(site, DefaultSensorStatus),
        description="Evaluates the check is_fresh of every stream (source, local, archive) and product, without a run. "
        "Keeps failed check results visible when their asset is materialized again.",
    )
    def freshness(context: SensorEvaluationContext) -> SensorResult:
        visibility = dagster_instance.check_visibility
        instance, records = context.instance, dagster_instance.records.DagsterRecords(context.instance, site)
        before = _read(context.cursor)
        now, changed, same = {_RECORDS: str(instance.event_log_storage.get_maximum_record_id())}, [], {}
        # Only a new event can hide a verdict, or be one of somebody else's; without one there is nothing to search.
        is_quiet = now[_RECORDS] == before.get(_RECORDS)
        newest = {} if is_quiet else visibility.newest_results(instance, _checks_of(context.repository_def))
        counts = dict.fromkeys(health.models.Level, 0)
        for one in health.freshness.all_freshness(site, records.newest_of_products(), datetime.now(UTC)):
            counts[one.level] += 1
            now[one.name] = _state(one)
            evaluation = evaluation_of(one)
            key = evaluation.asset_check_key
            if before.get(one.name) != now[one.name] or visibility.contradicts(newest.get(key), evaluation):
                changed.append(one)
            else:
                same[key] = evaluation
        # Dagster could not tell the order of a materialization and an evaluation in the same second.
        made = visibility.targets(instance, {asset_of(one) for one in changed})
        # Changed verdicts are written anew.
        kept = {key: one for key, one in newest.items() if key.name != IS_FRESH or key in same}
        repeated = visibility.keep_in_sight(instance, kept, same)
        text = ", ".join(f"{count} {level}" for level, count in counts.items() if count)
        return SensorResult(
            skip_reason=f"{text}; {len(changed)} changed; {repeated} shown again",
            asset_events=[visibility.shown_with(evaluation_of(one), made.get(asset_of(one))) for one in changed],
            cursor=json.dumps(now, sort_keys=True),
        )

    return freshness


def _checks_of(repository: RepositoryDefinition | None) -> Collection[AssetCheckKey]:
    return repository.asset_graph.asset_check_keys if repository else ()


def _state(one: "health.models.Freshness") -> str:
    """The state whose change is worth a result. (The time since when it is stale moves with every late file.)"""
    is_unseen = one.component == "source" and one.level is health.models.Level.GRAY
    return f"{one.level} {health.freshness.age_class(one)} {(one.since_utc if is_unseen else None) or ''}"


def _read(cursor: str | None) -> dict[str, str]:
    try:
        return dict(json.loads(cursor or "{}"))
    except (ValueError, TypeError):
        return {}
