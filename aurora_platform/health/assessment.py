"""The assessment of a snapshot: rules that make each part green, amber, red or gray. All levels are decided here.

Gray means unknown, or planned offline. It is neither good nor bad, and does not affect the overall level.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from aurora_platform.config.health import Endpoints, Health
from aurora_platform.health.age_limits import AMBER_FROM
from aurora_platform.health.archive_work import check_restore_drill
from aurora_platform.health.models import (
    Assessment,
    Check,
    Daemon,
    FailedCheck,
    Filesystem,
    Freshness,
    HostState,
    Level,
    Manifest,
    Page,
    Platform,
    Snapshot,
    Summary,
)
from aurora_platform.health.next_steps import REPORTED_BY_MANIFESTS, failed_check_details, failed_check_message
from aurora_platform.layout import manifests_key
from aurora_platform.text import format_age

NOT_LOADED_DETAILS = (
    "Stage: platform. See: `dagster definitions validate` shows the full error; correct the site file or the code, "
    "then restart `make ui`. Runbook: `code location`"
)
OVERDUE_DETAILS = "Stage: platform. See: restart `make ui`; Deployment > Code locations. Runbook: `ticks overdue`"
_MAX_NAMED = 5  # entries of a list; the snapshot has all
_WORST_FIRST = (Level.RED, Level.AMBER, Level.GREEN, Level.GRAY)


def rate_age(age_s: float | None, stale_after_s: float) -> Level:
    """Rate the age of data: fresh, ageing (from two thirds of the limit), or stale. No data at all is stale."""
    if age_s is None or age_s > stale_after_s:
        return Level.RED
    return Level.AMBER if age_s > AMBER_FROM * stale_after_s else Level.GREEN


def rate_disk_use(percent: float | None, health: Health) -> Level:
    """Rate how full a file system is, in space or inodes."""
    if percent is None:
        return Level.GRAY
    if percent >= health.disk_red:
        return Level.RED
    return Level.AMBER if percent >= health.disk_amber else Level.GREEN


def rate_manifest(manifest: Manifest, health: Health, *, is_offline: bool = False) -> Level:
    """Rate the manifests of a stream: missing or different files are red; old manifests are amber, then red.

    Manifests of a stream that is planned offline may be old: it is verified once a day.
    """
    wrong_files = (
        manifest.local_missing_count
        + manifest.local_mismatch_count
        + manifest.gws_missing_count
        + manifest.gws_mismatch_count
    )
    if wrong_files:
        return Level.RED
    if manifest.age_s is None or is_offline:
        return Level.GRAY
    if manifest.age_s > health.manifests_red.total_seconds():
        return Level.RED
    if manifest.age_s > health.manifests_amber.total_seconds() or manifest.errors:
        return Level.AMBER
    return Level.GREEN


def rate_host(host: HostState, health: Health) -> Level:
    """Rate a host: amber if it does not answer, or if its clock is off."""
    if not host.reachable:
        return Level.AMBER
    if host.clock_skew_s is None:
        return Level.GRAY
    return Level.AMBER if abs(host.clock_skew_s) > health.clock_amber.total_seconds() else Level.GREEN


def rate_page(page: Page, expected_title: str | None) -> Level:
    """Rate a page: red if it cannot be loaded, amber if it has another title."""
    if page.status is None or page.status >= 400:
        return Level.RED
    has_other_title = expected_title is not None and expected_title not in (page.title or "")
    return Level.AMBER if has_other_title else Level.GREEN


def assess(snapshot: Snapshot, health: Health, endpoints: Endpoints, extra_checks: Sequence[Check] = ()) -> Assessment:
    """Assess a snapshot; ``extra_checks`` are checks that the caller has made itself."""
    offline = {
        source.stream for source in snapshot.freshness if source.component == "source" and is_planned_offline(source)
    }
    manifests = {
        manifest.stream: _check_manifest(manifest, health, is_offline=manifest.stream in offline)
        for manifest in snapshot.manifests
    }
    checks = [
        *extra_checks,
        # First: while no sensor or schedule ticks, everything else goes wrong because of that.
        *_check_overdue_ticks(snapshot.platform),
        *(_check_disk(disk, health) for disk in snapshot.filesystems),
        *(_check_freshness(freshness) for freshness in snapshot.freshness),
        *manifests.values(),
        *([check_restore_drill(snapshot.restore_drill, snapshot.generated_at_utc)] if snapshot.restore_drill else []),
        *_check_platform(snapshot.platform, health),
        *_check_failed_checks(snapshot.platform, {name for name, check in manifests.items() if _is_bad(check)}),
        *(_check_host(host, health) for host in snapshot.hosts),
        *(_check_page(page, endpoints) for page in snapshot.pages),
    ]
    counts = {level: sum(check.level is level for check in checks) for level in Level}
    counted = [check.level for check in checks if check.affects_overall and check.level is not Level.GRAY]
    overall = min(counted, key=_WORST_FIRST.index, default=Level.GRAY)
    return Assessment(
        generated_at_utc=snapshot.generated_at_utc,
        overall_level=overall,
        summary=Summary(checks=len(checks), **{level.value: count for level, count in counts.items()}),
        observations=[
            *(f"{stream}: broken at {stage}" for stream, stage in find_broken_stages(snapshot.freshness).items()),
            *(f"{check.component}: {check.message}" for check in sorted_by_level(checks) if _is_bad(check)),
        ],
        checks=checks,
    )


def find_broken_stages(freshness: list[Freshness]) -> dict[str, str]:
    """Return the first stale stage per stream: later stages are stale because of it.

    If the local files of a stream are stale and its source is unknown, the source is the broken stage: no data comes
    from there.
    """
    stale_locally = {entry.stream for entry in freshness if entry.component == "here" and entry.level is Level.RED}
    sources = [entry for entry in freshness if entry.component == "source"]
    unknown_sources = {source.stream for source in sources if source.level is Level.GRAY and source.since_utc}
    broken = dict.fromkeys(sorted(stale_locally & unknown_sources), "source")
    for component, stage in (("source", "source"), ("here", "sync"), ("product", "product"), ("archive", "archive")):
        for entry in freshness:
            if entry.component == component and entry.level is Level.RED:
                broken.setdefault(entry.stream, stage)
    return broken


def is_planned_offline(freshness: Freshness) -> bool:
    """Return whether it is gray because the site file says so; a freshness that is unknown is gray too."""
    return freshness.level is Level.GRAY and freshness.since_utc is None and freshness.sentence.startswith("planned ")


def sorted_by_level(checks: list[Check]) -> list[Check]:
    """Return the checks with the worst first and the gray ones last."""
    return sorted(checks, key=lambda check: _WORST_FIRST.index(check.level))


def _is_bad(check: Check) -> bool:
    return check.level in (Level.RED, Level.AMBER)


def _check_disk(disk: Filesystem, health: Health) -> Check:
    levels = [rate_disk_use(percent, health) for percent in (disk.used_percent, disk.inodes_used_percent)]
    levels = [level for level in levels if level is not Level.GRAY]
    details = f"Stage: disk. See: df -h {disk.path}"
    if disk.used_percent is None:
        return Check(level=Level.GRAY, component=f"disk {disk.name}", message=f"unknown: {disk.error}", details=details)
    free = f", {disk.free_bytes / 1e9:.1f} GB free" if disk.free_bytes is not None else ""
    inodes = f", {disk.inodes_used_percent:.0f} % of inodes" if disk.inodes_used_percent is not None else ""
    return Check(
        level=min(levels, key=_WORST_FIRST.index),
        component=f"disk {disk.name}",
        message=f"{disk.used_percent:.0f} % in use{free}{inodes}",
        details=details,
        metrics={"used_percent": disk.used_percent, "free_bytes": disk.free_bytes},
    )


_STAGES = {
    "source": "Stage: source, the instrument or its host. See: aurora status",
    "here": "Stage: sync, from the host to this machine. See: aurora status; the ticks of arrivals_{stream}",
    "archive": "Stage: archive. See: aurora ledger; the runs of push_{stream}",
    "product": "Stage: product. See: the newest run of {stream}_day",
}


def _check_freshness(freshness: Freshness) -> Check:
    return Check(
        level=freshness.level,
        component=f"freshness {freshness.name}",
        message=freshness.sentence,
        details=_STAGES[freshness.component].format(stream=freshness.stream),
        metrics={"age_s": freshness.age_s, "stale_after_s": freshness.stale_after_s},
    )


def _check_manifest(manifest: Manifest, health: Health, *, is_offline: bool) -> Check:
    level = rate_manifest(manifest, health, is_offline=is_offline)
    if manifest.age_s is None:
        message = "no manifests yet"
    else:
        message = (
            f"{manifest.gws_count} of {manifest.local_count} files are in the archive; "
            f"archive: {manifest.gws_missing_count} missing, {manifest.gws_mismatch_count} different; "
            f"local: {manifest.local_missing_count} missing, {manifest.local_mismatch_count} different; "
            f"manifests {format_age(manifest.age_s)} old"
        )
    return Check(
        level=level,
        component=f"manifests {manifest.stream}",
        message=message + "".join(f"; {place} could not be read: {why}" for place, why in manifest.errors.items()),
        details=f"Stage: archive. See: aurora prune --plan {manifest.stream}; the check no_settled_gap of "
        f"{manifests_key(manifest.stream)}",
        metrics={"age_s": manifest.age_s, "gws_missing_count": manifest.gws_missing_count},
    )


def _check_platform(platform: Platform, health: Health) -> Iterator[Check]:
    if platform.error:
        yield Check(level=Level.GRAY, component="dagster", message=f"unknown: {platform.error}")
        return
    failed = [f"{run.job} {run.partition or ''}: {run.error}" for run in platform.failed_runs]
    yield _check_list("runs failed", failed, Level.RED)
    yield _check_list("runs stuck", [f"{run.job} {run.partition or ''}" for run in platform.stuck_runs], Level.AMBER)
    overdue = {tick.name for tick in platform.overdue_ticks}
    # The sentence of an overdue tick says how its last tick failed.
    failing = [f"{tick.name}: {tick.error}" for tick in platform.failing_ticks if tick.name not in overdue]
    yield _check_list("ticks failing", failing, Level.AMBER)
    oldest_s = platform.oldest_queued_s
    waits_too_long = oldest_s is not None and oldest_s > health.queued_after.total_seconds()
    yield Check(
        level=Level.AMBER if waits_too_long else Level.GREEN,
        component="queue",
        message=f"queued runs: {platform.queued_runs}"
        + (f", the oldest for {format_age(oldest_s)}" if oldest_s is not None else ""),
        details="Stage: queue. See: Runs > Queued in the UI",
        metrics={"queued_runs": platform.queued_runs, "oldest_queued_s": oldest_s},
    )
    for daemon in platform.daemons:
        yield _check_daemon(daemon)


def _check_overdue_ticks(platform: Platform) -> Iterator[Check]:
    if platform.overdue_ticks:
        yield Check(
            level=Level.RED,
            component="ticks overdue",
            message=describe_overdue_ticks(platform),
            details=OVERDUE_DETAILS,
            metrics={"count": len(platform.overdue_ticks)},
        )


def describe_overdue_ticks(platform: Platform) -> str:
    """Return the names of overdue ticks and the sentence of the first: the cause is often the same for all."""
    names, first = [tick.name for tick in platform.overdue_ticks], platform.overdue_ticks[0]
    more = [f"and {len(names) - _MAX_NAMED} more"] if len(names) > _MAX_NAMED else []
    return f"{len(names)}: {', '.join(names[:_MAX_NAMED] + more)}. {first.name}: {first.sentence}"


def _check_failed_checks(platform: Platform, bad_manifests: Collection[str]) -> Iterator[Check]:
    """Return a line per failed check, without those that the manifests line of their stream reports already."""
    if platform.error:
        return
    evaluated = [check for check in platform.failed_checks if check.is_evaluated]
    for check in evaluated:
        if not (check.name in REPORTED_BY_MANIFESTS and check.stream in bad_manifests):
            yield _check_failed_check(check)
    if others := [f"{check.asset}: {check.name}" for check in platform.failed_checks if not check.is_evaluated]:
        # The line "runs failed" says why their runs failed.
        yield _check_list("checks not evaluated", others, Level.AMBER)
    if (more := platform.failed_checks_count - len(platform.failed_checks)) > 0:
        yield _check_list("checks failed", [f"{more} more than the {len(platform.failed_checks)} listed"], Level.AMBER)


def _check_failed_check(check: FailedCheck) -> Check:
    return Check(
        level=check.level,
        component=f"check {check.asset}:{check.name}",
        message=failed_check_message(check),
        details=failed_check_details(check),
        metrics={"partition": check.partition, "run_id": check.run_id},
    )


def _check_daemon(daemon: Daemon) -> Check:
    last = f", last heartbeat {daemon.last_heartbeat_utc:%Y-%m-%d %H:%M:%S} UTC" if daemon.last_heartbeat_utc else ""
    return Check(
        level=Level.GREEN if daemon.healthy else Level.RED,
        component=f"daemon {daemon.name}",
        message=("running" if daemon.healthy else "NOT running") + last,
        details="Stage: platform. See: Deployment > Daemons in the UI",
    )


def _check_list(component: str, lines: list[str], level: Level) -> Check:
    return Check(
        level=level if lines else Level.GREEN,
        component=component,
        message=f"{len(lines)}: " + "; ".join(lines[:_MAX_NAMED]) if lines else "none",
        details="Stage: platform. See: Runs and Automation in the UI",
        metrics={"count": len(lines)},
    )


def _check_host(host: HostState, health: Health) -> Check:
    skew = "clock unknown" if host.clock_skew_s is None else f"clock {host.clock_skew_s:+.1f} s against this machine's"
    stage = "archive" if host.name.startswith("archive ") else "source"
    return Check(
        level=rate_host(host, health),
        component=f"host {host.name}",
        message=skew if host.reachable else f"does not answer: {host.error}",
        details=f"Stage: {stage}, or the network. See: aurora audit",
        metrics={"clock_skew_s": host.clock_skew_s},
    )


def _check_page(page: Page, endpoints: Endpoints) -> Check:
    expected_title = endpoints[page.name].title if page.name in endpoints else None
    return Check(
        level=rate_page(page, expected_title),
        component=f"page {page.name}",
        message=page.error or f"status {page.status}, title {page.title!r}",
        details=f"Stage: page. See: curl -sI {page.url}",
        metrics={"status": page.status, "seconds": page.seconds},
    )
