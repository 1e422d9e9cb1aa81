"""What happens to a product next: what makes it, and what copies it to the archive."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from aurora_platform.config.types import format_duration
from aurora_platform.layout import CATALOG_KEY, HOURLY_THUMBNAILS, WXCAM, WXCAM_PRODUCTS_KEY, raw_key
from aurora_platform.layout.key_parts import parts_of
from aurora_platform.operations import explain_next as following
from aurora_platform.operations.explain_answer import Conclusion, Context, State, Subject
from aurora_platform.operations.explain_period import OUTSIDE, step_outside
from aurora_platform.operations.explain_product import ProductFacts

_DAY = timedelta(days=1)


def steps_of_product(context: Context, subject: Subject, facts: ProductFacts, conclusion: Conclusion) -> Iterator[str]:
    """What happens to a product next."""
    if conclusion.state in OUTSIDE:
        yield step_outside(context, conclusion, subject.stream, subject.partition)
        return
    if conclusion.needs_operator:
        yield f"waits for an operator: {conclusion.command}"
    if subject.kind == "asset" and conclusion.state is not State.UNKNOWN:
        yield from _steps_of_making(context, subject, facts, conclusion)
    if context.site.archive is not None:
        yield from _steps_of_copying(context, subject, facts)


def _steps_of_making(context: Context, subject: Subject, facts: ProductFacts, conclusion: Conclusion) -> Iterator[str]:
    is_thumbnail = parts_of(str(subject.asset)).kind == HOURLY_THUMBNAILS
    if facts.is_other:
        yield f"nothing makes it: an hour has one thumbnail (aurora explain {subject.asset}/{subject.partition})"
    elif facts.is_made and is_thumbnail:
        yield "stays as it is: a published thumbnail is never replaced"
    elif facts.is_made and conclusion.state is not State.OUTDATED:
        yield "made again when one of its inputs changes"
    elif not facts.has_inputs:
        yield from _steps_without_inputs(context, subject)
    elif is_thumbnail:
        yield from _steps_of_hour(context, subject)
    elif facts.data_version and facts.data_version == facts.current_version:
        yield "made when one of its inputs changes"
    else:
        yield from _steps_of_day(context, subject, conclusion)


def _steps_without_inputs(context: Context, subject: Subject) -> Iterator[str]:
    """No run makes a product without inputs: the next question is why they are not in the catalogue."""
    is_enabled = context.site.streams[WXCAM].enabled
    yield "made when its inputs arrive" if is_enabled else following.not_copied(WXCAM, "its inputs")
    keys = [raw_key(WXCAM)] if subject.asset == CATALOG_KEY else [raw_key(WXCAM), CATALOG_KEY]
    day = f"/{subject.day}" if subject.day else ""
    yield "to find out why it has none: " + ", ".join(f"aurora explain {key}{day}" for key in keys)


def _steps_of_hour(context: Context, subject: Subject) -> Iterator[str]:
    """As ``schedules/thumbnails.py`` does it: it searches the live window and the day before."""
    assert subject.day is not None
    if following.is_live(context, WXCAM, subject.day + _DAY):
        schedule = following.tick(context, "thumbnails", context.site.live.thumbnails)
        yield f"{schedule} makes it when its hour is complete, if it has an image"
    else:
        yield from _steps_of_old_day(context, subject, "only when the images of its day change")


def _steps_of_day(context: Context, subject: Subject, conclusion: Conclusion) -> Iterator[str]:
    """As ``sensors/arrivals.py`` and the automation conditions (``aurora_assets/policies.py``) do it."""
    every = format_duration(context.site.live.every)
    if subject.day is None or following.is_live(context, WXCAM, subject.day):
        of_day = f" for {subject.day}" if subject.day else ""
        yield f"the next run of {WXCAM}_day{of_day}, or sensor late_days (every {every}), makes it from its inputs"
    elif conclusion.state is State.OUTDATED:
        yield from _steps_of_old_day(context, subject, "from its inputs")
    else:
        yield from _steps_of_old_day(context, subject, "only when one of its inputs changes")


def _steps_of_old_day(context: Context, subject: Subject, when: str) -> Iterator[str]:
    yield f"sensor late_days (every {format_duration(context.site.live.every)}) makes it {when}"
    yield f"to make it now: materialize partition {subject.partition} of {subject.asset} in the UI"


def _steps_of_copying(context: Context, subject: Subject, facts: ProductFacts) -> Iterator[str]:
    archive = context.site.archive
    assert archive is not None
    if facts.version is None and facts.is_other:
        return
    if facts.copied_by is None:
        yield "not copied to the archive"
    elif not facts.is_made and not facts.is_other:
        if subject.kind == "asset" and facts.has_inputs:
            yield "copied to the archive when it is made"
    elif facts.row is None and facts.copied_by != following.CORE_PUSH and _is_old(context, subject):
        yield "copied to the archive by sensor late_days, only when its day changes"
        yield f"to copy it now: materialize partition {subject.day} of {WXCAM_PRODUCTS_KEY} in the UI"
    elif facts.row is None or facts.row.copied_at is None:
        cron = archive.push_core if facts.copied_by == following.CORE_PUSH else archive.push_wxcam
        yield f"{following.tick(context, facts.copied_by, cron)} copies it to the archive"


def _is_old(context: Context, subject: Subject) -> bool:
    """Whether the schedule of the camera's products does not search its day; the catalogue belongs to no day."""
    if subject.asset == CATALOG_KEY or subject.day is None:
        return False
    return not following.is_live(context, WXCAM, subject.day)
