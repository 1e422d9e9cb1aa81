"""How new the newest data is, evaluated without a run, and written only where somebody would want to hear of it."""

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dagster import DefaultSensorStatus, SensorDefinition, SensorEvaluationContext, SensorResult, sensor

from aurora_assets.health.checks import evaluation_of
from aurora_assets.site import Site

if TYPE_CHECKING:
    from aurora_assets.health.model import Freshness

_EVERY = 60  # s


def freshness_sensor(site: Site) -> SensorDefinition:
    """One sensor for all streams and products; its cursor is what it has written last of each."""

    @sensor(
        name="freshness",
        minimum_interval_seconds=_EVERY,
        default_status=DefaultSensorStatus.RUNNING if site.live.running else DefaultSensorStatus.STOPPED,
        description="Says how new the newest data of each stream (at its source, here, in the archive) and each "
        "product is. Starts no run; a check's result is written when its verdict or the class of its age changes.",
    )
    def freshness(context: SensorEvaluationContext) -> SensorResult:
        from aurora_assets.health.fresh import all_freshness
        from aurora_assets.health.model import Level
        from resources.orchestrator import DagsterRecords

        records = DagsterRecords(context.instance, site)
        before = _read(context.cursor)
        now, events = {}, []
        counts = dict.fromkeys(Level, 0)
        for one in all_freshness(site, records.newest_of_products(), datetime.now(UTC)):
            counts[one.level] += 1
            now[one.name] = _told(one)
            if before.get(one.name) != now[one.name]:
                events.append(evaluation_of(one))
        said = ", ".join(f"{count} {level}" for level, count in counts.items() if count)
        return SensorResult(
            skip_reason=f"{said}; {len(events)} changed", asset_events=events, cursor=json.dumps(now, sort_keys=True)
        )

    return freshness


def _told(one: "Freshness") -> str:
    """What is worth a line when it changes; since when it is stale moves with each late file and look at a clock."""
    from aurora_assets.health.fresh import age_class
    from aurora_assets.health.model import Level

    is_unseen = one.component == "source" and one.level is Level.GRAY
    return f"{one.level} {age_class(one)} {(one.since_utc if is_unseen else None) or ''}"


def _read(cursor: str | None) -> dict[str, str]:
    try:
        return dict(json.loads(cursor or "{}"))
    except (ValueError, TypeError):
        return {}
