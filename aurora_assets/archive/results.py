"""The results of the archive's runs, as metadata and checks."""

from collections.abc import Sequence
from datetime import UTC, date, datetime

from dagster import AssetCheckResult, AssetExecutionContext, AssetKey, DataVersion, MaterializeResult

from aurora_assets.archive.checks import copies_can_be_read_back, nothing_parked
from aurora_assets.metadata import Metadata, attach, common_version, coverage, metadata_of
from aurora_platform import archive as archiving
from aurora_platform.archive.ledger import Ledger
from aurora_platform.archive.transfer import PushReport
from aurora_platform.archive.verdicts import read_verdict
from aurora_platform.config.archive import Archive
from aurora_platform.config.site import Site


def stream_coverage(site: Site, name: str) -> Metadata:
    """Plot the last 30 days: the share of a day's recorded files at the source, local, and verified in the archive."""
    with archiving.stores.Records(site).evidence() as evidence:
        verdicts = {day: read_verdict(text) for day, text in evidence.verdicts(name).items()}
    with_files = {day: verdict for day, verdict in verdicts.items() if verdict is not None and verdict.files}
    rows = {
        "source": {day: verdict.source / verdict.files for day, verdict in with_files.items()},
        "local": {day: verdict.local / verdict.files for day, verdict in with_files.items()},
        "archive": {day: verdict.proved / verdict.files for day, verdict in with_files.items()},
    }
    return coverage(rows, datetime.now(UTC).date(), f"{name}: files of the last 30 days")


def kept_versions(ledger: Ledger, archive: Archive, *groups: str) -> Metadata:
    """Count the earlier versions of finalized files that the archive keeps; empty without any."""
    kept = [ledger.replaced.kept(archive.name, group) for group in groups]
    if not any(found.files for found in kept):
        return {}
    return {
        "versions_kept": sum(found.files for found in kept),
        "versions_kept_bytes": sum(found.bytes for found in kept),
    }


def push_result(
    context: AssetExecutionContext,
    reports: Sequence[PushReport],
    days: Sequence[date],
    ledger: Ledger,
    archive: Archive,
    group: str,
    key: AssetKey,
    more_checks: Sequence[AssetCheckResult] = (),
    more: Metadata | None = None,
) -> MaterializeResult:
    """Return the result of a push: its own metadata and checks, and the ledger's counts per day."""
    for report in reports:
        context.log.info(report.summary())
    versions = {day: ledger.data_version(archive.name, group, [day]) for day in days}
    counts = {
        day.isoformat(): metadata_of(ledger.counts_of_day(archive.name, group, day)) | {"outputs_sha256": version}
        for day, version in versions.items()
    }
    rebuilt = {"ledger_rebuilt_at": ledger.rebuilt_at} if ledger.rebuilt_at else {}
    return MaterializeResult(
        metadata=attach(context, counts, push_metadata(reports) | rebuilt | (more or {})),
        data_version=DataVersion(common_version(list(versions.values()))),
        check_results=[nothing_parked(key, reports), copies_can_be_read_back(key, reports), *more_checks],
    )


def push_metadata(reports: Sequence[PushReport]) -> Metadata:
    """Return what a run shows of its pushes."""
    return metadata_of(PushReport.sum_of(reports)) | {"summary": " | ".join(report.summary() for report in reports)}
