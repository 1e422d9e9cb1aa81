"""Explains a product: its verdict and its copies."""

from __future__ import annotations

from aurora_platform.layout import ArchiveLayout
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
    if not facts.is_made:
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
    at = facts.made_at or (time_of_ns(facts.version.mtime_ns) if facts.version else None)
    if facts.inputs is None:
        return f"made on {written(at)}"
    have = "has" if facts.inputs == 1 else "have"
    return f"made on {written(at)} from {counted(facts.inputs, 'input')}, which {have} not changed since"


def copies_of_product(context: Context, facts: ProductFacts) -> tuple[Copy, ...]:
    """A row per place."""
    version, archive, row = facts.version, context.site.archive, facts.row
    rows = [
        Copy.of_version(
            "local",
            f"{context.site.paths.products}/{printable(facts.path)}",
            version,
            is_present=version is not None,
            note="" if facts.has_partition else "without this day",
        )
    ]
    if archive is not None and facts.copied_by is not None and not facts.is_directory:
        copied = row.version if row and row.copied_at else None
        note = (
            f"copied on {row.copied_at[:19]} UTC, as the ledger recorded it"
            if row and row.copied_at
            else "not copied yet"
        )
        rows.append(
            Copy.of_version(
                "archive",
                f"{archive.hosts[0].report_name}:{ArchiveLayout.of(archive).products}/{printable(facts.path)}",
                copied,
                is_present=copied is not None,
                note=note,
            )
        )
    return tuple(rows)
