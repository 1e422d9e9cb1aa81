"""Explains a product: its verdict, its copies, and what happens to it next."""

from __future__ import annotations

from collections.abc import Iterator

from aurora_platform.config.types import format_duration
from aurora_platform.layout import HOURLY_THUMBNAILS, WXCAM, ArchiveLayout
from aurora_platform.layout.key_parts import KeyParts
from aurora_platform.operations import explain_next as following
from aurora_platform.operations.explain_answer import Conclusion, Context, Copy, State, time_of_ns, written
from aurora_platform.operations.explain_product import OWN_SECTIONS, ProductFacts
from aurora_platform.text import counted, printable

_INPUTS_COMMAND = "check the named files on the camera host; a new version of a file is used by itself"


def conclude_product(context: Context, facts: ProductFacts) -> Conclusion:
    """The verdict on a product, and why."""
    row = facts.row
    if row is not None and row.parked_at and (facts.version is None or row.version == facts.version):
        sentence = (
            f"parked after {counted(row.attempts, 'attempt')} to copy it to the archive: "
            f"{printable(row.last_error or 'no error was recorded')}"
        )
        return Conclusion(State.PARKED, sentence, True, command="remove the cause, then: aurora ledger --retry")
    if any(problem.section in OWN_SECTIONS for problem in context.problems):
        command = "mend what is named under PROBLEMS"
        return Conclusion(State.UNKNOWN, "it, or its inputs, cannot be read", True, command=command)
    if facts.unreadable:
        path, reason = next(iter(facts.unreadable.items()))
        sentence = (
            f"{counted(len(facts.unreadable), 'file')} unreadable, the first {printable(path)}: {printable(reason)}"
        )
        return Conclusion(State.UNREADABLE, sentence, True, command=_INPUTS_COMMAND)
    if facts.version is None:
        return Conclusion(State.NOT_MADE, facts.note or "there is no such file")
    excluded = ""
    if facts.excluded:
        path, reason = next(iter(facts.excluded.items()))
        number = counted(len(facts.excluded), "input")
        excluded = f"; {number} excluded, the first {printable(path)}: {printable(reason)}"
    if facts.inputs is not None and facts.data_version != facts.current_version:
        why = facts.note or "its inputs have changed since it was made"
        return Conclusion(State.OUTDATED, f"{why}{excluded}")
    return Conclusion(State.MADE, f"{_made(facts)}{excluded}")


def _made(facts: ProductFacts) -> str:
    at = time_of_ns(facts.version.mtime_ns) if facts.version else None
    of = f" from {counted(facts.inputs, 'input')}, which have not changed since" if facts.inputs is not None else ""
    return f"made on {written(at)}{of}"


def copies_of_product(context: Context, facts: ProductFacts) -> tuple[Copy, ...]:
    """A row per place."""
    version, archive, row = facts.version, context.site.archive, facts.row
    rows = [
        Copy(
            "local",
            f"{context.site.paths.products}/{printable(facts.path)}",
            is_present=version is not None,
            size=version.size if version else None,
            mtime=time_of_ns(version.mtime_ns) if version else None,
            mtime_ns=version.mtime_ns if version else None,
        )
    ]
    if archive is not None and facts.is_copied:
        copied = row.version if row and row.copied_at else None
        note = (
            f"copied on {row.copied_at[:19]} UTC, as the ledger recorded it"
            if row and row.copied_at
            else "not copied yet"
        )
        rows.append(
            Copy(
                "archive",
                f"{archive.hosts[0].address}:{ArchiveLayout.of(archive).products}/{printable(facts.path)}",
                is_present=copied is not None,
                size=copied.size if copied else None,
                mtime=time_of_ns(copied.mtime_ns) if copied else None,
                mtime_ns=copied.mtime_ns if copied else None,
                note=note,
            )
        )
    return tuple(rows)


def steps_of_product(
    context: Context, parts: KeyParts | None, facts: ProductFacts, conclusion: Conclusion
) -> Iterator[str]:
    """What happens to a product next."""
    site, archive = context.site, context.site.archive
    if conclusion.needs_operator:
        yield f"waits for an operator: {conclusion.command}"
    if parts is not None and parts.kind == HOURLY_THUMBNAILS:
        if conclusion.state is State.MADE:
            yield "stays as it is: a published thumbnail is never replaced"
        else:
            yield f"{following.tick(context, 'thumbnails', site.live.thumbnails)} makes it when its hour is complete"
    elif parts is not None and conclusion.state in (State.OUTDATED, State.NOT_MADE):
        every = format_duration(site.live.every)
        yield f"the next run of {WXCAM}_day for its day, or sensor late_days (every {every}), makes it from its inputs"
    elif parts is not None:
        yield "made again when one of its inputs changes"
    if archive is None:
        return
    if not facts.is_copied:
        yield "not copied to the archive" if conclusion.state is not State.NOT_MADE else "copied when it is made"
    elif facts.version is not None and (facts.row is None or facts.row.copied_at is None):
        schedule = (
            (f"push_{WXCAM}_products", archive.push_wxcam) if parts else ("push_core_products", archive.push_core)
        )
        yield f"{following.tick(context, *schedule)} copies it to the archive"
