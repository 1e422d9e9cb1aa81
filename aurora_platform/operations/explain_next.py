"""What happens next to a file or a day, from the settings of the site: in words, with times (UTC)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta

from aurora_platform.config.archive import Archive
from aurora_platform.config.cron import next_tick
from aurora_platform.config.site import Site
from aurora_platform.config.types import format_duration
from aurora_platform.fs.versions import as_ns
from aurora_platform.layout import WXCAM_PRODUCTS
from aurora_platform.operations.explain_answer import Context, time_of, time_of_ns, written
from aurora_platform.operations.explain_facts import FileFacts

_DAY = timedelta(days=1)
CORE_PUSH, WXCAM_PUSH = "push_core_products", f"push_{WXCAM_PRODUCTS}"
"""The schedules that copy products to the archive."""

PLANNED_OFFLINE = "planned offline (enabled: false in the site file)"


def tick(context: Context, schedule: str, cron: str) -> str:
    """``schedule push_cl61 (next tick 2026-03-05 12:05:00 UTC)``."""
    at = next_tick(cron, context.now)
    return f"schedule {schedule} (next tick {written(at)})" if at else f"schedule {schedule} (which never ticks)"


def automations_note(site: Site) -> str:
    """A reminder where sensors and schedules do not run from the start."""
    if site.live.running:
        return ""
    return "live.running is false: sensors and schedules tick only where somebody has turned them on (Automation)"


def end_of_day(day: date) -> datetime:
    """The midnight at which a UTC day ends."""
    return datetime.combine(day, time(), UTC) + _DAY


def is_live(context: Context, name: str, day: date) -> bool:
    """Whether a day is in the live window of its stream."""
    return day >= context.site.streams[name].live_from(context.now)


def not_copied(name: str, what: str) -> str:
    """That nothing copies the files of a stream whose ``enabled`` is false."""
    return f"nothing copies {what}: {name} is {PLANNED_OFFLINE}"


def mirrored_by(context: Context, name: str, day: date, *, is_missing: bool) -> str:
    """What copies a day from its host, as ``sensors/arrivals.py`` and ``schedules/reconcile.py`` do it.

    ``is_missing``: whether a settled file of its host is not local; without one, no run starts.
    """
    live, age = context.site.live, context.site.retention.raw.get(name)
    if not context.site.streams[name].enabled:
        return f"nothing lists its host: {name} is {PLANNED_OFFLINE}"
    most = ""
    if is_live(context, name, day):
        who = f"sensor arrivals_{name} (every {format_duration(live.every)})"
    elif age is not None and day < (context.now - age).date():
        return f"schedule reconcile_{name} leaves out days older than retention.raw.{name} ({format_duration(age)})"
    else:
        who, most = tick(context, f"reconcile_{name}", live.reconcile), f" ({live.reconcile_days} days, newest first)"
    if is_missing:
        return f"{who} starts {name}_day{most}, which copies what is missing"
    return f"{who} lists its host again; starts {name}_day if files are missing"


def pushed_by(context: Context, name: str, day: date, archive: Archive, *, is_queued: bool) -> str:
    """What copies local files to the archive, as ``schedules/archive.py`` does it.

    ``is_queued``: whether the ledger has a file that waits; the schedule searches the disk in the live window alone.
    """
    schedule = tick(context, f"push_{name}", archive.push_raw)
    if is_queued or is_live(context, name, day):
        return f"{schedule} copies it to the archive"
    return (
        f"{schedule} copies it to the archive when verify_{name} has queued it; sensor late_days, when its day changes"
    )


def verified_by(context: Context, name: str, day: date, archive: Archive, listed_at: float | None) -> str:
    """When a day is verified again, as ``schedules/archive.py`` does it."""
    how = tick(context, f"verify_{name}", archive.verify)
    live = is_live(context, name, day)
    if live and not context.site.streams[name].enabled:
        return f"verified by schedule verify_{name} when it has left the live window: {name} is {PLANNED_OFFLINE}"
    if listed_at is None:
        return f"verified by {how}"
    bound = archive.verify_at_least if live else archive.evidence_valid / 2
    again = time_of(listed_at + bound.total_seconds())
    assert again is not None
    if again <= context.now:
        return f"verified again by {how}"
    return f"verified again from {written(again)} on, by schedule verify_{name}"


def finalized_at(context: Context, name: str, day: date, archive: Archive) -> str:
    """When a day that is not finalized can be."""
    over = end_of_day(day) + archive.pending
    if over > context.now:
        return f"the day is over for the archive at {written(over)} (archive.pending); verify_{name} then finalizes it"
    return f"verify_{name} finalizes the day as soon as every file of it is verified"


def retired_from(site: Site, name: str, day: date, mtime_ns: int | None) -> datetime | None:
    """When the local copy may be deleted; None where the site keeps it."""
    age = site.retention.raw.get(name)
    if age is None:
        return None
    latest = max(end_of_day(day), (time_of_ns(mtime_ns) if mtime_ns is not None else None) or end_of_day(day))
    return latest + age


def steps_of_local_copy(context: Context, facts: FileFacts) -> Iterator[str]:
    """What happens to the local copy when it is old."""
    assert facts.day is not None
    if facts.local is None or context.site.archive is None:
        return
    at = retired_from(context.site, facts.name, facts.day, facts.local.version.mtime_ns)
    if at is None:
        yield f"the local copy stays: the site file has no retention.raw.{facts.name}"
    elif at > context.now:
        yield f"the local copy may be retired from {written(at)} on (aurora retire {facts.name})"
    elif facts.finalization is None or not facts.finalization.complete:
        yield f"the local copy is old enough to be retired since {written(at)}, but its day is not finalized"
    else:
        yield f"the local copy may be retired since {written(at)}: aurora retire {facts.name}"


def steps_of_source_copy(context: Context, facts: FileFacts, is_at_source: bool) -> Iterator[str]:
    """What happens to the file on its host when it is old."""
    archive = context.site.archive
    assert facts.day is not None
    if archive is None or not is_at_source or facts.version is None:
        return
    if not facts.stream.prunable:
        yield "never pruned on its host (prunable: false in the site file)"
        return
    written_at = time_of_ns(facts.version.mtime_ns) or end_of_day(facts.day)
    at = max(end_of_day(facts.day), written_at) + archive.prune_after
    if at > context.now:
        yield f"may be pruned on its host from {written(at)} on, if its stream is verified then (aurora prune --plan)"
    elif facts.evidence.is_candidate:
        yield f"may be pruned on its host now: aurora prune {facts.name} --plan --files lists it"
    else:
        why = facts.evidence.candidate or "it is not proved identical in all three places"
        yield f"old enough to be pruned on its host since {written(at)}, but: {why}"


def steps_of_scrub(context: Context, facts: FileFacts) -> Iterator[str]:
    """When the copies are read again."""
    archive = context.site.archive
    if archive is None or not facts.evidence.read_at:
        return
    at = time_of(min(facts.evidence.read_at.values()))
    assert at is not None
    yield f"read again (scrub) by {written(at + archive.scrub)} at the latest (archive.scrub)"


def settles_at(facts: FileFacts) -> datetime | None:
    """When a file settles, by the clock of its host."""
    version = facts.version
    return None if version is None else time_of_ns(version.mtime_ns + as_ns(facts.stream.settle))
