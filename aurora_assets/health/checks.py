"""Freshness as asset checks: for each stream at its source, here and in the archive, and for each product.

The sensor ``freshness`` evaluates them without a run and writes a result only where its verdict, or the class of its
age, has changed; the newest result belongs to the newest materialization. Executed in the UI they say how it is now.
"""

from collections.abc import Iterable

from dagster import (
    AssetCheckEvaluation,
    AssetCheckExecutionContext,
    AssetCheckKey,
    AssetCheckResult,
    AssetChecksDefinition,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetKey,
    multi_asset_check,
)

from aurora_assets import instance as dagster_instance
from aurora_assets.asset_keys import asset_key, gws_raw_key, raw_key, source_key
from aurora_assets.metadata import Metadata
from aurora_platform import health
from aurora_platform.config.site import Site
from aurora_platform.layout import IS_FRESH, WXCAM, camera_keys

_KEYS = {"source": source_key, "here": raw_key, "archive": gws_raw_key}
_WHAT = {
    "source": "The newest data at the source is younger than `stale_after`; unknown where the source cannot be seen.",
    "here": "The newest data here is younger than `stale_after`.",
    "archive": "The newest data in the archive, by the newest manifests, is younger than `stale_after`.",
    "product": "The newest data in the product is younger than `stale_after` and two hours.",
}


def asset_of(one: "health.models.Freshness") -> AssetKey:
    """The asset that a freshness is shown with."""
    if one.component == "product":
        return asset_key(one.name)
    return _KEYS[one.component](one.stream)


def freshness_checks(site: Site) -> AssetChecksDefinition:
    """One definition for all of them, of which any part may be executed."""
    specs = [AssetCheckSpec(IS_FRESH, asset=key, description=_WHAT[part]) for key, part in _assets(site).items()]

    @multi_asset_check(
        name="freshness",
        specs=specs,
        can_subset=True,
        description="How new the newest data of every stream and product is, by the time of the data.",
    )
    def freshness(context: AssetCheckExecutionContext) -> Iterable[AssetCheckResult]:
        records = dagster_instance.records.DagsterRecords(context.instance, site)
        chosen = context.selected_asset_check_keys
        for one in health.freshness.all_freshness(site, records.newest_of_products()):
            key = AssetCheckKey(asset_of(one), IS_FRESH)
            if key in chosen:
                yield AssetCheckResult(
                    asset_key=key.asset_key,
                    check_name=IS_FRESH,
                    passed=passes(one),
                    severity=severity_of(one),
                    description=one.sentence,
                    metadata=metadata_of(one),
                )

    return freshness


def evaluation_of(one: "health.models.Freshness") -> AssetCheckEvaluation:
    """What the sensor writes, without a run."""
    return AssetCheckEvaluation(
        asset_key=asset_of(one),
        check_name=IS_FRESH,
        passed=passes(one),
        severity=severity_of(one),
        description=one.sentence,
        metadata=metadata_of(one),
    )


def passes(one: "health.models.Freshness") -> bool:
    """Fresh, or planned to be off. What is not known has not passed: it is neither fresh nor stale."""
    return one.level is health.models.Level.GREEN or health.assessment.is_planned_offline(one)


def severity_of(one: "health.models.Freshness") -> AssetCheckSeverity:
    return AssetCheckSeverity.ERROR if one.level is health.models.Level.RED else AssetCheckSeverity.WARN


def metadata_of(one: "health.models.Freshness") -> Metadata:
    newest = {"newest_data": one.newest_utc.isoformat()} if one.newest_utc else {}
    since = {"since": one.since_utc.isoformat()} if one.since_utc else {}
    ages = {"age_s": one.age_s} if one.age_s is not None else {}
    return {"level": one.level.value, "stale_after_s": one.stale_after_s, **ages, **newest, **since}


def _assets(site: Site) -> dict[AssetKey, str]:
    found = {}
    for name in site.streams:
        for part, key in _KEYS.items():
            if part != "archive" or site.archive is not None:
                found[key(name)] = part
    if WXCAM in site.streams:
        found |= {asset_key(name): "product" for name in camera_keys()}
    return found
