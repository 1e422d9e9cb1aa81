"""How new the newest data is, evaluated without a run, and written only where somebody would want to hear of it.

The same ticks keep in sight what checks have found: a newer materialization of the asset hides it in the UI.
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
from aurora_assets.health.checks import asset_of, evaluation_of
from aurora_platform import health
from aurora_platform.config.site import Site
from aurora_platform.layout import IS_FRESH

_EVERY = 60  # s
_RECORDS = "records"  # in the cursor: the newest of Dagster's records when it was written


def freshness_sensor(site: Site) -> SensorDefinition:
    """One sensor for all streams and products; its cursor is what it has written last of each, and what it has seen."""

    @sensor(
        name="freshness",
        minimum_interval_seconds=_EVERY,
        default_status=DefaultSensorStatus.RUNNING if site.live.running else DefaultSensorStatus.STOPPED,
        description="Says how new the newest data of each stream (at its source, here, in the archive) and each "
        "product is. Starts no run; a check's result is written when its verdict or the class of its age changes. "
        "Keeps the results of checks that failed in sight when their asset is materialized again.",
    )
    def freshness(context: SensorEvaluationContext) -> SensorResult:
        visibility = dagster_instance.check_visibility
        instance, records = context.instance, dagster_instance.records.DagsterRecords(context.instance, site)
        before = _read(context.cursor)
        now, changed, same = {_RECORDS: str(instance.event_log_storage.get_maximum_record_id())}, [], {}
        # A verdict is hidden, or written by somebody else, with a new event; without one there is nothing to look for.
        is_quiet = now[_RECORDS] == before.get(_RECORDS)
        newest = {} if is_quiet else visibility.newest_results(instance, _checks_of(context.repository_def))
        counts = dict.fromkeys(health.models.Level, 0)
        for one in health.freshness.all_freshness(site, records.newest_of_products(), datetime.now(UTC)):
            counts[one.level] += 1
            now[one.name] = _told(one)
            evaluation = evaluation_of(one)
            key = evaluation.asset_check_key
            if before.get(one.name) != now[one.name] or visibility.contradicts(newest.get(key), evaluation):
                changed.append(one)
            else:
                same[key] = evaluation
        # Of what is materialized in the second in which it is evaluated, Dagster could not tell which came first.
        made = visibility.targets(instance, {asset_of(one) for one in changed})
        # What has changed is written anew.
        kept = {key: one for key, one in newest.items() if key.name != IS_FRESH or key in same}
        shown_again = visibility.keep_in_sight(instance, kept, same)
        said = ", ".join(f"{count} {level}" for level, count in counts.items() if count)
        return SensorResult(
            skip_reason=f"{said}; {len(changed)} changed; {shown_again} shown again",
            asset_events=[visibility.shown_with(evaluation_of(one), made.get(asset_of(one))) for one in changed],
            cursor=json.dumps(now, sort_keys=True),
        )

    return freshness


def _checks_of(repository: RepositoryDefinition | None) -> Collection[AssetCheckKey]:
    return repository.asset_graph.asset_check_keys if repository else ()


def _told(one: "health.models.Freshness") -> str:
    """What is worth a line when it changes; since when it is stale moves with each late file and look at a clock."""
    is_unseen = one.component == "source" and one.level is health.models.Level.GRAY
    return f"{one.level} {health.freshness.age_class(one)} {(one.since_utc if is_unseen else None) or ''}"


def _read(cursor: str | None) -> dict[str, str]:
    try:
        return dict(json.loads(cursor or "{}"))
    except (ValueError, TypeError):
        return {}
