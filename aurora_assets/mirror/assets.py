"""``source/<stream>`` and ``raw/<stream>``: the original files on an instrument host, and our copies by UTC day."""

from datetime import UTC, datetime

from dagster import (
    AssetExecutionContext,
    AssetObservation,
    AssetsDefinition,
    AssetSpec,
    DataVersion,
    MaterializeResult,
    MetadataValue,
)

from aurora_assets.asset_keys import raw_key, source_key
from aurora_assets.aurora_asset import aurora_asset
from aurora_assets.metadata import attach, common_version, metadata_of
from aurora_assets.partitions import daily, day_of_key
from aurora_platform import archive, mirror
from aurora_platform.config.site import Site
from aurora_platform.config.streams import Stream
from aurora_platform.config.types import format_duration
from aurora_platform.layout import Layout, open_state
from aurora_platform.mirror.reports import RECIPE
from aurora_platform.operations import grounds
from resources.hosts import HostsResource


def source_specs(site: Site) -> list[AssetSpec]:
    """The directories on the instrument hosts: observed, never written."""
    return [
        AssetSpec(
            source_key(name),
            description=f"Original files: {stream.description} They are on the instrument host. Aurora only reads them."
            + ("" if stream.enabled else " PLANNED OFFLINE: not listed.")
            + f"\n\nPath: `{stream.path}` on host `{stream.host}`",
            metadata={
                "host": stream.host,
                "path": MetadataValue.path(stream.path),
                "first_day": stream.start.isoformat(),
                **({} if stream.enabled else {"planned_offline": True}),
            },
        )
        for name, stream in site.streams.items()
    ]


def _about_unsettled(stream: Stream) -> str:
    """What happens to a file that is still being written."""
    if stream.settle:
        settle = format_duration(stream.settle)
        return f"A file that changed less than {settle} ago is still being written; a later run copies it."
    if stream.is_appended:
        return "A growing file is copied as far as it is written; a later run copies the rest."
    return "A file that changes while it is copied waits for a later run."


def raw_assets(site: Site) -> list[AssetsDefinition]:
    """One mirror per stream of the site file."""
    return [_raw_asset(site, name) for name in site.streams]


def _raw_asset(site: Site, name: str) -> AssetsDefinition:
    stream, layout = site.streams[name], Layout.of(site)
    host, root = site.hosts[stream.host], layout.raw_root(name)
    settle = format_duration(stream.settle)

    @aurora_asset(
        raw_key(name),
        deps=[source_key(name)],
        partitions_def=daily(stream.start),
        pool=f"mirror_{name}",
        code_version=RECIPE,
        place=root,
        placeholders={"description": stream.description, "host": stream.host, "unsettled": _about_unsettled(stream)},
        metadata={
            "settle": settle,
            "started_by": f"sensor arrivals_{name} (last {format_duration(stream.lookback)}), "
            f"schedule reconcile_{name} (older days)",
        },
    )
    def raw(context: AssetExecutionContext, hosts: HostsResource) -> MaterializeResult:
        """Local copy: {description}

        Copied by rsync from host `{host}` with the same relative paths and times of last change (mtimes). Copying
        deletes nothing; a file that changes on the host replaces its copy, unless its UTC day is finalized and the
        change is late (`revisable`): then it is held back. {unsettled}
        """
        open_state(site.paths.state)
        grounds.learn(site, "raw", f"raw of {name}", "state")
        live_from = stream.live_from(datetime.now(UTC))
        report = mirror.sync.mirror_days(
            name,
            stream,
            [day_of_key(key) for key in context.partition_keys],
            source=hosts.connections.source(host),
            transfer=hosts.connections.transfer(host, context.log, basis=root),
            raw=site.paths.raw,
            locks=layout.locks,
            wait=site.limits.lock,
            live_from=live_from,
            source_days=layout.days_at_source(name),
            reserve=site.limits.reserve,
            guard=archive.change_guard.guard_of(site, name),
            sync_lock=layout.sync_lock(name),
            log=context.log.info,
        )
        context.log.info(report.summary())
        for line in report.short_of_space:
            context.log.warning(line)
        if all(day.day >= live_from for day in report.days):
            # A pass over old days does not show the current state of the source.
            context.log_event(AssetObservation(source_key(name), metadata=metadata_of(report.source)))
        days = {day.day.isoformat(): metadata_of(day) for day in report.days}
        return MaterializeResult(
            metadata=attach(context, days, {"summary": report.summary(), **metadata_of(report)}),
            data_version=DataVersion(common_version([day.data_version for day in report.days])),
        )

    return raw
