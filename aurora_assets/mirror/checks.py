"""Checks of the mirrors: observe only. They look at the host and at the raw directory, and name what they find."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

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
from aurora_platform import mirror
from aurora_platform.check_report import CheckReport
from aurora_platform.config.site import Site
from aurora_platform.config.streams import Stream
from aurora_platform.errors import HostError
from aurora_platform.layout import Layout
from aurora_platform.mirror.scan import scan, scan_outside
from aurora_platform.plots import strip_days
from resources.hosts import HostsResource

# Executed by themselves, without a partition: today and yesterday.
_NEWEST_DAYS = 2
_ON_ITS_WAY = timedelta(minutes=10)

_CHECKS = {
    "nothing_refused": "No entry of the host had to be refused; the table names those that were, and why.",
    "matches_source": "Every settled file of the host is here in the same version, by size and mtime.",
    "no_file_in_the_future": "No file here is dated, or was written, after tomorrow.",
    "nothing_foreign": "Everything in the raw directory is a regular file of a stream that is mirrored to it.",
}
_CADENCE = {"no_gap": "The day's files came at the stream's cadence (`every` in the site file), without a longer gap."}


def raw_checks(site: Site) -> list[AssetChecksDefinition]:
    """The checks of every stream that is not planned offline."""
    return [_checks_of(site, name, stream) for name, stream in site.streams.items() if stream.enabled]


def _checks_of(site: Site, name: str, stream: Stream) -> AssetChecksDefinition:
    wanted = _CHECKS | (_CADENCE if stream.every else {})
    raw_root = Layout.of(site).raw_root(name)
    sharing = {other: s for other, s in site.streams.items() if s.raw == stream.raw}

    def reports(days: Sequence[date], hosts: HostsResource) -> dict[str, list[CheckReport]]:
        now = datetime.now(UTC)
        here = _of_what_is_here(stream, raw_root, days, sharing, now)
        try:
            bound = site.limits.look
            source = hosts.connections.source(site.hosts[stream.host], within=bound.total_seconds())
            survey = scan(_settled(stream), source, raw_root, days, bound)
            outside = scan_outside(stream, source, raw_root, days, bound)
        except HostError as error:
            # A check observes: that it could not see is what it has to say, and no reason for the run to fail.
            return here | {
                check: [mirror.checks.listing_failed(str(error))] for check in ("nothing_refused", "matches_source")
            }
        return here | {
            "nothing_refused": [mirror.checks.nothing_refused(survey, outside)],
            "matches_source": [mirror.checks.matches_source(survey)],
        }

    @multi_asset_check(
        name=f"raw_{name}_checks",
        specs=[
            AssetCheckSpec(check, asset=raw_key(name), description=text, blocking=False)
            for check, text in wanted.items()
        ],
    )
    def raw_stream_checks(context: AssetCheckExecutionContext, hosts: HostsResource) -> Iterable[AssetCheckResult]:
        found = reports(days_of_run(context) or _newest(stream), hosts)
        for check in wanted:
            result = check_result(found[check])
            if check == "matches_source":
                result = result._replace(metadata={**result.metadata, **_coverage(name, stream, raw_root)})
            yield result._replace(asset_key=raw_key(name), check_name=check)

    return raw_stream_checks


def _of_what_is_here(
    stream: Stream, raw_root: Path, days: Sequence[date], sharing: Mapping[str, Stream], now: datetime
) -> dict[str, list[CheckReport]]:
    try:
        files = list(mirror.checks.local_files(stream, raw_root, days))
    except OSError as error:
        unseen = mirror.checks.listing_failed(f"{error.filename}: {error.strerror}", raw_root)
        return {check: [unseen] for check in ("no_file_in_the_future", "nothing_foreign", "no_gap")}
    written = mirror.checks.mtimes_by_day(stream, files)
    return {
        "no_file_in_the_future": [mirror.checks.no_file_in_the_future(stream, files, now)],
        "nothing_foreign": [mirror.checks.nothing_unexpected(files, sharing)],
        "no_gap": [mirror.checks.no_gap(stream, written.get(day, []), day, now) for day in days],
    }


def _coverage(name: str, stream: Stream, raw_root: Path) -> Metadata:
    """How many files each of the last 30 days has here, against the fullest of them."""
    today = datetime.now(UTC).date()
    try:
        counts = mirror.checks.count_files_by_day(stream, raw_root, strip_days(today))
    except OSError:
        return {}  # another check says that and why
    most = max(counts.values(), default=0)
    shares = {day: count / most for day, count in counts.items()} if most else dict.fromkeys(strip_days(today), 0.0)
    begun = {day: shares.get(day, 0.0) for day in strip_days(today) if day >= stream.start}
    return coverage({name: begun}, today, f"{name} here, files a day against the fullest of 30 ({most})")


def _settled(stream: Stream) -> Stream:
    """The stream with a time to settle: what was written in the last minutes is on its way, and no difference."""
    return stream.model_copy(update={"settle": max(stream.settle, _ON_ITS_WAY)})


def _newest(stream: Stream) -> list[date]:
    today = datetime.now(UTC).date()
    days = (today - timedelta(days=n) for n in range(_NEWEST_DAYS))
    return [day for day in days if day >= stream.start]
