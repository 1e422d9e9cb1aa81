"""``ops/health`` and ``ops/alerts``: the problems, since when, where, what to check next; and the mails about them."""

from collections.abc import Callable
from datetime import UTC, datetime

from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetsDefinition,
    MaterializeResult,
    MetadataValue,
)

from aurora_assets import instance as dagster_instance
from aurora_assets.asset_keys import ALERTS, HEALTH
from aurora_assets.aurora_asset import aurora_asset
from aurora_assets.instance.code_location import CodeLocation
from aurora_assets.metadata import Metadata, metadata_of, picture, table
from aurora_platform import health, operations
from aurora_platform.config.health import Alerts
from aurora_platform.config.site import Site
from aurora_platform.config.types import format_duration
from aurora_platform.layout import NOTHING_IS_RED, Layout, open_state
from aurora_platform.plots import ages_plot
from resources.mailer import MailerResource

_CAN_MAIL = "mail_can_leave"


def health_assets(site: Site, code: Callable[[], CodeLocation]) -> list[AssetsDefinition]:
    """The health asset, and the alerts asset of a site that sends mails; ``code`` returns the whole code location."""
    return [_health(site, code)] + ([_alerts(site, site.alerts)] if site.alerts else [])


def _health(site: Site, code: Callable[[], CodeLocation]) -> AssetsDefinition:
    @aurora_asset(
        HEALTH,
        pool="ops",
        place=Layout.of(site).health.directory,
        metadata={
            "snapshot": MetadataValue.path(str(Layout.of(site).health.snapshot)),
            "started_by": "schedule health",
        },
        check_specs=[
            AssetCheckSpec(
                NOTHING_IS_RED,
                asset=HEALTH,
                description="No component is red. A failure lists all red and amber components, with what to check.",
            )
        ],
    )
    def ops_health(context: AssetExecutionContext) -> MaterializeResult:
        """The health of the whole observatory: every problem, since when, and what to do next.

        Made from the disks, the hosts, the age of all data, the manifests, Dagster's runs and daemons, and the web
        pages. It only observes: nothing is restarted, deleted or rebuilt. Written as JSON and Markdown.
        """
        open_state(site.paths.state)
        records = dagster_instance.records.DagsterRecords(context.instance, site, code())
        snapshot, assessment = operations.observe.observe(site, records)
        files = health.report.publish_health(site, snapshot, assessment)
        context.log.info(f"{assessment.overall_level}: {'; '.join(assessment.observations[:5]) or 'nothing is wrong'}")
        return MaterializeResult(
            metadata={
                **metadata_of(assessment),
                "report": MetadataValue.md(health.report.as_markdown(snapshot, assessment)),
                **metadata_of(assessment.summary),
                **metadata_of(snapshot),
                "files": [str(file) for file in files],
                **_ages(site),
            },
            check_results=[_nothing_red(assessment)],
        )

    return ops_health


def _alerts(site: Site, settings: Alerts) -> AssetsDefinition:
    @aurora_asset(
        ALERTS,
        deps=[HEALTH],
        pool="ops",
        place=Layout.of(site).health.alerts,
        retry_policy=None,  # the next run sends a mail that could not be sent
        placeholders={"repeat": format_duration(settings.repeat)},
        metadata={"to": ", ".join(settings.to), "started_by": "schedule health"},
        check_specs=[
            AssetCheckSpec(
                _CAN_MAIL,
                asset=ALERTS,
                description="All alert mails were sent. A failure gives the reason why mails wait; the next run tries "
                "again.",
            )
        ],
    )
    def ops_alerts(context: AssetExecutionContext, mailer: MailerResource) -> MaterializeResult:
        """The alerts by mail: one when a problem begins, one every {repeat} while it lasts, one when it is over.

        Made from the health snapshot `latest.json`. If the mail relay is down, no mail is lost: the next run sends it.
        """
        open_state(site.paths.state)
        outcome = health.alerts.Alerting.of(site, settings).evaluate(
            health.alert_rules.read_snapshot(Layout.of(site).health.snapshot), mailer.of(settings)
        )
        for event in outcome.events:
            context.log.info(f"{event.kind}: {event.key}: {event.sentence}")
        return MaterializeResult(
            metadata=metadata_of(outcome)
            | table(
                "going_on",
                ({"what": a.key, "since": str(a.first_seen), "how": a.sentence} for a in outcome.going_on),
            ),
            check_results=[
                AssetCheckResult(
                    asset_key=ALERTS,
                    check_name=_CAN_MAIL,
                    passed=outcome.error is None,
                    severity=AssetCheckSeverity.WARN,
                    description=outcome.error or "no mail waits",
                )
            ],
        )

    return ops_alerts


def _ages(site: Site) -> Metadata:
    now = datetime.now(UTC)
    plot = ages_plot(health.report.ages_of_a_day(site, now), now, "age of the newest local data, last 24 hours")
    return {"ages": picture(plot, "ages of a day", "png")}


def _nothing_red(assessment: "health.models.Assessment") -> AssetCheckResult:
    by_level = health.assessment.sorted_by_level(assessment.checks)
    bad = [check for check in by_level if check.level in (health.models.Level.RED, health.models.Level.AMBER)]
    return AssetCheckResult(
        asset_key=HEALTH,
        check_name=NOTHING_IS_RED,
        passed=assessment.overall_level is not health.models.Level.RED,
        severity=AssetCheckSeverity.WARN,
        description="; ".join(assessment.observations[:5]) or "nothing is wrong",
        metadata=table(
            "not_green",
            ({"level": c.level.value, "what": c.component, "message": c.message, "details": c.details} for c in bad),
        ),
    )
