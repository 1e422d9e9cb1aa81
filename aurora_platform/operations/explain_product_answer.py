"""Explains a product: its verdict and its copies."""

from __future__ import annotations

from aurora_platform.layout import ArchiveLayout
from aurora_platform.operations.explain_answer import (
    Conclusion,
    Context,
    Copy,
    State,
    time_of,
    time_of_ns,
    time_of_text,
    written,
)
from aurora_platform.operations.explain_product import OWN_SECTIONS, ProductFacts
from aurora_platform.operations.explain_product_proof import conclude_proof
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
    if not facts.is_other and (found := conclude_proof(facts.records, facts.version)) is not None:
        return found
    if facts.unreadable:
        path, reason = next(iter(facts.unreadable.items()))
        sentence = (
            f"{counted(len(facts.unreadable), 'file')} unreadable, the first {printable(path)}: {printable(reason)}"
        )
        return Conclusion(State.UNREADABLE, sentence, True, command=_INPUTS_COMMAND)
    if not facts.is_made:
        note = facts.note or "there is no such file"
        if facts.version is None and row is not None and row.copied_at:
            copied = written(time_of_text(row.copied_at))
            note = f"it is not on this machine any more; it was copied to the archive on {copied}, and never finalized"
        return Conclusion(State.NOT_MADE, note)
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
    version, archive, records = facts.version, context.site.archive, facts.records
    rows = [
        Copy.of_version(
            "local",
            f"{context.site.paths.products}/{printable(facts.path)}",
            version,
            is_present=version is not None,
            sha256=records.sha256("local", version) if records else None,
            is_finalized=records.is_finalized(version, "local") if records else None,
            note="" if facts.has_partition else "without this day",
        )
    ]
    if archive is not None and facts.copied_by is not None and not facts.is_directory:
        location = f"{archive.hosts[0].report_name}:{ArchiveLayout.of(archive).products}/{printable(facts.path)}"
        rows.append(_archived(facts, location))
    return tuple(rows)


def _archived(facts: ProductFacts, location: str) -> Copy:
    """The copy in the archive: as the last verification listed it, or as a push has copied it since."""
    row, records = facts.row, facts.records
    record = records.by_side.get("gws") if records else None
    # Of a file that is not local and was never finalized, the verifications record nothing.
    is_vouched = records is not None and (records.finalized is not None or records.is_earlier)
    is_recorded = record is not None or (records is not None and records.is_listed and is_vouched)
    copied_at = time_of_text(row.copied_at) if row else None
    listed_at = records.listed_at() if records else None
    is_newer = copied_at is not None and (listed_at is None or copied_at > listed_at)
    if records is None or is_newer or not is_recorded:
        copied = row.version if row and copied_at else None
        note = f"copied on {written(copied_at)}, as the ledger recorded it" if copied is not None else "not copied yet"
        is_present = None if copied is not None and not is_newer else copied is not None
        return Copy.of_version("archive", location, copied, is_present=is_present, note=note)
    version = record.version if record is not None else None
    return Copy.of_version(
        "archive",
        location,
        version,
        is_present=record is not None,
        sha256=records.sha256("gws", version),
        listed_at=listed_at,
        read_at=time_of(records.read_at.get("gws")) if record is not None else None,
        is_finalized=records.is_finalized(version, "gws"),
        note="" if record is not None else "not in the archive when it was listed",
    )
