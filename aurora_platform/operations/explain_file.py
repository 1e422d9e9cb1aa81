"""Explains a raw file: its verdict, and what happens to it next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

from aurora_platform.archive.change_rule import ChangeState
from aurora_platform.archive.compare import DIFFERENT, MatchClass
from aurora_platform.config.types import format_duration
from aurora_platform.fs.versions import DIRECTORY
from aurora_platform.layout import SIDE_NAMES, raw_key
from aurora_platform.operations import explain_next as following
from aurora_platform.operations.explain_answer import (
    Conclusion,
    Context,
    State,
    Subject,
    time_of_ns,
    written,
)
from aurora_platform.operations.explain_facts import FileFacts, camera_of
from aurora_platform.operations.explain_file_copies import at_source, in_archive
from aurora_platform.text import counted, printable

_LOCAL_PENDING = timedelta(minutes=10)  # where the site has no archive, and so no archive.local_pending


def subject_of(context: Context, facts: FileFacts, named_by: str) -> Subject:
    """What the file is: its stream, day and camera, or why it belongs to none."""
    name, classified = facts.name, facts.classified
    lines = [f"{printable(facts.path)}, a path of stream {name}" + (f" ({named_by})" if named_by else "")]
    camera = camera_of(facts.path) if facts.stream is context.site.streams.get("wxcam") else None
    if facts.day is not None:
        lines.append(f"UTC day {facts.day}" + (f", camera {camera}" if camera else ""))
    if classified is not None and classified.reason is not None:
        lines.append(f"belongs to no day: refused, {classified.reason}")
    elif classified is not None and classified.file is None:
        lines.append(f"no file of the stream: {_why_not_included(facts)}")
    elif facts.day is not None and facts.day < facts.stream.start:
        lines.append(f"of a day before the stream begins (start: {facts.stream.start} in the site file)")
    partition = str(facts.day) if facts.day else None
    return Subject("file", tuple(lines), name, facts.day, camera, raw_key(name), partition, facts.path)


def _why_not_included(facts: FileFacts) -> str:
    entry = (facts.source.entry if facts.source else None) or facts.local
    if entry is not None and entry.kind == DIRECTORY:
        return "it is a directory; ask for a file in it, or for a day of the asset"
    hidden = next((part for part in facts.path.split("/") if part.startswith(".")), None)
    patterns = ", ".join(facts.stream.include)
    if hidden is not None:
        return f"{printable(hidden)} is a hidden name, which no pattern of include matches ({patterns})"
    return f"no pattern of include matches ({patterns})"


def conclude(context: Context, facts: FileFacts) -> Conclusion:
    """The verdict on a file, and why."""
    steps = (_of_no_stream, _of_mirror, _of_records, _of_camera)
    found = next(filter(None, (step(context, facts) for step in steps)), None) or _of_places(context, facts)
    return replace(found, remarks=tuple(_remarks(context, facts)))


def _remarks(context: Context, facts: FileFacts) -> Iterator[str]:
    for side, listing in facts.evidence.listings.items():
        if listing.error:
            name = SIDE_NAMES[side]
            yield f"as of an earlier listing of the {name}: the last one failed, {printable(listing.error)}"
    scan = facts.last_scan
    if scan is not None:
        at, counts = (
            written(time_of_ns(scan.clock_ns)),
            f"{scan.missing} missing local, {scan.unsettled} still being written",
        )
        yield f"the last scan of its day on its host, at {at}, found: {counts}"
    if facts.camera is None or facts.local is None or facts.camera.unreadable:
        return
    if facts.camera.no_catalog:
        yield f"there is no catalogue yet ({context.layout.camera.catalog})"
    else:
        yield "in the catalogue" if facts.camera.is_catalogued else "not in the catalogue yet"


def _of_no_stream(context: Context, facts: FileFacts) -> Conclusion | None:
    classified, stream = facts.classified, facts.stream
    if classified is not None and classified.reason is not None:
        if facts.source is not None and facts.version is None:
            sentence = f"no place is known to have it; a file of this name would be refused: {classified.reason}"
            return Conclusion(State.NOT_FOUND, sentence)
        return Conclusion(
            State.REFUSED,
            f"refused, and never copied: {classified.reason}",
            needs_operator=True,
            command=f"rename it on host {stream.host}, or correct include and day of {facts.name} in the site file",
        )
    if classified is not None and classified.file is None:
        return Conclusion(State.NOT_OF_STREAM, f"not copied: {_why_not_included(facts)}")
    if facts.day is not None and facts.day < stream.start:
        return Conclusion(State.NOT_BEGUN, f"not copied: {facts.name} begins on {stream.start} (start)")
    return None


def _of_mirror(context: Context, facts: FileFacts) -> Conclusion | None:
    """Where the file was listed on its host now: the decision of the mirror."""
    plan = facts.source.plan if facts.source else None
    if plan is None or (facts.local is None and facts.evidence.released is not None):
        return None  # a retired file is not copied again
    if (held := _held_change(facts)) is not None:  # whether it has settled or not
        return held
    if plan.refused:
        reason = next(iter(plan.refused))
        command = f"clear the way at {context.layout.raw_root(facts.name)}/{printable(facts.path)}"
        return Conclusion(State.REFUSED, f"refused: {reason}", needs_operator=True, command=command)
    if plan.unsettled.total:
        settled = following.settles_at(facts)
        settle = format_duration(facts.stream.settle)
        kept = "; an earlier version is local" if facts.local else ""
        copied = f"copied from {written(settled)} on" if facts.stream.enabled else following.PLANNED_OFFLINE
        return Conclusion(State.UNSETTLED, f"still being written (settle {settle}): {copied}{kept}")
    if not plan.fetch or facts.held:
        return None
    return _missing_local(context, facts, "on its host and not local" if not facts.local else _differing(facts))


def _held_change(facts: FileFacts) -> Conclusion | None:
    """Where the file has changed at its source after its day was finalized, and that is held back."""
    change = facts.evidence.change
    if change is None or change.state is not ChangeState.HELD:
        return None
    entry = facts.source.entry if facts.source else None
    if entry is not None and not entry.version.same_as(change.change.version):
        return None  # the source has another version by now
    sentence = f"changed on its host, held back: {printable(change.why)}"
    command = f"aurora accept {facts.name} --day {change.change.day}"
    return Conclusion(State.HELD_BACK, sentence, needs_operator=True, command=command)


def _differing(facts: FileFacts) -> str:
    source = facts.source.entry if facts.source else None
    assert source is not None
    assert facts.local is not None
    what = "size" if source.version.size != facts.local.version.size else "mtime"
    return f"local in another version than on its host (different {what})"


def _missing_local(context: Context, facts: FileFacts, sentence: str) -> Conclusion:
    archive, settled = context.site.archive, following.settles_at(facts)
    if not facts.stream.enabled:
        state = State.DIFFERENT if facts.local else State.MISSING_LOCAL
        return Conclusion(state, f"{sentence}: {facts.name} is {following.PLANNED_OFFLINE}")
    bound = archive.local_pending if archive else _LOCAL_PENDING
    is_late = settled is None or context.now > settled + bound
    late = f"; it was expected {format_duration(bound)} after it settled" if is_late else ""
    command = f"aurora sync {facts.name} --day {facts.day}" if is_late else ""
    state = State.DIFFERENT if facts.local else State.MISSING_LOCAL
    return Conclusion(state, f"{sentence}{late}", is_late, command=command)


def _of_records(context: Context, facts: FileFacts) -> Conclusion | None:
    """What the ledger, the finalization and the evidence say that an operator should mend."""
    row, compared, name = facts.row, facts.compared, facts.name
    repair = f"aurora repair {name} --day {facts.day}"
    is_current = row is not None and (facts.local is None or row.version.same_as(facts.local.version))
    if row is not None and row.parked_at and is_current:
        return Conclusion(
            State.PARKED,
            f"parked after {counted(row.attempts, 'attempt')} to copy it to the archive: "
            f"{printable(row.last_error or 'no error was recorded')}",
            needs_operator=True,
            command="remove the cause, then: aurora ledger --retry",
        )
    if (change := _held_change(facts)) is not None:
        return change
    if facts.held:
        return Conclusion(State.HELD_BACK, f"held back from the archive: {facts.held}", True, command=repair)
    if compared is None:
        return None
    for where, found in (("local", compared.local), ("in the archive", compared.archive)):
        if found is MatchClass.UNREAD:
            errors = [
                f"{SIDE_NAMES[side]}: {record.error}" for side, record in facts.evidence.by_side.items() if record.error
            ]
            why = printable("; ".join(errors)) or "no reason was recorded"
            return Conclusion(State.UNREADABLE, f"not readable {where}: {why}", True, command=repair)
    # A local file that is newer than the evidence may be what its host has now.
    if compared.local in DIFFERENT and facts.local is not None and (facts.source or not facts.local_differs):
        return Conclusion(State.DIFFERENT, f"{compared.local} local{_than(facts)}", True, command=repair)
    # Another version may be on its way; other bytes of the same version are not.
    if compared.archive is MatchClass.CHECKSUM or (
        compared.archive in DIFFERENT and not _is_on_its_way(context, facts)
    ):
        return Conclusion(State.DIFFERENT, f"{compared.archive} in the archive", True, command=repair)
    return None


def _than(facts: FileFacts) -> str:
    return ", compared with the source" if "source" in facts.evidence.by_side else ", compared with the finalization"


def _of_camera(context: Context, facts: FileFacts) -> Conclusion | None:
    if facts.camera is None or not facts.camera.unreadable or facts.local is None:
        return None
    return Conclusion(
        State.UNREADABLE,
        f"copied, but no product can use it: {printable(facts.camera.unreadable)}",
        needs_operator=True,
        command=f"check the file on host {facts.stream.host}; a new version of it is copied and read by itself",
    )


def _of_places(context: Context, facts: FileFacts) -> Conclusion:
    """Where the file is, and whether that is verified."""
    evidence, local = facts.evidence, facts.local
    is_at_source = at_source(facts)
    if local is None:
        is_archived = in_archive(facts)
        if is_at_source and evidence.released is None:
            return _missing_local(context, facts, "recorded on its host and not local")
        if is_archived is False and (facts.finalized or evidence.released or evidence.vanished):
            return _lost(facts, is_at_source)
        if evidence.released is not None:
            at, kept = written(evidence.released_at), "; the archive has it" if is_archived else ""
            return Conclusion(State.RETIRED, f"local copy deleted on {at} by retention{kept}")
        if is_archived or facts.finalized is not None:
            return Conclusion(
                State.MISSING_LOCAL,
                "only the archive has it: neither its host nor this machine, and retention did not delete it here",
                needs_operator=True,
                command=f"aurora repair {facts.name} --day {facts.day}",
            )
        if facts.is_given_up:
            return Conclusion(State.LOST, "an operator has accepted that it is lost; the manifest of its day says so")
        return Conclusion(State.NOT_FOUND, "no place is known to have it; --source lists its host")
    if context.site.archive is None:
        return _with_exclusions(facts, Conclusion(State.COPIED, "copied; this site has no archive"))
    compared = facts.compared
    if compared is not None and compared.archive is MatchClass.IDENTICAL:
        if is_at_source is False:
            sentence = "its host has it no more; the local file and the archive's are identical"
            return _with_exclusions(facts, Conclusion(State.PRUNED, sentence))
        places = "source, local and archive" if is_at_source else "local and archive"
        return _with_exclusions(facts, Conclusion(State.VERIFIED, f"{places} are identical"))
    return _with_exclusions(facts, _not_verified(context, facts))


def _lost(facts: FileFacts, is_at_source: bool | None) -> Conclusion:
    """Where the archive does not have a file that it had, or that its source once had, and it is not local."""
    name, day = facts.name, facts.day
    if is_at_source:
        sentence = "the archive does not have it any more, and retention deleted the local copy; only its host has it"
        return Conclusion(State.MISSING_IN_ARCHIVE, sentence, True, command=f"aurora repair {name} --day {day}")
    host = "it is on its host no more" if is_at_source is False else "whether its host has it is unknown (--source)"
    was = "its day was finalized with it" if facts.finalized is not None else "its source once had it"
    sentence = f"neither this machine nor the archive has it, and {host}; {was}"
    command = (
        f"look for it in archive.versions and in backups; if there is none: aurora accept {name} --day {day} --lost"
    )
    return Conclusion(State.LOST, sentence, needs_operator=True, command=command)


def _not_verified(context: Context, facts: FileFacts) -> Conclusion:
    row, archive = facts.row, context.site.archive
    assert archive is not None
    assert facts.local is not None
    if row is not None and row.copied_at and row.version.same_as(facts.local.version):
        return Conclusion(State.PUSHED, f"copied to the archive on {row.copied_at[:19]} UTC, not verified yet")
    if facts.finalized is not None and in_archive(facts) is False:
        return Conclusion(
            State.MISSING_IN_ARCHIVE,
            "the archive has lost it since its day was finalized; the next push sends it again",
            needs_operator=True,
            command=f"find out why; aurora repair {facts.name} --day {facts.day} --apply sends it now",
        )
    last = f"; the last attempt failed: {printable(row.last_error)}" if row and row.last_error else ""
    if _is_on_its_way(context, facts):
        found = facts.compared.archive if facts.compared else MatchClass.MISSING
        waiting = f"{found} in the archive, to be sent again" if found in DIFFERENT else "not in the archive yet"
        return Conclusion(State.QUEUED, f"local, {waiting}{last}")
    bound = format_duration(archive.pending)
    return Conclusion(
        State.MISSING_IN_ARCHIVE,
        f"local and not in the archive, though it arrived more than {bound} ago (archive.pending){last}",
        needs_operator=True,
        command=f"check the runs of push_{facts.name}, and the archive's hosts with: aurora audit",
    )


def _is_on_its_way(context: Context, facts: FileFacts) -> bool:
    """Whether the local version is young enough to be missing in the archive."""
    archive = context.site.archive
    assert archive is not None
    if facts.local is None:
        return False
    since = time_of_ns(max(facts.local.version.mtime_ns, facts.arrived_ns or 0))
    return since is not None and context.now <= since + archive.pending


def _with_exclusions(facts: FileFacts, conclusion: Conclusion) -> Conclusion:
    if facts.camera is None or not facts.camera.excluded:
        return conclusion
    reasons = "; ".join(f"{product}: {printable(why)}" for product, why in facts.camera.excluded.items())
    return Conclusion(
        State.EXCLUDED,
        f"{conclusion.sentence}; excluded from {reasons}",
        conclusion.needs_operator,
        command=conclusion.command,
    )


def steps_of(context: Context, facts: FileFacts, conclusion: Conclusion) -> Iterator[str]:
    """What happens to the file next."""
    state = conclusion.state
    if conclusion.needs_operator:
        yield f"waits for an operator: {conclusion.command}"
    if state in (State.REFUSED, State.NOT_OF_STREAM, State.NOT_BEGUN, State.NOT_FOUND) or facts.day is None:
        if not conclusion.needs_operator:
            yield "nothing"
        if state is State.NOT_FOUND and facts.day is not None:
            yield f"about its day: aurora explain {raw_key(facts.name)}/{facts.day}"
        return
    yield from _steps_of_mirror(context, facts, state)
    if context.site.archive is not None:
        yield from _steps_of_archive(context, facts, conclusion)
    elif state in (State.COPIED, State.EXCLUDED):
        yield "stays as it is until its host changes it"


def _is_to_be_copied(facts: FileFacts, state: State) -> bool:
    """Whether its host has a version that is not local."""
    plan = facts.source.plan if facts.source else None
    return state in (State.UNSETTLED, State.MISSING_LOCAL) or bool(plan and plan.fetch)


def _steps_of_mirror(context: Context, facts: FileFacts, state: State) -> Iterator[str]:
    assert facts.day is not None
    if state is State.UNSETTLED:
        yield f"settled at {written(following.settles_at(facts))}"
    if not _is_to_be_copied(facts, state) or not at_source(facts):
        return
    if facts.stream.enabled:
        yield following.mirrored_by(context, facts.name, facts.day, is_missing=True)
    else:
        yield following.not_copied(facts.name, "it")


def _steps_of_archive(context: Context, facts: FileFacts, conclusion: Conclusion) -> Iterator[str]:
    archive, name, day, state = context.site.archive, facts.name, facts.day, conclusion.state
    assert archive is not None
    assert day is not None
    is_arriving = _is_to_be_copied(facts, state) and facts.stream.enabled and at_source(facts)
    if state in (State.QUEUED, State.MISSING_IN_ARCHIVE) or is_arriving:
        is_queued = facts.row is not None and facts.row.copied_at is None
        yield following.pushed_by(context, name, day, archive, is_queued=is_queued)
    listings = [listing.at for listing in facts.evidence.listings.values()]
    yield following.verified_by(context, name, day, archive, min(listings, default=None))
    if facts.finalization is None or not facts.finalization.complete:
        yield following.finalized_at(context, name, day, archive)
    if conclusion.needs_operator:
        return  # nothing is deleted of what is not in order
    yield from following.steps_of_scrub(context, facts)
    yield from following.steps_of_local_copy(context, facts)
    yield from following.steps_of_source_copy(context, facts, at_source(facts) is True)
