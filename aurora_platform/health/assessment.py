"""The levels: when something is green, amber, red or gray. One table, and nothing else decides.

Gray is what is not known, or is planned to be off: it is neither good nor bad, and does not make the whole bad.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta

from aurora_platform.config.health import Endpoints, Health
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
from aurora_platform.health.next_steps import TOLD_BY_MANIFESTS, details_of, said_of
from aurora_platform.layout import manifests_key

_WARN_AT = 2 / 3  # of stale_after
NOT_LOADED_DETAILS = (
    "Stage: platform. See: `dagster definitions validate` shows the whole error; correct the site file or the code, "
    "then restart `make ui`. Runbook: `code location`"
)
OVERDUE_DETAILS = "Stage: platform. See: restart `make ui`; Deployment > Code locations. Runbook: `ticks overdue`"
_NAMED = 5  # of a list; the others are in the snapshot
_WORST = (Level.RED, Level.AMBER, Level.GREEN, Level.GRAY)


def level_of_age(age_s: float | None, stale_after_s: float) -> Level:
    """Fresh, ageing (from two thirds on), or stale; nothing at all is stale."""
    if age_s is None or age_s > stale_after_s:
        return Level.RED
    return Level.AMBER if age_s > _WARN_AT * stale_after_s else Level.GREEN


def level_of_use(percent: float | None, health: Health) -> Level:
    """How full a file system is, in space or inodes."""
    if percent is None:
        return Level.GRAY
    if percent >= health.disk_red:
        return Level.RED
    return Level.AMBER if percent >= health.disk_amber else Level.GREEN


def level_of_manifest(manifest: Manifest, health: Health, *, is_offline: bool = False) -> Level:
    """Files that should be there by now are red, manifests that grow old amber and then red.

    Those of a stream that is planned offline may be old: it is verified once a day.
    """
    gaps = (
        manifest.local_missing_count
        + manifest.local_mismatch_count
        + manifest.gws_missing_count
        + manifest.gws_mismatch_count
    )
    if gaps:
        return Level.RED
    if manifest.age_s is None or is_offline:
        return Level.GRAY
    if manifest.age_s > health.manifests_red.total_seconds():
        return Level.RED
    if manifest.age_s > health.manifests_amber.total_seconds() or manifest.errors:
        return Level.AMBER
    return Level.GREEN


def level_of_host(host: HostState, health: Health) -> Level:
    """One that does not answer, or whose clock is off."""
    if not host.reachable:
        return Level.AMBER
    if host.clock_skew_s is None:
        return Level.GRAY
    return Level.AMBER if abs(host.clock_skew_s) > health.clock_amber.total_seconds() else Level.GREEN


def level_of_page(page: Page, wanted: str | None) -> Level:
    """A page that is not there, or is another one."""
    if page.status is None or page.status >= 400:
        return Level.RED
    return Level.AMBER if wanted is not None and wanted not in (page.title or "") else Level.GREEN


def assess(snapshot: Snapshot, health: Health, endpoints: Endpoints, more: Sequence[Check] = ()) -> Assessment:
    """What a snapshot means; ``more`` is what else was looked at."""
    offline = {one.stream for one in snapshot.freshness if one.component == "source" and is_planned_offline(one)}
    manifests = {one.stream: _manifest(one, health, is_offline=one.stream in offline) for one in snapshot.manifests}
    checks = [
        *more,
        # Nothing else can be as it should be while nothing ticks.
        *_overdue(snapshot.platform),
        *(_filesystem(one, health) for one in snapshot.filesystems),
        *(_freshness(one) for one in snapshot.freshness),
        *manifests.values(),
        *_platform(snapshot.platform, snapshot.generated_at_utc, health),
        *_failed_checks(snapshot.platform, {name for name, check in manifests.items() if _is_bad(check)}),
        *(_host(one, health) for one in snapshot.hosts),
        *(_page(one, endpoints) for one in snapshot.pages),
    ]
    counts = {level: sum(check.level is level for check in checks) for level in Level}
    counted = [check.level for check in checks if check.affects_overall and check.level is not Level.GRAY]
    overall = min(counted, key=_WORST.index, default=Level.GRAY)
    return Assessment(
        generated_at_utc=snapshot.generated_at_utc,
        overall_level=overall,
        summary=Summary(checks=len(checks), **{level.value: count for level, count in counts.items()}),
        observations=[
            *(f"{stream}: broke at {stage}" for stream, stage in broken_stages(snapshot.freshness).items()),
            *(f"{check.component}: {check.message}" for check in sorted_by_level(checks) if _is_bad(check)),
        ],
        checks=checks,
    )


def broken_stages(freshness: list[Freshness]) -> dict[str, str]:
    """The first stage that is stale, of each stream: what comes after it only follows.

    A source that cannot be seen is where a stale stream broke: nothing comes from there.
    """
    stale = {one.stream for one in freshness if one.component == "here" and one.level is Level.RED}
    sources = [one for one in freshness if one.component == "source"]
    unseen = {one.stream for one in sources if one.level is Level.GRAY and one.since_utc}
    found = dict.fromkeys(sorted(stale & unseen), "source")
    for component, stage in (("source", "source"), ("here", "sync"), ("product", "product"), ("archive", "archive")):
        for one in freshness:
            if one.component == component and one.level is Level.RED:
                found.setdefault(one.stream, stage)
    return found


def is_planned_offline(one: Freshness) -> bool:
    """Whether somebody has said that it is to be off; what is unknown says that it is."""
    return one.level is Level.GRAY and one.since_utc is None and one.sentence.startswith("planned ")


def sorted_by_level(checks: list[Check]) -> list[Check]:
    """The worst first, what is not known last."""
    return sorted(checks, key=lambda check: _WORST.index(check.level))


def _is_bad(check: Check) -> bool:
    return check.level in (Level.RED, Level.AMBER)


def _filesystem(one: Filesystem, health: Health) -> Check:
    levels = [level_of_use(percent, health) for percent in (one.used_percent, one.inodes_used_percent)]
    known = [level for level in levels if level is not Level.GRAY]
    if one.used_percent is None:
        return Check(
            level=Level.GRAY, component=f"disk {one.name}", message=f"not seen: {one.error}", details=_see(one)
        )
    free = f", {one.free_bytes / 1e9:.1f} GB free" if one.free_bytes is not None else ""
    inodes = f", {one.inodes_used_percent:.0f} % of inodes" if one.inodes_used_percent is not None else ""
    return Check(
        level=min(known, key=_WORST.index),
        component=f"disk {one.name}",
        message=f"{one.used_percent:.0f} % in use{free}{inodes}",
        details=_see(one),
        metrics={"used_percent": one.used_percent, "free_bytes": one.free_bytes},
    )


def _see(one: Filesystem) -> str:
    return f"Stage: disk. See: df -h {one.path}"


_STAGES = {
    "source": "Stage: source, the instrument or its host. See: aurora status",
    "here": "Stage: sync, from the host to here. See: aurora status; the ticks of arrivals_{stream}",
    "archive": "Stage: archive. See: aurora ledger; the runs of push_{stream}",
    "product": "Stage: product. See: the newest run of {stream}_day",
}


def _freshness(one: Freshness) -> Check:
    return Check(
        level=one.level,
        component=f"freshness {one.name}",
        message=one.sentence,
        details=_STAGES[one.component].format(stream=one.stream),
        metrics={"age_s": one.age_s, "stale_after_s": one.stale_after_s},
    )


def _manifest(one: Manifest, health: Health, *, is_offline: bool) -> Check:
    level = level_of_manifest(one, health, is_offline=is_offline)
    if one.age_s is None:
        message = "no manifests yet"
    else:
        message = (
            f"{one.gws_count} of {one.local_count} files in the archive; missing {one.gws_missing_count} there and "
            f"{one.local_missing_count} here, different {one.gws_mismatch_count} and {one.local_mismatch_count}; "
            f"{age(one.age_s)} old"
        )
    return Check(
        level=level,
        component=f"manifests {one.stream}",
        message=message + "".join(f"; {place} not seen: {why}" for place, why in one.errors.items()),
        details=f"Stage: archive. See: aurora prune --plan {one.stream}; the check no_settled_gap of "
        f"{manifests_key(one.stream)}",
        metrics={"age_s": one.age_s, "gws_missing_count": one.gws_missing_count},
    )


def _platform(one: Platform, now: datetime, health: Health) -> Iterator[Check]:
    if one.error:
        yield Check(level=Level.GRAY, component="dagster", message=f"not seen: {one.error}")
        return
    yield _listed("runs failed", [f"{r.job} {r.partition or ''}: {r.error}" for r in one.failed_runs], Level.RED)
    yield _listed("runs stuck", [f"{r.job} {r.partition or ''}" for r in one.stuck_runs], Level.AMBER)
    overdue = {tick.name for tick in one.overdue_ticks}
    # What is overdue says there how its last tick failed.
    failing = [f"{tick.name}: {tick.error}" for tick in one.failing_ticks if tick.name not in overdue]
    yield _listed("ticks failing", failing, Level.AMBER)
    waits = one.oldest_queued_s is not None and one.oldest_queued_s > health.queued_after.total_seconds()
    yield Check(
        level=Level.AMBER if waits else Level.GREEN,
        component="queue",
        message=f"{one.queued_runs} runs wait"
        + (f", the oldest for {age(one.oldest_queued_s)}" if one.oldest_queued_s is not None else ""),
        details="Stage: queue. See: Runs > Queued in the UI",
        metrics={"queued_runs": one.queued_runs, "oldest_queued_s": one.oldest_queued_s},
    )
    for daemon in one.daemons:
        yield _daemon(daemon)


def _overdue(one: Platform) -> Iterator[Check]:
    if one.overdue_ticks:
        yield Check(
            level=Level.RED,
            component="ticks overdue",
            message=overdue_ticks_of(one),
            details=OVERDUE_DETAILS,
            metrics={"count": len(one.overdue_ticks)},
        )


def overdue_ticks_of(one: Platform) -> str:
    """The names of ticks that are overdue, and what is known of one: it is often the same for all."""
    names, first = [tick.name for tick in one.overdue_ticks], one.overdue_ticks[0]
    more = [f"and {len(names) - _NAMED} more"] if len(names) > _NAMED else []
    return f"{len(names)}: {', '.join(names[:_NAMED] + more)}. {first.name}: {first.sentence}"


def _failed_checks(one: Platform, bad_manifests: Collection[str]) -> Iterator[Check]:
    """A line for each that failed; those whose fact the line of their stream's manifests tells have none."""
    if one.error:
        return
    evaluated = [check for check in one.failed_checks if check.is_evaluated]
    for check in evaluated:
        if not (check.name in TOLD_BY_MANIFESTS and check.stream in bad_manifests):
            yield _failed_check(check)
    if others := [f"{check.asset}: {check.name}" for check in one.failed_checks if not check.is_evaluated]:
        # Why their runs failed stands there.
        yield _listed("checks not evaluated", others, Level.AMBER)
    if (more := one.failed_checks_count - len(one.failed_checks)) > 0:
        yield _listed("checks failed", [f"{more} more than the {len(one.failed_checks)} named here"], Level.AMBER)


def _failed_check(one: FailedCheck) -> Check:
    return Check(
        level=one.level,
        component=f"check {one.asset}:{one.name}",
        message=said_of(one),
        details=details_of(one),
        metrics={"partition": one.partition, "run_id": one.run_id},
    )


def _daemon(one: Daemon) -> Check:
    last = f", last seen {one.last_heartbeat_utc:%Y-%m-%d %H:%M:%S} UTC" if one.last_heartbeat_utc else ""
    return Check(
        level=Level.GREEN if one.healthy else Level.RED,
        component=f"daemon {one.name}",
        message=("runs" if one.healthy else "does NOT run") + last,
        details="Stage: platform. See: Deployment > Daemons in the UI",
    )


def _listed(component: str, lines: list[str], level: Level) -> Check:
    return Check(
        level=level if lines else Level.GREEN,
        component=component,
        message=f"{len(lines)}: " + "; ".join(lines[:_NAMED]) if lines else "none",
        details="Stage: platform. See: Runs and Automation in the UI",
        metrics={"count": len(lines)},
    )


def _host(one: HostState, health: Health) -> Check:
    skew = f"clock {one.clock_skew_s:+.1f} s against ours" if one.clock_skew_s is not None else "clock not known"
    return Check(
        level=level_of_host(one, health),
        component=f"host {one.name}",
        message=skew if one.reachable else f"does not answer: {one.error}",
        details="Stage: source, or the network. See: aurora audit",
        metrics={"clock_skew_s": one.clock_skew_s},
    )


def _page(one: Page, endpoints: Endpoints) -> Check:
    wanted = endpoints[one.name].title if one.name in endpoints else None
    said = one.error or f"status {one.status}, title {one.title!r}"
    return Check(
        level=level_of_page(one, wanted),
        component=f"page {one.name}",
        message=said,
        details=f"Stage: page. See: curl -sI {one.url}",
        metrics={"status": one.status, "seconds": one.seconds},
    )


def age(seconds: float | None) -> str:
    """An age as people say it."""
    if seconds is None:
        return "never"
    whole = timedelta(seconds=round(seconds))
    if whole < timedelta(minutes=2):
        return f"{whole.seconds} s"
    if whole < timedelta(hours=2):
        return f"{whole.seconds // 60} min"
    hours = whole.total_seconds() / 3600
    return f"{hours:.1f} h" if hours < 48 else f"{hours / 24:.1f} days"
