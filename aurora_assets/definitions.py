"""Collects everything that Dagster loads: the assets, checks, jobs, schedules, sensors and resources of a site."""

from aurora_assets import garbage_collection  # isort: skip - it must run before the other imports
from dagster import AssetsDefinition, AssetSpec, Definitions, in_process_executor

from aurora_assets.archive.assets import archive_assets
from aurora_assets.cameras.assets import wxcam_assets
from aurora_assets.cameras.checks import wxcam_checks
from aurora_assets.health.assets import health_assets
from aurora_assets.health.checks import freshness_checks
from aurora_assets.instance.code_location import code_location_of
from aurora_assets.jobs import jobs
from aurora_assets.mirror.assets import raw_assets, source_specs
from aurora_assets.mirror.checks import raw_checks
from aurora_assets.policies import with_policies
from aurora_assets.tools_job import tools_jobs
from aurora_platform.config.site import Site, load_site
from resources.archive_hosts import ArchiveHostsResource
from resources.hosts import HostsResource
from resources.mailer import MailerResource
from schedules import all_schedules
from sensors.arrivals import arrival_sensors
from sensors.failures import failure_sensors
from sensors.freshness import freshness_sensor
from sensors.late_days import late_days_sensor


def build(site: Site) -> Definitions:
    """The definitions of a site."""
    hosts = HostsResource.of(site)
    assets: list[AssetsDefinition | AssetSpec] = [
        *source_specs(site),
        *raw_assets(site),
        *wxcam_assets(site),
        *archive_assets(site),
        # Called when a run takes a snapshot: by then the definitions are complete.
        *health_assets(site, lambda: code_location_of(definitions)),
    ]
    definitions = Definitions(
        assets=with_policies(site, assets),
        asset_checks=[*raw_checks(site), *wxcam_checks(site), freshness_checks(site)],
        schedules=all_schedules(site),
        sensors=[*arrival_sensors(site), late_days_sensor(site), freshness_sensor(site), *failure_sensors(site)],
        jobs=[*jobs(site), *tools_jobs([site.paths.raw, site.paths.products, site.paths.state])],
        resources={"hosts": hosts}
        | ({"archive_hosts": ArchiveHostsResource(hosts=hosts)} if site.archive else {})
        | ({"mailer": MailerResource()} if site.alerts else {}),
        # One process per run: the steps of a day are short, and a process per step would cost seconds of start-up.
        executor=in_process_executor,
    )
    return definitions


defs = build(load_site())
garbage_collection.resume()
