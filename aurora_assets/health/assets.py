"""``ops/health``: what is wrong, since when, where, and what to look at next; as files that others read."""

from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetKey,
    AssetsDefinition,
    MaterializeResult,
    MetadataValue,
    asset,
)

from aurora_assets.failures import TRY_AGAIN, fail_at_once_unless_it_may_pass
from aurora_assets.health.assessment import sorted_by_level
from aurora_assets.health.model import Assessment, Level, Snapshot
from aurora_assets.health.report import as_markdown, health_directory, publish_health, snapshot_file
from aurora_assets.presentation import Metadata, table
from aurora_assets.site import Site
from resources.looking import look_at

HEALTH = AssetKey(["ops", "health"])
_NOTHING_RED = "nothing_is_red"


def health_assets(site: Site) -> list[AssetsDefinition]:
    """The health of a site as an asset."""
    return [_health(site)]


def _health(site: Site) -> AssetsDefinition:
    @asset(
        key=HEALTH,
        group_name="ops",
        kinds={"json"},
        pool="ops",
        retry_policy=TRY_AGAIN,
        metadata={
            "snapshot": str(snapshot_file(site)),
            "health": str(health_directory(site)),
            "started_by": "schedule health",
        },
        check_specs=[
            AssetCheckSpec(_NOTHING_RED, asset=HEALTH, description="Nothing is red; the table has what is not green.")
        ],
        description=(
            "One look at everything: disks, hosts, freshness, manifests, Dagster's runs and daemons, pages. Observe-"
            "only: it restarts, deletes and rebuilds nothing. Written as JSON and Markdown, each file replaced whole."
        ),
    )
    @fail_at_once_unless_it_may_pass
    def ops_health(context: AssetExecutionContext) -> MaterializeResult:
        snapshot, assessment = look_at(site, context.instance)
        files = publish_health(site, snapshot, assessment)
        context.log.info(f"{assessment.overall_level}: {'; '.join(assessment.observations[:5]) or 'nothing is wrong'}")
        return MaterializeResult(
            metadata=_metadata(snapshot, assessment) | {"files": [str(file) for file in files]},
            check_results=[_nothing_red(assessment)],
        )

    return ops_health


def _metadata(snapshot: Snapshot, assessment: Assessment) -> Metadata:
    summary = assessment.summary
    return {
        "overall_level": assessment.overall_level.value,
        "report": MetadataValue.md(as_markdown(snapshot, assessment)),
        "red": summary.red,
        "amber": summary.amber,
        "gray": summary.gray,
        "green": summary.green,
        "seconds": snapshot.seconds,
    }


def _nothing_red(assessment: Assessment) -> AssetCheckResult:
    bad = [check for check in sorted_by_level(assessment.checks) if check.level in (Level.RED, Level.AMBER)]
    return AssetCheckResult(
        asset_key=HEALTH,
        check_name=_NOTHING_RED,
        passed=assessment.overall_level is not Level.RED,
        severity=AssetCheckSeverity.WARN,
        description="; ".join(assessment.observations[:5]) or "nothing is wrong",
        metadata={
            "not_green": table(
                {"level": c.level.value, "what": c.component, "message": c.message, "look": c.details} for c in bad
            )
        },
    )
