"""What happens next to a UTC day of a stream: what copies it, verifies it, finalizes it, and deletes old copies."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from aurora_platform.config.archive import Archive
from aurora_platform.layout import SIDES
from aurora_platform.operations import explain_next as following
from aurora_platform.operations.explain_answer import Conclusion, Context, written
from aurora_platform.operations.explain_day_facts import DayFacts
from aurora_platform.operations.explain_period import OUTSIDE, step_outside


def steps_of_day(context: Context, facts: DayFacts, conclusion: Conclusion) -> Iterator[str]:
    """What happens to the day next."""
    archive, name, day = context.site.archive, facts.name, facts.day
    if conclusion.needs_operator:
        yield f"waits for an operator: {conclusion.command}"
    if conclusion.state in OUTSIDE:
        yield step_outside(context, conclusion, name, str(day))
        return
    yield following.mirrored_by(context, name, day, is_missing=bool(facts.missing))
    if archive is None:
        return
    yield _pushed_by(context, facts, archive)
    listed = [facts.listings[side].at for side in SIDES if side in facts.listings]
    yield following.verified_by(context, name, day, archive, min(listed, default=None))
    if not facts.has_files:
        yield "a day without files is not finalized"
    else:
        if not facts.is_finalized:
            yield following.finalized_at(context, name, day, archive)
        yield from _steps_of_age(context, facts, archive)


def _pushed_by(context: Context, facts: DayFacts, archive: Archive) -> str:
    """As ``schedules/archive.py`` does it: local files in the live window, and all queued files of the ledger."""
    name = facts.name
    schedule = following.tick(context, f"push_{name}", archive.push_raw)
    if facts.counts and facts.counts.queued:
        return f"{schedule} copies what is queued to the archive"
    if following.is_live(context, name, facts.day):
        return f"{schedule} copies what is new to the archive"
    return f"{schedule} copies what verify_{name} finds missing in the archive"


def _steps_of_age(context: Context, facts: DayFacts, archive: Archive) -> Iterator[str]:
    name = facts.name
    retired = following.retired_from(context.site, name, facts.day, None)
    if retired is None:
        yield f"the local copies stay: the site file has no retention.raw.{name}"
    elif not facts.items:
        pass  # nothing is left to delete
    elif retired <= context.now and not facts.is_finalized:
        yield f"local copies are old enough to be retired since {written(retired)}, but the day is not finalized"
    else:
        yield f"local copies may be retired {_from(context, retired)} (aurora retire {name})"
    if not facts.stream.prunable:
        yield "never pruned on its host (prunable: false in the site file)"
    else:
        at = following.end_of_day(facts.day) + archive.prune_after
        yield f"may be pruned on its host {_from(context, at)}, if its whole stream is verified (aurora prune --plan)"


def _from(context: Context, at: datetime) -> str:
    return f"since {written(at)}" if at <= context.now else f"from {written(at)} on"
