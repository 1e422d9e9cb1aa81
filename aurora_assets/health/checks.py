"""Freshness as asset checks: of every stream at its source, local and in the archive, and of every product.

The sensor ``freshness`` evaluates them without a run. It writes a result only if the verdict or the class of the age
has changed; the newest result belongs to the newest materialization. In the UI they can be executed at any time.
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
from aurora_platform.config.types import format_duration
from aurora_platform.health.age_limits import limits_of
from aurora_platform.layout import IS_FRESH, WXCAM, camera_keys

_KEYS = {"source": source_key, "here": raw_key, "archive": gws_raw_key}
_NEWEST = {
    "source": "file at the source",
    "here": "local file",
    "archive": "file in the archive, as last verified",
    "product": "data in the product",
}


def asset_of(freshness: "health.models.Freshness") -> AssetKey:
    """The asset whose check has this result."""
    if freshness.component == "product":
        return asset_key(freshness.name)
    return _KEYS[freshness.component](freshness.stream)


def freshness_checks(site: Site) -> AssetChecksDefinition:
    """One definition for all freshness checks; any of them may be executed alone."""
    specs = [
        AssetCheckSpec(IS_FRESH, asset=key, description=_description(site, component, stream))
        for key, (component, stream) in _assets(site).items()
    ]

    @multi_asset_check(
        name="freshness",
        specs=specs,
        can_subset=True,
        description="The age of the newest data of every stream and product, by the time of the data.",
    )
    def check_freshness(context: AssetCheckExecutionContext) -> Iterable[AssetCheckResult]:
        records = dagster_instance.records.DagsterRecords(context.instance, site)
        selected = context.selected_asset_check_keys
        for freshness in health.freshness.all_freshness(site, records.newest_of_products()):
            key = AssetCheckKey(asset_of(freshness), IS_FRESH)
            if key in selected:
                yield AssetCheckResult(
                    asset_key=key.asset_key,
                    check_name=IS_FRESH,
                    passed=passes(freshness),
                    severity=severity_of(freshness),
                    description=freshness.sentence,
                    metadata=metadata_of(freshness),
                )

    return check_freshness


def evaluation_of(freshness: "health.models.Freshness") -> AssetCheckEvaluation:
    """The check result that the sensor writes without a run."""
    return AssetCheckEvaluation(
        asset_key=asset_of(freshness),
        check_name=IS_FRESH,
        passed=passes(freshness),
        severity=severity_of(freshness),
        description=freshness.sentence,
        metadata=metadata_of(freshness),
    )


def passes(freshness: "health.models.Freshness") -> bool:
    """Whether it is fresh, or planned offline. An unknown age does not pass: it is neither fresh nor stale."""
    return freshness.level is health.models.Level.GREEN or health.assessment.is_planned_offline(freshness)


def severity_of(freshness: "health.models.Freshness") -> AssetCheckSeverity:
    return AssetCheckSeverity.ERROR if freshness.level is health.models.Level.RED else AssetCheckSeverity.WARN


def metadata_of(freshness: "health.models.Freshness") -> Metadata:
    newest = {"newest_data": freshness.newest_utc.isoformat()} if freshness.newest_utc else {}
    since = {"since": freshness.since_utc.isoformat()} if freshness.since_utc else {}
    ages = {"age_s": freshness.age_s} if freshness.age_s is not None else {}
    return {"level": freshness.level.value, "stale_after_s": freshness.stale_after_s, **ages, **newest, **since}


def _description(site: Site, component: str, stream: str) -> str:
    ageing, stale = limits_of(site.streams[stream], is_product=component == "product")
    return (
        f"The newest {_NEWEST[component]}: a warning if it is older than {format_duration(ageing)} or unknown, an "
        f"error if it is older than {format_duration(stale)} or if there is none. By the time of the data, not of the "
        "last run."
    )


def _assets(site: Site) -> dict[AssetKey, tuple[str, str]]:
    """Component (source, here, archive, product) and stream of every asset with a freshness check."""
    assets = {}
    for name in site.streams:
        for component, key in _KEYS.items():
            if component != "archive" or site.archive is not None:
                assets[key(name)] = component, name
    if WXCAM in site.streams:
        assets |= {asset_key(name): ("product", WXCAM) for name in camera_keys()}
    return assets
