"""Explains the scheduled work of the archive: the verification of the products, the restore drill, and retention."""

from __future__ import annotations

from dataclasses import dataclass

from aurora_platform.archive import restore_drill
from aurora_platform.archive.readonly import ReadOnlyRecords
from aurora_platform.archive.retention_run import read_last_run
from aurora_platform.archive.verify_products import collections_of
from aurora_platform.errors import EvidenceError
from aurora_platform.layout import PRODUCT_MANIFESTS_KEY, RESTORE_DRILL_KEY
from aurora_platform.operations import explain_next as following
from aurora_platform.operations.explain_answer import Answer, Conclusion, Context, State, Subject
from aurora_platform.text import counted, printable, printable_text


@dataclass
class _Proofs:
    """The finalizations of a collection, as they are on this machine."""

    complete: int = 0
    withdrawn: int = 0
    why: str = ""
    """Why the first of them is not complete, or cannot be read."""


def explain_archive_work(context: Context, asked: str, subject: Subject) -> Answer:
    """Explain one of the archive's assets without partitions that is not a push."""
    if subject.asset == PRODUCT_MANIFESTS_KEY:
        return _of_product_manifests(context, asked, subject)
    if subject.asset == RESTORE_DRILL_KEY:
        return _of_restore_drill(context, asked, subject)
    return _of_retention(context, asked, subject)


def _answer(context: Context, asked: str, subject: Subject, conclusion: Conclusion, step: str) -> Answer:
    steps = [f"waits for an operator: {conclusion.command}"] if conclusion.needs_operator else []
    return Answer(asked, context.now, subject, conclusion, next_steps=(*steps, step))


def _of_product_manifests(context: Context, asked: str, subject: Subject) -> Answer:
    archive, records = context.site.archive, ReadOnlyRecords(context.site)
    assert archive is not None
    proofs = {name: _proofs_of(records, name) for name in collections_of(records)}
    counts = [f"{name}: {found.complete} complete, {found.withdrawn} not" for name, found in proofs.items()]
    sentence = "finalizations by collection: " + "; ".join(counts)
    wrong = next(((name, found) for name, found in proofs.items() if found.withdrawn), None)
    if wrong is not None:
        name, found = wrong
        sentence += f"; the first, of {name}: {printable_text(found.why)}"
        conclusion = Conclusion(State.INCOMPLETE, sentence, True, command=f"aurora repair {name}")
    elif any(found.complete for found in proofs.values()):
        conclusion = Conclusion(State.COMPLETE, sentence)
    else:
        conclusion = Conclusion(State.NOT_MADE, "no product is finalized yet: one is when its day is over and proved")
    step = f"{following.tick(context, 'verify_products', archive.verify_products)} compares and finalizes"
    return _answer(context, asked, subject, conclusion, step)


def _proofs_of(records: ReadOnlyRecords, name: str) -> _Proofs:
    proofs, finalizations = _Proofs(), records.finalizations(name)
    for key in finalizations.all_keys():
        try:
            found = finalizations.read(key)
        except EvidenceError as error:
            proofs.withdrawn, proofs.why = proofs.withdrawn + 1, proofs.why or str(error)
            continue
        if found is not None and found.complete:
            proofs.complete += 1
        elif found is not None:
            proofs.withdrawn, proofs.why = proofs.withdrawn + 1, proofs.why or f"{key}: {found.why}"
    for key in finalizations.missing_keys():
        proofs.withdrawn, proofs.why = proofs.withdrawn + 1, proofs.why or finalizations.why_missing(key)
    return proofs


def _of_restore_drill(context: Context, asked: str, subject: Subject) -> Answer:
    archive, history = context.site.archive, restore_drill.read_history(context.layout.restore_drill)
    assert archive is not None
    last = history.last
    if last is None:
        conclusion = Conclusion(State.NOT_MADE, "there was no drill yet (aurora drill)")
    elif last.is_success:
        conclusion = Conclusion(State.MADE, printable(f"{last.summary()} (drill of {last.at})"))
    elif last.day is None and not last.error:
        conclusion = Conclusion(State.NOT_MADE, f"{last.summary()} (drill of {last.at})")
    else:
        success = history.last_success
        since = f"; the last success: {success.stream} {success.day}, drill of {success.at}" if success else ""
        command = printable_text(f"aurora repair {last.target}")
        conclusion = Conclusion(State.DIFFERENT, printable_text(last.summary() + since), True, command=command)
    cron = archive.restore_drill
    step = f"{following.tick(context, 'restore_drill', cron)} restores a day" if cron else "no schedule runs it"
    return _answer(context, asked, subject, conclusion, step)


def _of_retention(context: Context, asked: str, subject: Subject) -> Answer:
    retention, last = context.site.retention, read_last_run(context.layout.retention)
    if last is None:
        conclusion = Conclusion(State.NOT_MADE, "there was no retention run yet")
    else:
        command = "aurora retire, for a stream: a dry run"
        sentence = f"{last.summary()} (run of {last.at})"
        conclusion = Conclusion(State.MADE, printable(sentence), bool(last.errors), command=command)
    cron = retention.schedule
    step = (
        f"{following.tick(context, 'retire', cron)} deletes old local copies of {', '.join(retention.raw)}"
        if cron
        else f"no schedule deletes local copies; aurora retire does, of {counted(len(retention.raw), 'stream')}"
    )
    return _answer(context, asked, subject, conclusion, step)
