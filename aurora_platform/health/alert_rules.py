"""The alert rules: which parts of a snapshot are worth a mail. They use ``latest.json`` alone.

A condition is bad, well, or open. Open means unknown, or planned offline: it neither begins an alert nor ends one. So
the alert of a host that became unreachable stays as it is, without another mail, until the host can be observed again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

from aurora_platform.config.health import Alerts
from aurora_platform.health.assessment import OVERDUE_DETAILS, describe_overdue_ticks, is_planned_offline
from aurora_platform.health.models import Check, Filesystem, Freshness, Level, Manifest, Platform, Run, Snapshot
from aurora_platform.health.next_steps import (
    NEVER_MAILED,
    REPORTED_BY_MANIFESTS,
    REPORTED_BY_SOURCE,
    failed_check_details,
    failed_check_message,
)
from aurora_platform.text import format_age, printable

STOPPED_AFTER = timedelta(minutes=15)
"""The collector writes every five minutes; an older file does not show the present state."""
COLLECTOR = "collector"
# A disk is well again only this far below its limit, in %: a disk at the limit must not cause a mail per evaluation.
_DISK_HYSTERESIS = 1.0
_STOPPED = ": the site is not being observed"
_NO_HOLD = timedelta(0)
_OVERDUE_KEY = "ticks overdue"
_OVERDUE_HOLD = timedelta(minutes=10)  # a platform that was just started has to catch up first
_ARRIVALS_PREFIX = "arrivals_"


class Verdict(StrEnum):
    """State of a condition."""

    BAD = "bad"
    WELL = "well"
    OPEN = "open"


@dataclass(frozen=True)
class Condition:
    """A condition that may cause an alert. Its texts are safe to show."""

    key: str
    """Its name, the same at every evaluation: ``disk raw``, ``source cl61``."""
    verdict: Verdict
    sentence: str
    details: str = ""
    """The next step."""
    hold: timedelta = _NO_HOLD
    """How long it has to be bad before it is worth a mail."""
    is_age_based: bool = False
    """Whether it depends on an age alone, so that a jump of the clock makes it bad at once."""


@dataclass(frozen=True)
class SnapshotFile:
    """``latest.json`` as it was read: a snapshot, or the reason why it could not be read."""

    path: str
    snapshot: Snapshot | None = None
    error: str = ""


def read_snapshot(path: Path) -> SnapshotFile:
    """Read ``latest.json``. An unreadable file is a condition, not an error."""
    try:
        snapshot = Snapshot.model_validate_json(path.read_bytes())
        if snapshot.generated_at_utc.tzinfo is None:
            return SnapshotFile(str(path), error="not a snapshot: its time has no UTC offset")
        return SnapshotFile(str(path), snapshot)
    except OSError as error:
        return SnapshotFile(str(path), error=error.strerror or type(error).__name__)
    except ValueError as error:
        return SnapshotFile(str(path), error=f"not a snapshot: {str(error).splitlines()[0]}")


def collector_check(path: Path, now: datetime) -> Check:
    """Check the age of ``latest.json``. For ``aurora health``: a collector that has stopped reports nothing itself."""
    file = read_snapshot(path)
    written = file.snapshot.generated_at_utc if file.snapshot else None
    if written is None:
        is_missing = not path.exists()
        level, message = (
            (Level.GRAY, "was never written") if is_missing else (Level.RED, f"cannot be read: {file.error}")
        )
    else:
        old = now - written
        level = Level.RED if old >= STOPPED_AFTER else Level.GREEN
        message = f"is {format_age(max(0.0, old.total_seconds()))} old" + (_STOPPED if level is Level.RED else "")
    condition = _evaluate_collector(file, Verdict.OPEN, message, _NO_HOLD)
    return Check(level=level, component=COLLECTOR, message=condition.sentence, details=condition.details)


def evaluate_conditions(
    file: SnapshotFile, settings: Alerts, now: datetime, first_read_at: datetime, previous_keys: Iterable[str] = ()
) -> dict[str, Condition]:
    """Return every condition that may cause an alert, by key.

    Parameters
    ----------
    file, settings, now
        The snapshot, the limits, and the time.
    first_read_at
        When this very snapshot was read for the first time: a snapshot from the future is as old as that.
    previous_keys
        Keys that were bad at the last evaluation; they get a condition even if the snapshot no longer lists them.
    """
    snapshot = file.snapshot
    unlisted = {key: Condition(key, Verdict.OPEN, "unknown") for key in previous_keys}
    if snapshot is None:
        message = f"cannot be read: {file.error}"
        return unlisted | _worst_by_key([_evaluate_collector(file, Verdict.BAD, message, STOPPED_AFTER)])
    old = now - min(snapshot.generated_at_utc, first_read_at)
    message = f"is {format_age(max(0.0, old.total_seconds()))} old"
    if old >= STOPPED_AFTER:
        # An old file proves only that the collector has stopped; it shows nothing of the present state.
        return unlisted | _worst_by_key([_evaluate_collector(file, Verdict.BAD, message + _STOPPED, _NO_HOLD)])
    if not snapshot.platform.error:
        complete = tuple(_complete_list_prefixes(snapshot.platform))
        unlisted |= {
            key: Condition(key, Verdict.WELL, "is no longer listed as failing")
            for key in unlisted
            if key.startswith(complete)
        }
    offline = {
        source.stream for source in snapshot.freshness if source.component == "source" and is_planned_offline(source)
    }
    conditions = _worst_by_key(
        [
            _evaluate_collector(file, Verdict.WELL, message, _NO_HOLD),
            *(_evaluate_disk(disk, settings) for disk in snapshot.filesystems),
            *_evaluate_manifests(
                [manifest for manifest in snapshot.manifests if manifest.stream not in offline], settings
            ),
            *(_evaluate_source(source, settings) for source in snapshot.freshness if source.component == "source"),
            *_evaluate_archives(snapshot, settings),
            *_evaluate_platform(snapshot.platform, settings),
        ]
    )
    return (
        unlisted | conditions | _worst_by_key(list(_evaluate_checks(snapshot.platform, conditions, offline, settings)))
    )


def _complete_list_prefixes(platform: Platform) -> Iterator[str]:
    """Return the key prefixes of complete lists. These list bad things only: what they do not list is well again.

    A list that was cut does not prove that for anything it leaves out.
    """
    yield "tick "
    if not platform.more_failed_runs:
        yield "run "
    if platform.failed_checks_count <= len(platform.failed_checks):
        yield "check "
    # Ticks of a daemon that does not run are not expected: then an empty list of overdue ticks proves nothing.
    if all(daemon.healthy for daemon in platform.daemons):
        yield _OVERDUE_KEY


def evaluate_failed_run(run: Run) -> Condition:
    """Evaluate a failed run. It stays the same condition until a run of the same job and partition succeeds."""
    return _make_condition(
        f"run {run.job} {run.partition or ''}".rstrip(),
        Verdict.BAD,
        f"failed: {run.error or 'no reason given'}",
        f"Stage: platform. See: run {run.run_id} in the UI",
    )


def _make_condition(
    key: str, verdict: Verdict, sentence: str, details: str, hold: timedelta = _NO_HOLD, *, is_age_based: bool = False
) -> Condition:
    return Condition(printable(key), verdict, printable(sentence), printable(details), hold, is_age_based)


def _worst_by_key(conditions: Sequence[Condition]) -> dict[str, Condition]:
    """Return the worst condition per key."""
    order = (Verdict.WELL, Verdict.OPEN, Verdict.BAD)
    return {condition.key: condition for condition in sorted(conditions, key=lambda found: order.index(found.verdict))}


def _evaluate_collector(file: SnapshotFile, verdict: Verdict, message: str, hold: timedelta) -> Condition:
    return _make_condition(
        COLLECTOR,
        verdict,
        f"{Path(file.path).name} {message}",
        f"Stage: health. See: the ticks and runs of ops/health; {file.path}. Runbook: `collector`",
        hold,
        is_age_based=True,
    )


def _evaluate_disk(disk: Filesystem, settings: Alerts) -> Condition:
    percents = [percent for percent in (disk.used_percent, disk.inodes_used_percent) if percent is not None]
    highest = max(percents, default=0.0)
    if highest >= settings.disk_percent:
        verdict = Verdict.BAD
    elif disk.used_percent is None or highest >= settings.disk_percent - _DISK_HYSTERESIS:
        verdict = Verdict.OPEN
    else:
        verdict = Verdict.WELL
    inodes = f", {disk.inodes_used_percent:.0f} % of inodes" if disk.inodes_used_percent is not None else ""
    free = f", {disk.free_bytes / 1e9:.1f} GB free" if disk.free_bytes is not None else ""
    used = f"{disk.used_percent:.0f} % in use{free}" if disk.used_percent is not None else f"unknown: {disk.error}"
    return _make_condition(f"disk {disk.name}", verdict, used + inodes, f"Stage: disk. See: df -h {disk.path}")


def _evaluate_manifests(manifests: Sequence[Manifest], settings: Alerts) -> Iterator[Condition]:
    """Evaluate the age of the newest manifests of all streams: old ones mean that verification has stopped.

    If the verification of one stream alone stops, the archive of that stream becomes red in time.
    """
    ages = {manifest.stream: manifest.age_s for manifest in manifests if manifest.age_s is not None}
    if not ages:
        return
    newest = min(ages, key=lambda stream: ages[stream])
    yield _make_condition(
        "manifests",
        Verdict.BAD if ages[newest] > settings.manifests_after.total_seconds() else Verdict.WELL,
        f"the newest manifests ({newest}) are {format_age(ages[newest])} old",
        "Stage: archive. See: the ticks of the verification schedule; Runs > Queued in the UI",
        is_age_based=True,
    )


def _evaluate_source(source: Freshness, settings: Alerts) -> Condition:
    """Evaluate a source. It is bad if stale, or unknown since some time: either way no data arrives."""
    if source.level is Level.RED or (source.level is Level.GRAY and source.since_utc is not None):
        verdict = Verdict.BAD
    else:
        verdict = Verdict.OPEN if source.level is Level.GRAY else Verdict.WELL
    details = "Stage: source, the instrument or its host. See: aurora status"
    return _make_condition(f"source {source.stream}", verdict, source.sentence, details, settings.source_after)


def _evaluate_archives(snapshot: Snapshot, settings: Alerts) -> Iterator[Condition]:
    manifests = {manifest.stream: manifest for manifest in snapshot.manifests}
    freshness = {entry.stream: entry for entry in snapshot.freshness if entry.component == "archive"}
    for stream in {**manifests, **freshness}:
        yield _evaluate_archive(stream, manifests.get(stream), freshness.get(stream), settings)


def _evaluate_archive(
    stream: str, manifest: Manifest | None, freshness: Freshness | None, settings: Alerts
) -> Condition:
    """Evaluate the archive of a stream.

    It is bad if files are missing or different, or if its newest data is stale. It is well only if the manifests and
    the freshness are both available.
    """
    wrong_files = manifest.gws_missing_count + manifest.gws_mismatch_count if manifest is not None else 0
    level = freshness.level if freshness is not None else Level.GRAY
    parts = [f"{manifest.gws_missing_count} files missing, {manifest.gws_mismatch_count} different"] if manifest else []
    parts += [freshness.sentence] if freshness is not None else []
    if wrong_files or level is Level.RED:
        verdict = Verdict.BAD
    else:
        verdict = Verdict.OPEN if manifest is None or level is Level.GRAY else Verdict.WELL
    details = f"Stage: archive. See: aurora ledger; aurora prune --plan {stream}; the runs of push_{stream}"
    return _make_condition(f"archive {stream}", verdict, "; ".join(parts), details, settings.archive_after)


def _evaluate_checks(
    platform: Platform, conditions: Mapping[str, Condition], offline: Collection[str], settings: Alerts
) -> Iterator[Condition]:
    """Evaluate the asset checks that failed. For a check that could not be evaluated, the failed run is mailed."""
    if platform.error:
        return
    for check in platform.failed_checks:
        if not check.is_evaluated or check.name in NEVER_MAILED:
            continue
        reported_by = None
        if check.name in REPORTED_BY_MANIFESTS:
            reported_by = f"archive {check.stream}"
        elif check.name in REPORTED_BY_SOURCE:
            reported_by = f"source {check.stream}"
        reporting = conditions.get(reported_by) if reported_by else None
        is_reported = reporting is not None and reporting.verdict is Verdict.BAD
        verdict = Verdict.OPEN if is_reported or check.stream in offline else Verdict.BAD
        key = f"check {check.asset}:{check.name}"
        sentence, details = failed_check_message(check), failed_check_details(check)
        yield _make_condition(key, verdict, sentence, details, settings.checks_after)


def _evaluate_platform(platform: Platform, settings: Alerts) -> Iterator[Condition]:
    if platform.error:
        return
    yield from (evaluate_failed_run(run) for run in platform.failed_runs)
    for tick in platform.failing_ticks:
        details = "Stage: platform. See: Automation in the UI"
        # While a host is down, the arrival sensor fails as well: it is held for as long as the source.
        hold = settings.source_after if tick.name.startswith(_ARRIVALS_PREFIX) else _NO_HOLD
        yield _make_condition(f"tick {tick.name}", Verdict.BAD, f"failed: {tick.error}", details, hold)
    if platform.overdue_ticks:
        # All overdue ticks are one condition: nearly always they have one cause.
        sentence = describe_overdue_ticks(platform)
        yield _make_condition(_OVERDUE_KEY, Verdict.BAD, sentence, OVERDUE_DETAILS, _OVERDUE_HOLD)
    for daemon in platform.daemons:
        last = f"{daemon.last_heartbeat_utc:%Y-%m-%d %H:%M:%S} UTC" if daemon.last_heartbeat_utc else "never"
        yield _make_condition(
            f"daemon {daemon.name}",
            Verdict.WELL if daemon.healthy else Verdict.BAD,
            f"{'running' if daemon.healthy else 'NOT running'}, last heartbeat {last}",
            "Stage: platform. See: Deployment > Daemons in the UI",
        )
