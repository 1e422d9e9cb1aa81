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


def mirrored_by(context: Context, name: str, day: date) -> str:
    """The automation that copies a missing file of a day."""
    if is_live(context, name, day):
        every = format_duration(context.site.live.every)
        return f"sensor arrivals_{name} (every {every}) starts {name}_day, which copies what is missing"
    reconcile = tick(context, f"reconcile_{name}", context.site.live.reconcile)
    return f"{reconcile} starts {name}_day, which copies what is missing"


def pushed_by(context: Context, name: str, archive: Archive) -> str:
    """The automation that copies a local file to the archive."""
    return f"{tick(context, f'push_{name}', archive.push_raw)} copies it to the archive"


def verified_by(context: Context, name: str, day: date, archive: Archive, listed_at: float | None) -> str:
    """When a day is verified again."""
    how = tick(context, f"verify_{name}", archive.verify)
    if listed_at is None:
        return f"verified by {how}"
    bound = archive.verify_at_least if is_live(context, name, day) else archive.evidence_valid / 2
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
