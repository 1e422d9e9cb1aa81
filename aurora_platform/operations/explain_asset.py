"""Explains an asset and a partition: finds the newest partition, and asks the module of its kind."""

from __future__ import annotations

import os
import re
import time
from dataclasses import replace
from datetime import UTC, date, timedelta
from pathlib import Path

from aurora_platform.archive.readonly import ReadOnlyRecords
from aurora_platform.archive.selection import raw_items
from aurora_platform.cameras.catalog import newest_days, open_readonly
from aurora_platform.config.types import format_duration
from aurora_platform.health.alert_rules import collector_check
from aurora_platform.health.freshness import measure_source
from aurora_platform.health.models import Level
from aurora_platform.layout import (
    ALERTS_KEY,
    CAMERAS,
    CORE_PRODUCTS,
    HEALTH_KEY,
    HOURLY_THUMBNAILS,
    PIXELS,
    THUMBNAILS,
    VIDEOS,
    WXCAM_PRODUCTS,
)
from aurora_platform.layout.key_parts import KeyParts, parts_of
from aurora_platform.operations import explain_next as following
from aurora_platform.operations.explain_answer import (
    Answer,
    Conclusion,
    Context,
    Copy,
    State,
    Subject,
    time_of,
    time_of_ns,
    written,
)
from aurora_platform.operations.explain_archive_work import explain_archive_work
from aurora_platform.operations.explain_day import conclude_day, copies_of_day
from aurora_platform.operations.explain_day_facts import collect_day
from aurora_platform.operations.explain_day_next import steps_of_day
from aurora_platform.operations.explain_period import OUTSIDE, conclude_outside, step_outside
from aurora_platform.operations.explain_product import collect_camera_product
from aurora_platform.operations.explain_product_answer import conclude_product, copies_of_product
from aurora_platform.operations.explain_product_next import steps_of_product
from aurora_platform.operations.explain_question import (
    ARCHIVE_WORK,
    AssetPartition,
    day_of_partition,
    has_partitions,
    is_hourly,
)
from aurora_platform.operations.explain_stale import with_staleness
from aurora_platform.streams.classify import Classifier, Directories
from aurora_platform.streams.state import read_source_state
from aurora_platform.text import Count, counted, printable
from aurora_platform.transport.listing import LocalSource

_DAY = timedelta(days=1)


def explain_asset(context: Context, asked: str, question: AssetPartition) -> Answer:
    """Explain a partition of an asset, or an asset without partitions."""
    key, parts = question.key, parts_of(question.key)
    partition, how = question.partition, "partition"
    if partition is None and has_partitions(key):
        file = context.layout.camera.catalog if parts.part == "cameras" else context.layout.fixity
        partition = context.attempt("newest partition", lambda: newest_partition(context, key, parts), None, file)
        how = "newest partition"
        if partition is None:
            how = "no partition yet; that of now is" if is_hourly(key) else "no partition yet; today's is"
            partition = default_partition(context, key)
    subject = _subject(context, key, parts, partition, how)
    if key in ARCHIVE_WORK:
        return explain_archive_work(context, asked, subject)
    if parts.kind in ("raw", "gws_raw", "manifests"):
        answer = _of_day(context, asked, question, parts, subject)
        return _with_path(context.site.paths.manifests, question, answer)
    if parts.part == "cameras":
        answer = _of_camera(context, asked, question, parts, subject)
        is_thumbnail = parts.kind == HOURLY_THUMBNAILS
        return answer if is_thumbnail else _with_path(context.site.paths.products, question, answer)
    answers = {"source": _of_source, HEALTH_KEY.split("/")[1]: _of_health, ALERTS_KEY.split("/")[1]: _of_alerts}
    if parts.kind in answers:
        return answers[parts.kind](context, asked, subject)
    return _of_pushed_products(context, asked, subject, is_newest=question.partition is None)


def _subject(context: Context, key: str, parts: KeyParts, partition: str | None, how: str) -> Subject:
    """``how``: how the partition was found."""
    joined = " has" if how.startswith("no ") else ","
    lines = [f"asset {key}{joined} {how} {partition} (UTC)" if partition else f"asset {key}, which has no partitions"]
    if parts.stream in context.site.streams:
        stream = context.site.streams[str(parts.stream)]
        camera = f", camera {parts.camera}" if parts.camera else ""
        lines.append(f"stream {parts.stream} of host {stream.host}{camera}")
    day = day_of_partition(partition)
    return Subject("asset", tuple(lines), parts.stream, day, parts.camera, key, partition)


def default_partition(context: Context, key: str) -> str:
    """The partition that is going on now."""
    return (
        f"{context.now.astimezone(UTC):%Y-%m-%d-%H:00}" if is_hourly(key) else f"{context.now.astimezone(UTC):%Y-%m-%d}"
    )


def newest_partition(context: Context, key: str, parts: KeyParts) -> str | None:
    """The newest partition that there is, on disk or in the evidence; None without any."""
    layout = context.layout.camera
    if parts.kind == "catalog":
        if not layout.catalog.exists():
            return None
        with open_readonly(layout.catalog) as db:
            return next((str(day) for day in newest_days(db, 1)), None)
    if parts.kind == WXCAM_PRODUCTS or parts.part == "cameras":
        return _newest_product(context, parts)
    return _newest_day(context, str(parts.stream))


def _newest_product(context: Context, parts: KeyParts) -> str | None:
    layout = context.layout.camera
    if parts.kind == PIXELS:
        return _as_day(_newest_name(layout.store / str(parts.camera), r"\d{8}"))
    if parts.kind == HOURLY_THUMBNAILS:
        directory = layout.products / THUMBNAILS / str(parts.camera)
        day = _newest_name(directory, r"\d{8}")
        name = _newest_name(directory / day, r"HDR_\d{8}_\d{6}.*") if day else None
        return f"{_as_day(day)}-{name[13:15]}:00" if day and name else None
    cameras = [parts.camera] if parts.camera else CAMERAS
    names = [_newest_name(layout.products / VIDEOS / str(camera), r"\d{8}\.mp4") for camera in cameras]
    return _as_day(max((name for name in names if name), default=None))


def _newest_name(directory: os.PathLike[str], pattern: str) -> str | None:
    try:
        return max((name for name in os.listdir(directory) if re.fullmatch(pattern, name)), default=None)
    except FileNotFoundError:
        return None


def _as_day(name: str | None) -> str | None:
    return f"{name[:4]}-{name[4:6]}-{name[6:8]}" if name else None


def _newest_day(context: Context, name: str) -> str | None:
    """The newest day with local files in the live window, or recorded in the evidence."""
    stream, first = context.site.streams[name], context.site.streams[name].live_from(context.now)
    days = {first + n * _DAY for n in range((context.now.date() - first).days + 1)}
    found: set[date] = set()
    for item in raw_items(stream, context.layout.raw_root(name), "", days, Count()):
        found |= {item.day} if item.day else set()
    records = ReadOnlyRecords(context.site)
    if not found and records.layout.fixity.exists():
        with records.evidence() as evidence:
            found |= {day} if (day := evidence.newest_day(name)) else set()
    newest = max(found, default=None) or _newest_local_day(context, name)
    return str(newest) if newest else None


def _newest_local_day(context: Context, name: str) -> date | None:
    """The newest day with local files: by the directories of days, or where days have none, by listing all files."""
    stream, root = context.site.streams[name], context.layout.raw_root(name)
    if not root.is_dir():
        return None
    if stream.day_dirs:
        days = ((context.now.date() - number * _DAY) for number in range((context.now.date() - stream.start).days + 1))
        made = (day for day in days if any((root / day.strftime(template)).is_dir() for template in stream.day_dirs))
        return next((day for day in made if any(raw_items(stream, root, "", {day}, Count()))), None)
    listing = LocalSource().list(str(root), [])
    classify, newest = Classifier(stream, Directories(stream, []), listing.clock_ns), None
    until = time.monotonic() + context.site.limits.look.total_seconds()
    for entry in listing.entries:
        day = classify(entry).day if entry.is_regular else None
        newest = max(newest or date.min, day) if day else newest
        if time.monotonic() > until:
            listing.entries.close()
            break
    return newest


def _of_day(context: Context, asked: str, question: AssetPartition, parts: KeyParts, subject: Subject) -> Answer:
    assert subject.day is not None
    facts = collect_day(context, str(parts.stream), subject.day)
    conclusion = conclude_day(context, question.key, facts)
    is_newest, is_silent = question.partition is None, facts.survey is not None and not facts.survey.seen
    conclusion = with_staleness(context, subject, conclusion, is_newest=is_newest, is_silent=is_silent)
    if conclusion.state in OUTSIDE and not facts.is_finalized:
        facts.finalization = None  # the day has nothing that could be finalized
    return Answer(
        asked,
        context.now,
        subject,
        conclusion,
        copies_of_day(context, facts),
        finalization=facts.finalization,
        next_steps=tuple(steps_of_day(context, facts, conclusion)),
    )


def _with_path(root: Path, question: AssetPartition, answer: Answer) -> Answer:
    """Name the file of the partition that was asked for; its verdict is another one where there is no such file."""
    if question.path is None:
        return answer
    subject = replace(answer.subject, lines=(*answer.subject.lines, f"one of its files: {printable(question.path)}"))
    conclusion = answer.conclusion
    if not os.path.lexists(root / question.path) and conclusion.state not in OUTSIDE:
        partition = f"{question.key}/{question.partition} is {conclusion.state}: {conclusion.sentence}"
        conclusion = replace(conclusion, state=State.NOT_FOUND, sentence=f"no such file; {partition}")
    return replace(answer, subject=subject, conclusion=conclusion)


def _of_camera(context: Context, asked: str, question: AssetPartition, parts: KeyParts, subject: Subject) -> Answer:
    facts = collect_camera_product(context, parts, subject.partition, question.path)
    conclusion = conclude_outside(context, parts.stream, subject.partition) or conclude_product(context, facts)
    conclusion = with_staleness(context, subject, conclusion, is_newest=question.partition is None)
    return Answer(
        asked,
        context.now,
        subject,
        conclusion,
        copies_of_product(context, facts),
        facts.product,
        next_steps=tuple(steps_of_product(context, subject, facts, conclusion)),
    )


def _of_source(context: Context, asked: str, subject: Subject) -> Answer:
    name = str(subject.stream)
    stream = context.site.streams[name]
    fresh = measure_source(context.site, name, stream, context.now)
    state = read_source_state(context.layout.freshness(name))
    failed = state.failed_since is not None and stream.enabled
    needs_operator = failed or fresh.level in (Level.AMBER, Level.RED)
    listed = State.UNKNOWN if failed or state.seen_at is None else State.LISTED
    # The verdict begins with the state: "UNKNOWN: unknown since ...".
    sentence = fresh.sentence.removeprefix("unknown").removeprefix(":").strip()
    conclusion = Conclusion(listed, sentence, needs_operator, command="aurora audit" if needs_operator else "")
    copy = Copy(
        "source",
        f"{stream.host}:{stream.path}",
        mtime=time_of(state.newest),
        listed_at=time_of(state.seen_at),
        note=f"could not be listed since {written(time_of(state.failed_since))}: {printable(state.why)}"
        if failed
        else "",
    )
    steps = [f"waits for an operator: {conclusion.command}"] if needs_operator else []
    if not stream.enabled:
        steps.append(f"nothing lists it: {following.PLANNED_OFFLINE}")
    elif stream.start > context.now.date():
        steps.append(f"nothing lists it before {stream.start} (start in the site file)")
    else:
        steps.append(f"sensor arrivals_{name} lists the live window every {format_duration(context.site.live.every)}")
        steps.append(f"{following.tick(context, f'reconcile_{name}', context.site.live.reconcile)} lists older days")
    return Answer(asked, context.now, subject, conclusion, (copy,), next_steps=tuple(steps))


_AS_STATE = {Level.GREEN: State.MADE, Level.GRAY: State.NOT_MADE}


def _of_health(context: Context, asked: str, subject: Subject) -> Answer:
    place = context.layout.health.snapshot
    check = collector_check(place, context.now)
    needs_operator = check.level in (Level.AMBER, Level.RED)
    state = _AS_STATE.get(check.level, State.OUTDATED)
    again = " writes it" if check.level is Level.GRAY else " writes it again"  # gray: it was never written
    command = "aurora health, and the schedule health in the UI"
    conclusion = Conclusion(state, check.message, needs_operator, command=command if needs_operator else "")
    steps = [f"waits for an operator: {command}"] if needs_operator else []
    steps.append(following.tick(context, "health", context.site.health.every) + again)
    return Answer(asked, context.now, subject, conclusion, (_file_copy(place),), next_steps=tuple(steps))


def _of_alerts(context: Context, asked: str, subject: Subject) -> Answer:
    place = context.layout.health.alerts
    if context.site.alerts is None:
        conclusion = Conclusion(State.NOT_MADE, "no mails are sent: the site file has no key alerts")
        return Answer(asked, context.now, subject, conclusion, next_steps=("nothing",))
    copy = _file_copy(place)
    state = State.MADE if copy.is_present else State.NOT_MADE
    conclusion = Conclusion(state, f"alerts are sent to {', '.join(context.site.alerts.to)}")
    steps = (following.tick(context, "health", context.site.health.every) + " evaluates the alerts",)
    return Answer(asked, context.now, subject, conclusion, (copy,), next_steps=steps)


def _file_copy(place: os.PathLike[str]) -> Copy:
    try:
        status = os.stat(place)
    except FileNotFoundError:
        return Copy("local", str(place), is_present=False)
    mtime = time_of_ns(status.st_mtime_ns)
    return Copy("local", str(place), True, size=status.st_size, mtime=mtime, mtime_ns=status.st_mtime_ns)


def _of_pushed_products(context: Context, asked: str, subject: Subject, *, is_newest: bool) -> Answer:
    """``gws/core_products`` and ``gws/wxcam_products``: the rows of the ledger."""
    archive = context.site.archive
    assert archive is not None
    is_core = subject.partition is None
    group = CORE_PRODUCTS if is_core else WXCAM_PRODUCTS
    if (outside := conclude_outside(context, subject.stream, subject.partition)) is not None:
        steps = [step_outside(context, outside, subject.stream, subject.partition)]
        return Answer(asked, context.now, subject, outside, next_steps=tuple(steps))
    conclusion = context.attempt(
        "ledger",
        lambda: _conclude_group(context, group, subject.day),
        Conclusion(State.UNKNOWN, "the ledger cannot be read", True, command="mend what is named under PROBLEMS"),
        context.layout.ledger,
    )
    conclusion = with_staleness(context, subject, conclusion, is_newest=is_newest)
    steps = [f"waits for an operator: {conclusion.command}"] if conclusion.needs_operator else []
    # As schedules/archive.py does it: products of the live window, and all queued files of the ledger.
    is_searched = subject.day is None or following.is_live(context, str(subject.stream), subject.day)
    if is_searched or conclusion.state is State.QUEUED:
        schedule, cron = f"push_{group}", archive.push_core if is_core else archive.push_wxcam
        steps.append(f"{following.tick(context, schedule, cron)} copies what is new")
    else:
        every = format_duration(context.site.live.every)
        steps.append(f"sensor late_days (every {every}) copies its products only when they are made again")
    return Answer(asked, context.now, subject, conclusion, next_steps=tuple(steps))


def _conclude_group(context: Context, group: str, day: date | None) -> Conclusion:
    records = ReadOnlyRecords(context.site)
    if not records.layout.ledger.exists():
        return Conclusion(State.NOT_MADE, f"there is no ledger yet ({records.layout.ledger}): nothing was copied")
    name = records.archive.name
    with records.ledger() as ledger:
        parked = [row for row in ledger.parked(name, group) if day is None or row.day == str(day)]
        every = {one.group: one for one in ledger.counts(name)} if day is None else {}
        counts = every.get(group) if day is None else ledger.counts_of_day(name, group, day)
    if parked:
        row = parked[0]
        first = f"{printable(row.remote_path)}: {printable(row.last_error or 'no error was recorded')}"
        sentence = f"{counted(len(parked), 'file')} parked, the first {first}"
        return Conclusion(State.PARKED, sentence, True, command="remove the cause, then: aurora ledger --retry")
    if counts is None or not counts.files:
        return Conclusion(State.NOT_MADE, "no file in the ledger")
    sentence = f"{counted(counts.files, 'file')} in the ledger: {counts.copied} copied, {counts.queued} queued"
    return Conclusion(State.QUEUED if counts.queued else State.COPIED, sentence)
