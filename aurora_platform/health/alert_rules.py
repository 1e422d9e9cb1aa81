"""The rules of the alerts: what in a snapshot is a reason for a mail. From ``latest.json`` alone.

A condition is bad, well, or open. Open is what was not seen, or is planned to be off: it neither begins an alert nor
ends one. So an alert whose host has gone quiet stays as it is, without another mail, until somebody sees it again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

from aurora_platform.config.health import Alerts
from aurora_platform.health.assessment import OVERDUE_DETAILS, age, is_planned_offline, overdue_ticks_of
from aurora_platform.health.models import Check, Filesystem, Freshness, Level, Manifest, Platform, Run, Snapshot
from aurora_platform.health.next_steps import (
    TOLD_BY_MAIL,
    TOLD_BY_MANIFESTS,
    TOLD_BY_SOURCE,
    details_of,
    said_of,
)
from aurora_platform.text import printable

STOPPED_AFTER = timedelta(minutes=15)
"""The collector writes every five minutes; a file older than this shows nothing of now."""
COLLECTOR = "collector"
_CALM = (
    1.0  # percent below the bound from which on a disk is well again, so that one at the bound sends no mail an hour
)
_NOTHING = timedelta(0)
_OVERDUE = "ticks overdue"
_OVERDUE_FOR = timedelta(minutes=10)  # a platform that was just started has to catch up first
_ARRIVALS = "arrivals_"


class Verdict(StrEnum):
    """How a condition stands."""

    BAD = "bad"
    WELL = "well"
    OPEN = "open"


@dataclass(frozen=True)
class Condition:
    """One thing that an alert may be about. Its texts are safe to show."""

    key: str
    """What it is about, the same at every evaluation: ``disk raw``, ``source cl61``."""
    verdict: Verdict
    sentence: str
    details: str = ""
    """What to look at next."""
    hold: timedelta = _NOTHING
    """It has to be bad for so long before it is worth a mail."""
    by_age: bool = False
    """Judged by the age of something alone, so that a jump of the clock makes it bad at once."""


@dataclass(frozen=True)
class Reading:
    """``latest.json`` as it was read: a snapshot, or why there is none."""

    place: str
    snapshot: Snapshot | None = None
    why: str = ""


def read_snapshot(place: Path) -> Reading:
    """Read ``latest.json``; that it cannot be read is a condition, not an error."""
    try:
        snapshot = Snapshot.model_validate_json(place.read_bytes())
        if snapshot.generated_at_utc.tzinfo is None:
            return Reading(str(place), why="not a snapshot: its time says nothing of UTC")
        return Reading(str(place), snapshot)
    except OSError as error:
        return Reading(str(place), why=error.strerror or type(error).__name__)
    except ValueError as error:
        return Reading(str(place), why=f"not a snapshot: {str(error).splitlines()[0]}")


def collector_check(place: Path, now: datetime) -> Check:
    """How old ``latest.json`` is, for who looks without the collector: nobody is mailed by what nobody writes."""
    reading = read_snapshot(place)
    written = reading.snapshot.generated_at_utc if reading.snapshot else None
    if written is None:
        is_missing = not place.exists()
        level, said = (Level.GRAY, "was never written") if is_missing else (Level.RED, f"cannot be read: {reading.why}")
    else:
        old = now - written
        level = Level.RED if old >= STOPPED_AFTER else Level.GREEN
        said = f"{age(max(0.0, old.total_seconds()))} old" + (
            ": nothing looks at the site" if level is Level.RED else ""
        )
    one = _collector(reading, Verdict.OPEN, said, _NOTHING)
    return Check(level=level, component=COLLECTOR, message=one.sentence, details=one.details)


def conditions_of(
    reading: Reading, alerts: Alerts, now: datetime, seen_at: datetime, known: Iterable[str] = ()
) -> dict[str, Condition]:
    """Everything that an alert may be about, by key.

    Parameters
    ----------
    reading, alerts, now
        What was seen, from when on it is bad, and the time.
    seen_at
        When this very snapshot was first seen: where it says that it comes from the future, it is as old as that.
    known
        Keys of what was bad the last time; what is not seen any more is said of these too.
    """
    snapshot = reading.snapshot
    unseen = {key: Condition(key, Verdict.OPEN, "not seen") for key in known}
    if snapshot is None:
        return unseen | _by_key([_collector(reading, Verdict.BAD, f"cannot be read: {reading.why}", STOPPED_AFTER)])
    old = now - min(snapshot.generated_at_utc, seen_at)
    said = f"{age(max(0.0, old.total_seconds()))} old"
    if old >= STOPPED_AFTER:
        # What an old file says is no evidence of now: only that the collector has stopped.
        return unseen | _by_key([_collector(reading, Verdict.BAD, f"{said}: nothing looks at the site", _NOTHING)])
    if not snapshot.platform.error:
        gone = "is not among those that fail any more"
        listed = tuple(_whole_lists(snapshot.platform))
        unseen |= {key: Condition(key, Verdict.WELL, gone) for key in unseen if key.startswith(listed)}
    offline = {one.stream for one in snapshot.freshness if one.component == "source" and is_planned_offline(one)}
    found = [
        _collector(reading, Verdict.WELL, said, _NOTHING),
        *(_disk(one, alerts) for one in snapshot.filesystems),
        *_manifests([one for one in snapshot.manifests if one.stream not in offline], alerts),
        *(_source(one, alerts) for one in snapshot.freshness if one.component == "source"),
        *_archives(snapshot, alerts),
        *_platform(snapshot.platform, alerts),
    ]
    known_by = _by_key(found)
    return unseen | known_by | _by_key(list(_checks(snapshot.platform, known_by, offline, alerts)))


def _whole_lists(platform: Platform) -> Iterator[str]:
    """What is listed only while it is bad; from the list it goes when it is over.

    Of a list that was cut nobody knows what is missing in it.
    """
    yield "tick "
    if not platform.more_failed_runs:
        yield "run "
    if platform.failed_checks_count <= len(platform.failed_checks):
        yield "check "
    # Of a daemon that does not run no tick is expected: that none is overdue says nothing then.
    if all(daemon.healthy for daemon in platform.daemons):
        yield _OVERDUE


def of_failed_run(run: Run) -> Condition:
    """A run that has failed; until something succeeds for the same job and partition it is the same condition."""
    return _condition(
        f"run {run.job} {run.partition or ''}".rstrip(),
        Verdict.BAD,
        f"failed: {run.error or 'no reason given'}",
        f"Stage: platform. See: run {run.run_id} in the UI",
    )


def _condition(
    key: str, verdict: Verdict, sentence: str, details: str, hold: timedelta = _NOTHING, *, by_age: bool = False
) -> Condition:
    return Condition(printable(key), verdict, printable(sentence), printable(details), hold, by_age)


def _by_key(found: Sequence[Condition]) -> dict[str, Condition]:
    """Of two with one key the worse one."""
    order = (Verdict.WELL, Verdict.OPEN, Verdict.BAD)
    return {one.key: one for one in sorted(found, key=lambda one: order.index(one.verdict))}


def _collector(reading: Reading, verdict: Verdict, said: str, hold: timedelta) -> Condition:
    return _condition(
        COLLECTOR,
        verdict,
        f"{Path(reading.place).name} {said}",
        f"Stage: health. See: the ticks and runs of ops/health; {reading.place}. Runbook: `collector`",
        hold,
        by_age=True,
    )


def _disk(one: Filesystem, alerts: Alerts) -> Condition:
    known = [percent for percent in (one.used_percent, one.inodes_used_percent) if percent is not None]
    most = max(known, default=0.0)
    if most >= alerts.disk_percent:
        verdict = Verdict.BAD
    elif one.used_percent is None or most >= alerts.disk_percent - _CALM:
        verdict = Verdict.OPEN
    else:
        verdict = Verdict.WELL
    inodes = f", {one.inodes_used_percent:.0f} % of inodes" if one.inodes_used_percent is not None else ""
    free = f", {one.free_bytes / 1e9:.1f} GB free" if one.free_bytes is not None else ""
    used = f"{one.used_percent:.0f} % in use{free}" if one.used_percent is not None else f"not seen: {one.error}"
    return _condition(f"disk {one.name}", verdict, used + inodes, f"Stage: disk. See: df -h {one.path}")


def _manifests(manifests: Sequence[Manifest], alerts: Alerts) -> Iterator[Condition]:
    """By the newest of all streams: that verification has stopped. That of one stream makes its archive red in time."""
    ages = {one.stream: one.age_s for one in manifests if one.age_s is not None}
    if not ages:
        return
    newest = min(ages, key=lambda stream: ages[stream])
    yield _condition(
        "manifests",
        Verdict.BAD if ages[newest] > alerts.manifests_after.total_seconds() else Verdict.WELL,
        f"the newest ({newest}) are {age(ages[newest])} old",
        "Stage: archive. See: the ticks of the schedule of verifications; Runs > Queued in the UI",
        by_age=True,
    )


def _source(one: Freshness, alerts: Alerts) -> Condition:
    """Stale, or not seen since some time: either way nobody gets its data."""
    if one.level is Level.RED or (one.level is Level.GRAY and one.since_utc is not None):
        verdict = Verdict.BAD
    else:
        verdict = Verdict.OPEN if one.level is Level.GRAY else Verdict.WELL
    details = "Stage: source, the instrument or its host. See: aurora status"
    return _condition(f"source {one.stream}", verdict, one.sentence, details, alerts.source_after)


def _archives(snapshot: Snapshot, alerts: Alerts) -> Iterator[Condition]:
    manifests = {one.stream: one for one in snapshot.manifests}
    freshness = {one.stream: one for one in snapshot.freshness if one.component == "archive"}
    for stream in {**manifests, **freshness}:
        yield _archive(stream, manifests.get(stream), freshness.get(stream), alerts)


def _archive(stream: str, manifest: Manifest | None, fresh: Freshness | None, alerts: Alerts) -> Condition:
    """Red by files that should be there, or by the age of the newest data there; well when neither, and both seen."""
    gaps = manifest.gws_missing_count + manifest.gws_mismatch_count if manifest is not None else 0
    level = fresh.level if fresh is not None else Level.GRAY
    said = [f"{manifest.gws_missing_count} files missing, {manifest.gws_mismatch_count} different"] if manifest else []
    said += [fresh.sentence] if fresh is not None else []
    if gaps or level is Level.RED:
        verdict = Verdict.BAD
    else:
        verdict = Verdict.OPEN if manifest is None or level is Level.GRAY else Verdict.WELL
    details = f"Stage: archive. See: aurora ledger; aurora prune --plan {stream}; the runs of push_{stream}"
    return _condition(f"archive {stream}", verdict, "; ".join(said), details, alerts.archive_after)


def _checks(
    platform: Platform, known: Mapping[str, Condition], offline: Collection[str], alerts: Alerts
) -> Iterator[Condition]:
    """Asset checks that failed. Of those that could not be evaluated the run is mailed."""
    if platform.error:
        return
    for one in platform.failed_checks:
        if not one.is_evaluated or one.name in TOLD_BY_MAIL:
            continue
        told = []
        if one.name in TOLD_BY_MANIFESTS:
            told = [f"archive {one.stream}"]
        elif one.name in TOLD_BY_SOURCE:
            told = [f"source {one.stream}"]
        is_told = any(key in known and known[key].verdict is Verdict.BAD for key in told)
        verdict = Verdict.OPEN if is_told or one.stream in offline else Verdict.BAD
        key = f"check {one.asset}:{one.name}"
        yield _condition(key, verdict, said_of(one), details_of(one), alerts.checks_after)


def _platform(one: Platform, alerts: Alerts) -> Iterator[Condition]:
    if one.error:
        return
    yield from (of_failed_run(run) for run in one.failed_runs)
    for tick in one.failing_ticks:
        details = "Stage: platform. See: Automation in the UI"
        # A look at a source fails while its host is away: as long as that may be, for a source.
        hold = alerts.source_after if tick.name.startswith(_ARRIVALS) else _NOTHING
        yield _condition(f"tick {tick.name}", Verdict.BAD, f"failed: {tick.error}", details, hold)
    if one.overdue_ticks:
        # All of them as one: it is nearly always one cause.
        said = overdue_ticks_of(one)
        yield _condition(_OVERDUE, Verdict.BAD, said, OVERDUE_DETAILS, _OVERDUE_FOR)
    for daemon in one.daemons:
        seen = f"{daemon.last_heartbeat_utc:%Y-%m-%d %H:%M:%S} UTC" if daemon.last_heartbeat_utc else "never"
        yield _condition(
            f"daemon {daemon.name}",
            Verdict.WELL if daemon.healthy else Verdict.BAD,
            f"{'runs' if daemon.healthy else 'does NOT run'}, last seen {seen}",
            "Stage: platform. See: Deployment > Daemons in the UI",
        )
