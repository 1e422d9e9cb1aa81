"""Schedules of the archive: copying raw files, small products and camera products, and verifying the copies.

A tick reads only the ledger and the evidence on this machine, and starts no run if there is nothing to do.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta

from dagster import RunRequest, ScheduleDefinition, ScheduleEvaluationContext, SkipReason

from aurora_assets import run_tags
from aurora_assets.jobs import CORE_JOB, DRILL_JOB, RETIRE_JOB, VERIFY_PRODUCTS_JOB, push_job_name, verify_job_name
from aurora_assets.partitions import consecutive_ranges, live_days
from aurora_assets.run_requests import has_unfinished
from aurora_platform import archive
from aurora_platform.archive.ledger import Ledger
from aurora_platform.archive.reports import Backlog
from aurora_platform.config.site import Site
from aurora_platform.config.types import format_duration
from aurora_platform.layout import WXCAM
from schedules.aurora_schedule import aurora_schedule

_DAY = timedelta(days=1)
_MAX_RUNS = 4  # runs per tick; each is for consecutive days

_TickResult = Sequence[RunRequest] | SkipReason


def archive_schedules(site: Site) -> list[ScheduleDefinition]:
    """The schedules of a site with an archive."""
    if site.archive is None:
        return []
    schedules = [_push_raw(site, name) for name in site.streams]
    schedules += [_verify(site, name) for name in site.streams]
    schedules += [_push_core(site), _verify_products(site, site.archive.verify_products)]
    if WXCAM in site.streams:
        schedules.append(_push_camera(site))
    if site.archive.restore_drill is not None:
        schedules.append(_restore_drill(site, site.archive.restore_drill))
    if site.retention.raw and site.retention.schedule is not None:
        schedules.append(_retention(site, site.retention.schedule))
    return schedules


def _retention(site: Site, cron: str) -> ScheduleDefinition:
    text = "Deletes old local copies (retention in the site file), each after its copy in the archive was read back."

    @aurora_schedule(site, RETIRE_JOB, cron, job=RETIRE_JOB, description=text)
    def retire(context: ScheduleEvaluationContext) -> RunRequest | SkipReason:
        if has_unfinished(context.instance, RETIRE_JOB):
            return SkipReason("an earlier retention run has not ended")
        tags = run_tags.archive(run_tags.EVIDENCE, "retention", "retention", old=True)
        return RunRequest(run_key=f"{RETIRE_JOB}/{context.scheduled_execution_time.isoformat()}", tags=tags)

    return retire


def _verify_products(site: Site, cron: str) -> ScheduleDefinition:
    text = "Compares the products and the registered files with their copies in the archive, and writes their proofs."

    @aurora_schedule(site, VERIFY_PRODUCTS_JOB, cron, job=VERIFY_PRODUCTS_JOB, description=text)
    def verify_products(context: ScheduleEvaluationContext) -> RunRequest | SkipReason:
        if has_unfinished(context.instance, VERIFY_PRODUCTS_JOB):
            return SkipReason("an earlier verification of the products has not ended")
        with archive.stores.Records(site).ledger() as ledger:
            if not archive.backlog.has_products(site, ledger):
                return SkipReason("no product was copied yet")
        tags = run_tags.archive(run_tags.EVIDENCE, "products", "products")
        return RunRequest(run_key=f"{VERIFY_PRODUCTS_JOB}/{context.scheduled_execution_time.isoformat()}", tags=tags)

    return verify_products


def _restore_drill(site: Site, cron: str) -> ScheduleDefinition:
    text = "Restores a random finalized day from the archive as a test, and compares it with its manifest."

    @aurora_schedule(site, DRILL_JOB, cron, job=DRILL_JOB, description=text)
    def restore_drill(context: ScheduleEvaluationContext) -> RunRequest | SkipReason:
        if has_unfinished(context.instance, DRILL_JOB):
            return SkipReason("an earlier drill has not ended")
        tags = run_tags.archive(run_tags.EVIDENCE, "restore_drill", "drill", old=True)
        return RunRequest(run_key=f"{DRILL_JOB}/{context.scheduled_execution_time.isoformat()}", tags=tags)

    return restore_drill


def _push_raw(site: Site, name: str) -> ScheduleDefinition:
    assert site.archive is not None
    text = (
        f"Copies new files of {name} to the archive: those of the last {format_duration(site.streams[name].lookback)}, "
        "and those of older days for which a verification has found files missing."
    )

    def find_backlog(ledger: Ledger, days: Sequence[date]) -> Backlog:
        return archive.backlog.raw_push(site, name, ledger, days)

    return _push_days(site, name, push_job_name(name), f"{name}/raw", site.archive.push_raw, text, find_backlog)


def _push_camera(site: Site) -> ScheduleDefinition:
    assert site.archive is not None
    what = "wxcam_products"
    text = "Copies the sky camera's new videos and thumbnails, and the catalogue, to the archive."

    def find_backlog(ledger: Ledger, days: Sequence[date]) -> Backlog:
        return archive.backlog.wxcam_push(site, ledger, days)

    return _push_days(site, WXCAM, push_job_name(what), what, site.archive.push_wxcam, text, find_backlog)


def _push_days(
    site: Site,
    stream: str,
    job: str,
    way: str,
    cron: str,
    text: str,
    find_backlog: Callable[[Ledger, Sequence[date]], Backlog],
) -> ScheduleDefinition:
    """A schedule that requests runs for the days of a stream with files to copy, as ``find_backlog`` finds them."""

    @aurora_schedule(site, job, cron, job=job, description=text, stream=stream)
    def push(context: ScheduleEvaluationContext) -> _TickResult:
        days = live_days(site, stream)
        if not days:
            return SkipReason(f"{stream} begins on {site.streams[stream].start} (start in the site file)")
        with archive.stores.Records(site).ledger() as ledger:
            backlog = find_backlog(ledger, days)
        return _requests(context, job, backlog, run_tags.PUSH, way, stream, days[0])

    return push


def _push_core(site: Site) -> ScheduleDefinition:
    assert site.archive is not None

    text = "Copies new products (except the sky camera's) and files that other programs have registered to the archive."

    @aurora_schedule(site, CORE_JOB, site.archive.push_core, job=CORE_JOB, description=text)
    def push_core(context: ScheduleEvaluationContext) -> _TickResult:
        if has_unfinished(context.instance, CORE_JOB):
            return SkipReason("an earlier push of the small products has not ended")
        with archive.stores.Records(site).ledger() as ledger:
            if not archive.backlog.core_push(site, ledger):
                return SkipReason("all small products are copied")
        tags = run_tags.archive(run_tags.PUSH_SMALL, "core_products", "core")
        return [RunRequest(run_key=f"{CORE_JOB}/{context.scheduled_execution_time.isoformat()}", tags=tags)]

    return push_core


def _verify(site: Site, name: str) -> ScheduleDefinition:
    assert site.archive is not None
    job = verify_job_name(name)

    text = (
        f"Verifies the files of {name} at the source, local and in the archive: new days soon after they are copied, "
        "older days about once a day."
    )

    @aurora_schedule(site, job, site.archive.verify, job=job, description=text, stream=name)
    def verify(context: ScheduleEvaluationContext) -> _TickResult:
        days, now, records = live_days(site, name), datetime.now(UTC), archive.stores.Records(site)
        if not days:
            return SkipReason(f"{name} begins on {site.streams[name].start} (start in the site file)")
        if site.streams[name].enabled:
            newest = archive.backlog.verification(records, name, days, now)
        else:  # only the verification of all days, once a day, lists its host
            newest = Backlog((), f"{name} is planned offline (enabled: false in the site file)")
        rest = archive.backlog.whole_verification(records, name, days[0] - _DAY, now)
        results = [
            _requests(context, job, backlog, run_tags.EVIDENCE, name, name, days[0]) for backlog in (newest, rest)
        ]
        runs = [request for result in results if not isinstance(result, SkipReason) for request in result]
        return runs or SkipReason(newest.why if isinstance(results[0], SkipReason) else rest.why)

    return verify


def _requests(
    context: ScheduleEvaluationContext,
    job: str,
    backlog: Backlog,
    lane: str,
    way: str,
    stream: str,
    live_from: date,
) -> _TickResult:
    """Runs for a backlog, separate for the live window and for older days; none while such a run is unfinished."""
    requests, waiting = [], []
    for old in (False, True):
        tags = run_tags.archive(lane, way, stream, old=old)
        days = [day for day in backlog.days if (day < live_from) == old]
        if days and has_unfinished(context.instance, job, {run_tags.LANE: tags[run_tags.LANE]}):
            waiting.append("older days" if old else "the newest days")
            continue
        for first, last in list(reversed(consecutive_ranges(days, _DAY)))[:_MAX_RUNS]:
            requests.append(_request(f"{context.scheduled_execution_time.isoformat()}", tags, first, last))
    if requests:
        return requests
    return SkipReason(f"an earlier run for {' and '.join(waiting)} has not ended" if waiting else backlog.why)


def _request(tick: str, tags: dict[str, str], first: date, last: date) -> RunRequest:
    return RunRequest(
        run_key=f"{first}/{last}/{tick}",
        partition_key=str(first) if first == last else None,
        tags=tags if first == last else tags | run_tags.range_tags(str(first), str(last)),
    )
