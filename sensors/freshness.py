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
from aurora_platform.text import counted
from aurora_platform.transport.name_store import NameStore

_EVERY = 60  # s
_RECORDS = "records"  # in the cursor: the newest of Dagster's records when it was written


def freshness_sensor(site: Site) -> SensorDefinition:
    """One sensor for all streams and products. Its cursor has the last written state of each, and the newest record."""

    @sensor(
        name="freshness",
        minimum_interval_seconds=_EVERY,
        default_status=default_status(site, DefaultSensorStatus),
        description="Updates the check is_fresh of every stream (source, local, archive) and product. Shows a failed "
        "check again when a newer run has hidden it in the UI.",
    )
    def evaluate_freshness(context: SensorEvaluationContext) -> SensorResult:
        visibility = dagster_instance.check_visibility
        instance, records = context.instance, dagster_instance.records.DagsterRecords(context.instance, site)
        before = _read(context.cursor)
        now, changed, unchanged = {_RECORDS: str(instance.event_log_storage.get_maximum_record_id())}, [], {}
        # Only a new event can hide a result or contradict it; without new events nothing is searched.
        has_no_new_event = now[_RECORDS] == before.get(_RECORDS)
        newest = {} if has_no_new_event else visibility.newest_results(instance, _checks_of(context.repository_def))
        counts = dict.fromkeys(health.models.Level, 0)
        products, names = records.newest_of_products(), NameStore(site.paths.state, is_writable=True)
        for freshness in health.freshness.all_freshness(site, products, datetime.now(UTC), names):
            counts[freshness.level] += 1
            now[freshness.name] = _state(freshness)
            evaluation = evaluation_of(freshness)
            key = evaluation.asset_check_key
            has_changed = before.get(freshness.name) != now[freshness.name]
            if has_changed or visibility.contradicts(newest.get(key), evaluation):
                changed.append(freshness)
            else:
                unchanged[key] = evaluation
        # Attached explicitly: Dagster cannot order a materialization and an evaluation of the same second.
        made = visibility.newest_materializations(instance, {asset_of(freshness) for freshness in changed})
        # Without changed results, which are written as new ones.
        kept = {key: record for key, record in newest.items() if key.name != IS_FRESH or key in unchanged}
        repeated = visibility.keep_visible(instance, kept, unchanged)
        text = ", ".join(f"{count} {level}" for level, count in counts.items() if count)
        return SensorResult(
            skip_reason=f"{text}; {counted(len(changed), 'result')} changed; {repeated} made visible again",
            asset_events=[
                visibility.attach_to_materialization(evaluation_of(freshness), made.get(asset_of(freshness)))
                for freshness in changed
            ],
            cursor=json.dumps(now, sort_keys=True),
        )

    return evaluate_freshness


def _checks_of(repository: RepositoryDefinition | None) -> Collection[AssetCheckKey]:
    return repository.asset_graph.asset_check_keys if repository else ()


def _state(freshness: "health.models.Freshness") -> str:
    """The state; if it changes, a result is written. (Without the time of becoming stale: late files change that.)"""
    is_unknown = freshness.component == "source" and freshness.level is health.models.Level.GRAY
    since = (freshness.since_utc if is_unknown else None) or ""
    return f"{freshness.level} {health.freshness.age_class(freshness)} {since}"


def _read(cursor: str | None) -> dict[str, str]:
    try:
        return dict(json.loads(cursor or "{}"))
    except (ValueError, TypeError):
        return {}
