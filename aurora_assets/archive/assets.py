"""``gws/...`` and ``manifests/...``: the copies in the archive by UTC day, and the evidence that they are complete."""

from datetime import UTC, datetime

from dagster import (
    AssetExecutionContext,
    AssetsDefinition,
    Config,
    DataVersion,
    MaterializeResult,
    MetadataValue,
)
from pydantic import Field

from aurora_assets import asset_keys
from aurora_assets.archive.checks import (
    REPLACED_PERIOD,
    a_day_can_be_restored,
    copies_can_be_read_back,
    every_place_was_seen,
    every_product_place_was_seen,
    finalized_files_stay,
    no_change_is_held_back,
    no_settled_gap,
    nothing_parked,
    product_specs,
    products_are_proved,
    push_specs,
    raw_push_specs,
    restore_drill_spec,
    verify_specs,
)
from aurora_assets.archive.results import kept_versions, push_metadata, push_result, stream_coverage
from aurora_assets.asset_keys import asset_key, gws_raw_key, manifests_key, raw_key
from aurora_assets.aurora_asset import aurora_asset
from aurora_assets.metadata import attach, column_schema, common_version, metadata_of, table
from aurora_assets.partitions import daily, day_of_key
from aurora_platform import archive as archiving
from aurora_platform.archive.manifest import COLUMNS as MANIFEST_COLUMNS
from aurora_platform.archive.transfer import PushReport
from aurora_platform.archive.verify_days import Place
from aurora_platform.config.archive import Archive
from aurora_platform.config.site import Site
from aurora_platform.config.types import format_duration
from aurora_platform.layout import (
    CORE_PRODUCTS,
    DAILY_VIDEO,
    HOURLY_THUMBNAILS,
    LATEST_VIDEO,
    REGISTERED,
    WXCAM,
    WXCAM_PRODUCTS,
    ArchiveLayout,
    Layout,
    camera_keys,
    raw_group,
)
from aurora_platform.operations import grounds
from aurora_platform.text import Count
from resources.archive_hosts import ArchiveHostsResource
from resources.hosts import HostsResource

# A pool per kind of push, so that a large push never blocks the others.
RAW_POOL, CORE_POOL, CAMERA_POOL, VERIFY_POOL = "gws_raw", "gws_core", "gws_wxcam", "verify"


class VerifyConfig(Config):
    """Options of a verification run."""

    full: bool = Field(
        False,
        description="Read every file of these days again at the source, local and in the archive, to find bit rot now.",
    )
    accept_loss: bool = Field(
        False,
        description="Accept the listing of a source that is empty, or that has lost most of its files which are not "
        "verified in the archive. Set it only if the files were deleted at the source on purpose.",
    )


class ProductsConfig(Config):
    """Options of a verification of products."""

    full: bool = Field(False, description="Read every product again, local and in the archive, to find bit rot now.")


def archive_assets(site: Site) -> list[AssetsDefinition]:
    """The archive's assets; an empty list for a site without an archive."""
    archive = site.archive
    if archive is None:
        return []
    assets = [_raw_copy(site, archive, name) for name in site.streams]
    assets += [_manifests(site, archive, name) for name in site.streams]
    assets += [_core_products(site, archive), _product_manifests(site, archive), _restore_drill(site, archive)]
    if WXCAM in site.streams:
        assets.append(_camera_products(site, archive))
    if site.retention.raw:
        assets.append(_retention(site))
    return assets


def _raw_copy(site: Site, archive: Archive, name: str) -> AssetsDefinition:
    stream, layout = site.streams[name], ArchiveLayout.of(archive)

    @aurora_asset(
        gws_raw_key(name),
        deps=[raw_key(name)],
        partitions_def=daily(stream.start),
        pool=RAW_POOL,
        place=layout.raw_root(stream),
        placeholders={"description": stream.description, "versions": layout.versions},
        metadata={
            "started_by": f"schedule push_{name}; sensor late_days (days older than {format_duration(stream.lookback)})"
        },
        check_specs=raw_push_specs(gws_raw_key(name)),
    )
    def gws_raw(context: AssetExecutionContext, archive_hosts: ArchiveHostsResource) -> MaterializeResult:
        """Archive copy: {description}

        Copied from the local files by rsync, through the first archive host that works. (`gws` is the archive.) Nothing
        is ever deleted there. If a file of a finalized day is replaced, its earlier version is kept in `{versions}`.
        """
        days = [day_of_key(key) for key in context.partition_keys]
        live_from = stream.live_from(datetime.now(UTC))
        live, old = [day for day in days if day >= live_from], [day for day in days if day < live_from]
        with archiving.stores.Records(site).ledger() as ledger:
            hosts = archive_hosts.of(archive, context.log)
            pushing = archiving.push_plan.Pushing(site, archive, hosts, ledger, context.log.info)
            reports = [pushing.raw(name, live)] if live else []
            reports += [pushing.raw(name, old, history=True)] if old else []
            key, group = gws_raw_key(name), raw_group(name)
            replaced = ledger.replaced.since(archive.name, group, datetime.now(UTC) - REPLACED_PERIOD)
            more = kept_versions(ledger, archive, group)
            more_checks = [finalized_files_stay(key, replaced)]
            return push_result(context, reports, days, ledger, archive, group, key, more_checks, more)

    return gws_raw


def _camera_products(site: Site, archive: Archive) -> AssetsDefinition:
    @aurora_asset(
        asset_keys.WXCAM_PRODUCTS,
        # Without the pixels: the archive has the images that they are made of.
        deps=[asset_key(name) for name in camera_keys(DAILY_VIDEO, LATEST_VIDEO, HOURLY_THUMBNAILS)],
        partitions_def=daily(site.streams[WXCAM].start),
        pool=CAMERA_POOL,
        place=ArchiveLayout.of(archive).camera_products,
        check_specs=push_specs(asset_keys.WXCAM_PRODUCTS),
    )
    def gws_wxcam_products(context: AssetExecutionContext, archive_hosts: ArchiveHostsResource) -> MaterializeResult:
        """The sky camera's videos, thumbnails and catalogue in the archive (`gws`).

        Copied from the local products by rsync. Every run also copies the newest videos and a backup of the catalogue.
        The pixel store is not copied: the archive has the images that it is made of.
        """
        days = [day_of_key(key) for key in context.partition_keys]
        with archiving.stores.Records(site).ledger() as ledger:
            hosts = archive_hosts.of(archive, context.log)
            report = archiving.push_plan.Pushing(site, archive, hosts, ledger, context.log.info).wxcam_products(days)
            key, more = asset_keys.WXCAM_PRODUCTS, kept_versions(ledger, archive, WXCAM_PRODUCTS)
            return push_result(context, [report], days, ledger, archive, WXCAM_PRODUCTS, key, [], more)

    return gws_wxcam_products


def _core_products(site: Site, archive: Archive) -> AssetsDefinition:
    @aurora_asset(
        asset_keys.CORE_PRODUCTS,
        pool=CORE_POOL,
        place=archive.products,
        placeholders={"products": site.paths.products},
        metadata={"started_by": "schedule push_core_products"},
        check_specs=push_specs(asset_keys.CORE_PRODUCTS),
    )
    def gws_core_products(context: AssetExecutionContext, archive_hosts: ArchiveHostsResource) -> MaterializeResult:
        """All products in the archive (`gws`) except those of the sky camera.

        Copied from `{products}` by rsync, together with files that other programs have registered
        (`Ledger.add_file`). This copy has a queue of its own: small files never wait for large ones.
        """
        with archiving.stores.Records(site).ledger() as ledger:
            hosts = archive_hosts.of(archive, context.log)
            report = archiving.push_plan.Pushing(site, archive, hosts, ledger, context.log.info).core_products()
            context.log.info(report.summary())
            return MaterializeResult(
                metadata=push_metadata([report]) | kept_versions(ledger, archive, CORE_PRODUCTS, REGISTERED),
                data_version=DataVersion(ledger.data_version(archive.name, CORE_PRODUCTS, [])),
                check_results=[
                    nothing_parked(asset_keys.CORE_PRODUCTS, [report], ledger.count_unknown(archive.name)),
                    copies_can_be_read_back(asset_keys.CORE_PRODUCTS, [report]),
                ],
            )

    return gws_core_products


def _product_manifests(site: Site, archive: Archive) -> AssetsDefinition:
    has_camera = [asset_keys.WXCAM_PRODUCTS] if WXCAM in site.streams else []

    @aurora_asset(
        asset_keys.PRODUCT_MANIFESTS,
        deps=[asset_keys.CORE_PRODUCTS, *has_camera],
        pool=VERIFY_POOL,
        place=Layout.of(site).finalizations.finalized(CORE_PRODUCTS).parent,
        placeholders={"scrub": format_duration(archive.scrub)},
        metadata={"started_by": "schedule verify_products"},
        check_specs=product_specs(asset_keys.PRODUCT_MANIFESTS),
    )
    def manifests_products(
        context: AssetExecutionContext,
        config: ProductsConfig,
        hosts: HostsResource,
        archive_hosts: ArchiveHostsResource,
    ) -> MaterializeResult:
        """All products and registered files, local and in the archive, compared one by one (size, mtime, SHA-256).

        New files are read; every file is read again at least once in {scrub}. Camera products are finalized by UTC day,
        all others by a list of their own, once they have not changed for a day. To repair a product, use
        `aurora repair core_products`, `wxcam_products` or `registered`.
        """
        records = archiving.stores.Records(site)
        report = archiving.verify_products.verify_products(
            records,
            hosts.connections,
            archive_hosts.of(archive, context.log),
            full=config.full,
            log=context.log.info,
        )
        metadata = metadata_of(report) | {"summary": report.summary()}
        for found in report.collections:
            metadata |= {f"{found.name}_{name}": value for name, value in metadata_of(found).items()}
        key = asset_keys.PRODUCT_MANIFESTS
        return MaterializeResult(
            metadata=metadata,
            check_results=[products_are_proved(key, report), every_product_place_was_seen(key, report)],
        )

    return manifests_products


def _restore_drill(site: Site, archive: Archive) -> AssetsDefinition:
    @aurora_asset(
        asset_keys.RESTORE_DRILL,
        deps=[manifests_key(name) for name in site.streams],
        pool="restore_drill",
        place=Layout.of(site).restore_drill,
        retry_policy=None,  # its failure is the result; the next drill takes another day
        metadata={"started_by": "schedule restore_drill"},
        check_specs=[restore_drill_spec(asset_keys.RESTORE_DRILL)],
    )
    def gws_restore_drill(context: AssetExecutionContext, archive_hosts: ArchiveHostsResource) -> MaterializeResult:
        """A test restoration: a random finalized day, fetched from the archive and compared with its manifest.

        The files are fetched a part at a time into a private directory, hashed on this machine and deleted again.
        """
        records = archiving.stores.Records(site)
        hosts = archive_hosts.of(archive, context.log)
        report = archiving.restore_drill.drill(records, hosts, log=context.log.info)
        context.log.info(report.summary())
        last = archiving.restore_drill.read_history(records.layout.restore_drill).last_success
        return MaterializeResult(
            metadata={
                "summary": report.summary(),
                **metadata_of(report),
                "last_success": last.at if last else "never",
                "last_success_day": f"{last.stream} {last.day}" if last else "none",
            },
            check_results=[a_day_can_be_restored(asset_keys.RESTORE_DRILL, report)],
        )

    return gws_restore_drill


def _retention(site: Site) -> AssetsDefinition:
    ages = ", ".join(f"{name} {format_duration(age)}" for name, age in site.retention.raw.items())

    @aurora_asset(
        asset_keys.RETENTION,
        deps=[manifests_key(name) for name in site.retention.raw],
        pool="retention",
        place=Layout.of(site).retention,
        retry_policy=None,  # it deletes: the next run goes on where this one ended
        placeholders={"ages": ages, "most": site.retention.files_per_run},
        metadata={"started_by": "schedule retire" if site.retention.schedule else "a person (no schedule)"},
    )
    def gws_retention(context: AssetExecutionContext, hosts: HostsResource) -> MaterializeResult:
        """Deletes local copies of raw files that are older than the site file says ({ages}).

        Only files of finalized days, at most {most} per stream and run. Each file is read immediately before: the local
        copy, and the copy in the archive, which is fetched for that. If they differ, the file stays. Directories that
        became empty are removed, and what killed runs left in `.outgoing`.
        """

        def places(stream: str) -> tuple[Place, Place]:
            found = archiving.locations.places_of(site, stream, hosts.connections)
            return found["local"][0], found["gws"][0]

        records = archiving.stores.Records(site)
        report = archiving.retention_run.run_retention(records, places, log=context.log.info)
        context.log.info(report.summary())
        if report.errors:
            context.log.warning(f"nothing (more) was deleted of {', '.join(report.errors)}")
        rows = table("streams", ({"stream": name, "result": text} for name, text in report.streams.items()))
        return MaterializeResult(metadata={"summary": report.summary(), **metadata_of(report), **rows})

    return gws_retention


def _manifests(site: Site, archive: Archive, name: str) -> AssetsDefinition:
    stream, published = site.streams[name], Layout.of(site).finalizations

    @aurora_asset(
        manifests_key(name),
        deps=[raw_key(name), gws_raw_key(name)],
        partitions_def=daily(stream.start),
        pool=VERIFY_POOL,
        place=published.latest / name,
        placeholders={"name": name, "scrub": format_duration(archive.scrub)},
        metadata={
            "finalizations": MetadataValue.path(str(published.finalized(name))),
            "started_by": f"schedule verify_{name}; sensor late_days (older days)",
            **column_schema(MANIFEST_COLUMNS),
        },
        check_specs=verify_specs(manifests_key(name)),
    )
    def manifests(
        context: AssetExecutionContext, config: VerifyConfig, hosts: HostsResource, archive_hosts: ArchiveHostsResource
    ) -> MaterializeResult:
        """The files of {name} at its source, local and in the archive, compared one by one (size, mtime, SHA-256).

        New files are read; every file is read again at least once in {scrub}. Three tables (source, local, archive; the
        files say `gws`). When a UTC day is over and all its files are in the archive, its *finalization* is written:
        the proof for that day. A list names the files that the source host need not keep; Aurora deletes none of them.
        To repair a copy, use `aurora repair`.
        """
        days, records = [day_of_key(key) for key in context.partition_keys], archiving.stores.Records(site)
        grounds.learn(site, "products", "state", "manifests")  # a mounted archive may hang: `aurora audit --deep`
        places = archiving.locations.places_of(site, name, hosts.connections)
        push_hosts = archive_hosts.of(archive, context.log)
        prepare = archiving.archived_finalizations.prepare_verification
        prepare(records, push_hosts, name, set(days), context.log.info)
        outcome = archiving.verify_and_publish.verify_and_publish(
            records, name, days, places, full=config.full, accept_loss=config.accept_loss, log=context.log.info
        )
        key, report = manifests_key(name), outcome.report
        context.log.info(report.summary())
        verdicts = {
            day.day.isoformat(): {"sentence": day.error or day.verdict.sentence(), **metadata_of(day.verdict)}
            for day in report.days
        }
        pushed = list[PushReport]()
        if "gws" not in report.errors:  # an archive that cannot be listed has no new finalizations
            with records.ledger() as ledger:
                pushing = archiving.push_plan.Pushing(site, archive, push_hosts, ledger, context.log.info)
                pushed = archiving.push_plan.push_finalizations(records, pushing, name, days)
        with records.evidence() as evidence:
            decisions = evidence.changes.of_stream(name)
        not_copied = Count.sum_of(count for push in pushed for count in (push.failed, push.parked, push.unsettled))
        return MaterializeResult(
            metadata=attach(
                context,
                verdicts,
                {
                    "summary": report.summary(),
                    **metadata_of(outcome.summary),
                    **metadata_of(report),
                    **metadata_of(outcome),
                    "finalizations_copied": sum(push.files for push in pushed),
                },
            ),
            data_version=DataVersion(common_version([day.error or day.verdict.as_json() for day in report.days])),
            check_results=[
                no_settled_gap(key, report, stream_coverage(site, name)),
                every_place_was_seen(key, report, not_copied),
                no_change_is_held_back(key, name, decisions.values()),
            ],
        )

    return manifests
