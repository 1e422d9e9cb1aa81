"""Explains a UTC day of a stream: its verdict and its copies, by its mirror, its pushes and its verification."""

from __future__ import annotations

from datetime import datetime

from aurora_platform.archive.compare import DIFFERENT, MatchClass, Verdict
from aurora_platform.layout import (
    SIDE_NAMES,
    ArchiveLayout,
    Side,
    gws_raw_key,
    manifests_key,
    raw_key,
)
from aurora_platform.mirror.plan import HELD_BACK
from aurora_platform.operations import explain_next as following
from aurora_platform.operations.explain_answer import (
    Conclusion,
    Context,
    Copy,
    State,
    time_of,
    written,
)
from aurora_platform.operations.explain_day_facts import DayFacts
from aurora_platform.operations.explain_period import conclude_outside
from aurora_platform.text import counted, printable


def copies_of_day(context: Context, facts: DayFacts) -> tuple[Copy, ...]:
    """A row per place."""
    archive, stream = context.site.archive, facts.stream
    verdict = facts.verdict
    found = facts.survey
    at_source = found.seen if found else verdict.source if verdict else None
    now = context.now
    rows = [_row(facts, "source", f"{stream.host}:{stream.path}", at_source, "", listed_at=now if found else None)]
    size = sum(item.version.size for item in facts.items)
    local = str(context.layout.raw_root(facts.name))
    note = f"{facts.released} deleted by retention" if facts.released else ""
    rows.append(_row(facts, "local", local, len(facts.items), note, size, now))
    if archive is not None:
        listing = facts.listings.get("gws")
        host = (listing.host if listing else "") or archive.hosts[0].report_name
        location = f"{host}:{ArchiveLayout.of(archive).raw_root(stream)}"
        copied = facts.counts.copied if facts.counts else None
        note = "" if verdict or copied is None else "as the ledger recorded it, not listed yet"
        rows.append(_row(facts, "gws", location, verdict.gws if verdict else copied, note))
    return tuple(rows)


def _row(
    facts: DayFacts,
    side: Side,
    location: str,
    files: int | None,
    note: str,
    size: int | None = None,
    listed_at: datetime | None = None,
) -> Copy:
    """``listed_at``: where the place was listed for this answer; without it, when the last verification listed it."""
    listing = facts.listings.get(side)
    error = f"the last listing failed: {printable(listing.error)}" if listing and listing.error else ""
    return Copy(
        place=SIDE_NAMES[side],
        location=location,
        is_present=None if files is None else files > 0,
        files=files,
        size=size,
        listed_at=listed_at or (time_of(listing.at) if listing else None),
        note="; ".join(filter(None, (note, error))),
    )


def conclude_day(context: Context, key: str, facts: DayFacts) -> Conclusion:
    """The verdict on a partition of ``raw/``, ``gws/raw/`` or ``manifests/``."""
    if (outside := conclude_outside(context, facts.name, str(facts.day))) is not None:
        return outside
    if key == raw_key(facts.name):
        return _of_mirror(context, facts)
    if key == gws_raw_key(facts.name):
        return _of_pushes(context, facts)
    assert key == manifests_key(facts.name)
    return _of_verification(context, facts)


def _of_mirror(context: Context, facts: DayFacts) -> Conclusion:
    name, survey, missing = facts.name, facts.survey, facts.missing
    files = counted(len(facts.items), "local file")
    last_unsettled = facts.last_scan.unsettled if facts.last_scan else 0
    unsettled = survey.unsettled.total if survey else last_unsettled
    remarks = (f"{unsettled} still being written",) if unsettled else ()
    if survey and survey.refused_count:
        reasons = "; ".join(f"{count.total} {reason}: {count.first[0]}" for reason, count in survey.refused.items())
        if all(reason.startswith(HELD_BACK) for reason in survey.refused):
            return Conclusion(
                State.HELD_BACK, f"{files}; {reasons}", True, remarks, f"aurora accept {name} --day {facts.day}"
            )
        return Conclusion(
            State.REFUSED, f"{files}; refused at the source: {reasons}", True, remarks, _refused_command(facts)
        )
    if not facts.items and facts.released:
        return Conclusion(
            State.RETIRED, f"{counted(facts.released, 'local copy', 'local copies')} deleted by retention"
        )
    local_classes = facts.verdict.local_classes if facts.verdict else {}
    if missing is None and (absent := local_classes.get(MatchClass.MISSING, 0)):
        missing = absent
    if missing:
        is_late = not following.is_live(context, name, facts.day) or local_classes.get(MatchClass.MISSING, 0) > 0
        first = f", the first {survey.first_missing[0]}" if survey and survey.first_missing else ""
        sentence = f"{files}; {counted(missing, 'settled file')} of the source missing local{first}"
        if not facts.stream.enabled:
            return Conclusion(State.INCOMPLETE, f"{sentence}: {name} is {following.PLANNED_OFFLINE}", remarks=remarks)
        command = f"aurora sync {name} --day {facts.day}" if is_late else ""
        return Conclusion(State.INCOMPLETE, sentence, is_late, remarks, command)
    if missing is None:
        return Conclusion(
            State.UNKNOWN, f"{files}; nobody has listed this day on host {facts.stream.host}", remarks=remarks
        )
    when = "now" if survey else _when_scanned(facts)
    if not facts.items:
        return Conclusion(State.NO_FILES, f"the source has no settled file of this day, listed {when}", remarks=remarks)
    return Conclusion(
        State.COMPLETE, f"{files}: every settled file of the source is local, listed {when}", remarks=remarks
    )


def _when_scanned(facts: DayFacts) -> str:
    return f"at {written(time_of(facts.last_scan.clock_ns / 1e9))}" if facts.last_scan else "never"


def _refused_command(facts: DayFacts) -> str:
    return f"rename the refused files on host {facts.stream.host}, or correct {facts.name} in the site file"


def _of_pushes(context: Context, facts: DayFacts) -> Conclusion:
    name, repair = facts.name, f"aurora repair {facts.name} --day {facts.day}"
    if facts.parked:
        row = facts.parked[0]
        sentence = (
            f"{counted(len(facts.parked), 'file')} parked, the first {printable(row.remote_path)} after "
            f"{counted(row.attempts, 'attempt')}: {printable(row.last_error or 'no error was recorded')}"
        )
        return Conclusion(State.PARKED, sentence, True, command="remove the cause, then: aurora ledger --retry")
    if facts.held:
        item, why = facts.held[0]
        sentence = f"{counted(len(facts.held), 'file')} held back, the first {printable(item.local_path)}: {why}"
        return Conclusion(State.HELD_BACK, sentence, True, command=repair)
    found, counts = facts.verdict, facts.counts
    problems = _problems_of(found, "archive_classes") if found else ""
    if found and problems:
        return Conclusion(State.INCOMPLETE, f"{problems} in the archive: {found.first_reason}", True, command=repair)
    if counts is None or not counts.files:
        if facts.items:
            return Conclusion(State.QUEUED, f"{counted(len(facts.items), 'local file')}, none in the ledger yet")
        return Conclusion(State.NOT_MADE, f"no file of {name} to copy on this day")
    states = f"{counts.copied} copied, {counts.verified} verified, {counts.queued} queued"
    sentence = f"{counted(counts.files, 'file')} in the ledger: {states}"
    if counts.queued:
        archive = context.site.archive
        assert archive is not None
        if facts.waiting_since is None or context.now <= facts.waiting_since + archive.pending:
            return Conclusion(State.QUEUED, sentence)
        command = f"check the runs of push_{name}, and the archive's hosts with: aurora audit"
        late = f"{sentence}, the oldest since {written(facts.waiting_since)}"
        return Conclusion(State.MISSING_IN_ARCHIVE, late, True, command=command)
    return Conclusion(State.VERIFIED if counts.verified == counts.files else State.PUSHED, sentence)


def _problems_of(found: Verdict, classes: str) -> str:
    counts = getattr(found, classes)
    return ", ".join(f"{counts[kind]} {kind}" for kind in (MatchClass.MISSING, *DIFFERENT) if counts.get(kind))


def _of_verification(context: Context, facts: DayFacts) -> Conclusion:
    found, finalization = facts.verdict, facts.finalization
    if finalization is None:
        command = "mend what is named under PROBLEMS"
        return Conclusion(State.UNKNOWN, "its finalization is missing or damaged", True, command=command)
    errors = [f"{SIDE_NAMES[side]}: {printable(one.error)}" for side, one in facts.listings.items() if one.error]
    if found is None and errors:
        return Conclusion(State.UNKNOWN, "; ".join(errors), True, command="aurora audit")
    if found is None:
        archive = context.site.archive
        assert archive is not None
        is_late = facts.has_evidence and context.now > following.end_of_day(facts.day) + archive.evidence_valid
        if not facts.stream.enabled and following.is_live(context, facts.name, facts.day):
            is_late = False  # schedules/archive.py verifies it when it has left the live window
        command = f"check the runs of verify_{facts.name}" if is_late else ""
        return Conclusion(State.UNKNOWN, "the day was never verified", is_late, command=command)
    if errors:
        sentence = f"not everything could be listed: {'; '.join(errors)}"
        return Conclusion(State.UNKNOWN, sentence, True, command="aurora audit")
    if found.problem_count:
        command = f"aurora repair {facts.name} --day {facts.day}"
        return Conclusion(
            State.INCOMPLETE, f"{found.sentence()}; the first: {found.first_reason}", True, command=command
        )
    if found.held:
        sentence = f"{counted(found.held, 'change')} at the source held back, the first {found.first_held}"
        command = f"aurora accept {facts.name} --day {facts.day}"
        return Conclusion(State.HELD_BACK, f"{sentence}; {found.sentence()}", True, command=command)
    if found.refused:
        return Conclusion(State.REFUSED, found.sentence(), True, command=_refused_command(facts))
    if finalization.is_complete:
        lost = f"; {counted(finalization.lost, 'file')} accepted as lost" if finalization.lost else ""
        return Conclusion(State.COMPLETE, f"in the archive: {found.sentence()}{lost}")
    return Conclusion(State.INCOMPLETE, f"not finalized: {finalization.why_not}")
