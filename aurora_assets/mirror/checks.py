"""Checks of the mirrors. They list the host and the raw directory, change nothing, and name what is wrong."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetChecksDefinition,
    AssetCheckSpec,
    multi_asset_check,
)

from aurora_assets.asset_keys import raw_key
from aurora_assets.metadata import Metadata, check_result, coverage
from aurora_assets.partitions import days_of_run
from aurora_platform import archive, mirror
from aurora_platform.check_report import CheckReport
from aurora_platform.config.site import Site
from aurora_platform.config.streams import Stream
from aurora_platform.config.types import format_duration
from aurora_platform.errors import HostError
from aurora_platform.fs.versions import ScannedEntry
from aurora_platform.layout import Layout
from aurora_platform.mirror.scan import scan, scan_outside
from aurora_platform.plots import strip_days
from resources.hosts import HostsResource

# If executed alone, without a partition: today and yesterday.
_NEWEST_DAYS = 2
_STILL_ARRIVING = timedelta(minutes=10)


class _LocalFiles(NamedTuple):
    """What a check of the raw directory gets."""

    stream: Stream
    days: Sequence[date]
    files: Sequence[ScannedEntry[str]]
    """Every entry in the local directories of these days."""
    sharing: Mapping[str, Stream]
    """The streams that are mirrored to the same directory."""
    now: datetime


class _LocalCheck(NamedTuple):
    """A check of the raw directory: its sentence in the UI, and its reports."""

    description: str
    reports: Callable[[_LocalFiles], list[CheckReport]]


def _gap_reports(local: _LocalFiles) -> list[CheckReport]:
    mtimes = mirror.checks.mtimes_by_day(local.stream, local.files)
    return [mirror.checks.no_gap(local.stream, mtimes.get(day, []), day, local.now) for day in local.days]


_HOST_CHECKS = {
    "nothing_refused": "Every file of the stream on the host can be copied. A failure lists those that are refused, "
    "with the reason: no date in the name, a date in the future, ...",
    "matches_source": "Every file of the host that does not change any more exists locally, with the same size and "
    "mtime. A failure names the missing and different files.",
}
_LOCAL_CHECKS = {
    "no_file_in_the_future": _LocalCheck(
        "No local file has a date or an mtime after tomorrow. A failure names such files.",
        lambda local: [mirror.checks.no_file_in_the_future(local.stream, local.files, local.now)],
    ),
    "nothing_foreign": _LocalCheck(
        "The local directory holds only files of its own streams. A failure names what does not belong there.",
        lambda local: [mirror.checks.nothing_unexpected(local.files, local.sharing)],
    ),
}
_CADENCE_CHECKS = {
    "no_gap": _LocalCheck(
        "No pause of more than {pause} between two files of the day (twice the stream's `every`). A failure names the "
        "longer pauses.",
        _gap_reports,
    ),
}


def raw_checks(site: Site) -> list[AssetChecksDefinition]:
    """The checks of every stream that is not planned offline."""
    return [_checks_of(site, name, stream) for name, stream in site.streams.items() if stream.enabled]


def _checks_of(site: Site, name: str, stream: Stream) -> AssetChecksDefinition:
    local_checks = _LOCAL_CHECKS | (_CADENCE_CHECKS if stream.every else {})
    pause = format_duration(2 * stream.every) if stream.every else ""
    descriptions = _HOST_CHECKS | {check: one.description.format(pause=pause) for check, one in local_checks.items()}
    raw_root = Layout.of(site).raw_root(name)
    sharing = {other: s for other, s in site.streams.items() if s.raw == stream.raw}

    def reports(days: Sequence[date], hosts: HostsResource) -> dict[str, list[CheckReport]]:
        now = datetime.now(UTC)
        local = _local_reports(local_checks, raw_root, _LocalFiles(stream, days, [], sharing, now))
        try:
            bound = site.limits.look
            source = hosts.connections.source(site.hosts[stream.host], within=bound.total_seconds())
            held = archive.change_guard.held_files(site, name)
            survey = scan(_settled(stream), source, raw_root, days, bound, held=held)
            outside = scan_outside(stream, source, raw_root, days, bound)
        except HostError as error:
            # A check only observes: the failed listing is its result, and the run does not fail.
            return local | {check: [mirror.checks.listing_failed(str(error))] for check in _HOST_CHECKS}
        return local | {
            "nothing_refused": [mirror.checks.nothing_refused(survey, outside)],
            "matches_source": [mirror.checks.matches_source(survey)],
        }

    @multi_asset_check(
        name=f"raw_{name}_checks",
        specs=[
            AssetCheckSpec(check, asset=raw_key(name), description=text, blocking=False)
            for check, text in descriptions.items()
        ],
    )
    def raw_stream_checks(context: AssetCheckExecutionContext, hosts: HostsResource) -> Iterable[AssetCheckResult]:
        reports_by_check = reports(days_of_run(context) or _newest_days(stream), hosts)
        for check in descriptions:
            result = check_result(reports_by_check[check])
            if check == "matches_source":
                result = result._replace(metadata={**result.metadata, **_coverage(name, stream, raw_root)})
            yield result._replace(asset_key=raw_key(name), check_name=check)

    return raw_stream_checks


def _local_reports(
    checks: Mapping[str, _LocalCheck], raw_root: Path, local: _LocalFiles
) -> dict[str, list[CheckReport]]:
    """The reports of the checks that read only the raw directory."""
    try:
        files = list(mirror.checks.local_files(local.stream, raw_root, local.days))
    except OSError as error:
        not_listed = mirror.checks.listing_failed(f"{error.filename}: {error.strerror}", raw_root)
        return {check: [not_listed] for check in checks}
    return {check: local_check.reports(local._replace(files=files)) for check, local_check in checks.items()}


def _coverage(name: str, stream: Stream, raw_root: Path) -> Metadata:
    """The number of local files of each of the last 30 days, as a share of the day with the most files."""
    today = datetime.now(UTC).date()
    try:
        counts = mirror.checks.count_files_by_day(stream, raw_root, strip_days(today))
    except OSError:
        return {}  # another check reports the error
    most = max(counts.values(), default=0)
    shares = {day: count / most for day, count in counts.items()} if most else dict.fromkeys(strip_days(today), 0.0)
    since_start = {day: shares.get(day, 0.0) for day in strip_days(today) if day >= stream.start}
    title = f"{name}, local files per day as a share of the fullest of 30 ({most})"
    return coverage({name: since_start}, today, title)


def _settled(stream: Stream) -> Stream:
    """The stream with a longer ``settle``: a file written in the last minutes may still arrive and is not missing."""
    return stream.model_copy(update={"settle": max(stream.settle, _STILL_ARRIVING)})


def _newest_days(stream: Stream) -> list[date]:
    today = datetime.now(UTC).date()
    days = (today - timedelta(days=n) for n in range(_NEWEST_DAYS))
    return [day for day in days if day >= stream.start]
