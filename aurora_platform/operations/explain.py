"""Explains one file or one partition of a site: what it is, where its copies are, and what happens to it next.

Reads the records of this machine and writes nothing. A record that cannot be read becomes a problem in the answer; the
other parts of the answer go on. What belongs to a day is read, and never the history.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from aurora_platform.archive.readonly import ReadOnlyRecords
from aurora_platform.config.site import Site
from aurora_platform.layout import (
    ALERTS_KEY,
    CORE_PRODUCTS_KEY,
    HEALTH_KEY,
    OPS_MONITOR,
    WXCAM,
    gws_raw_key,
    manifests_key,
    raw_key,
)
from aurora_platform.layout.key_parts import parts_of
from aurora_platform.operations import explain_next as following
from aurora_platform.operations.explain_answer import (
    Answer,
    Conclusion,
    Context,
    NoRunRecords,
    Problem,
    RunRecords,
    State,
    Subject,
    describe,
)
from aurora_platform.operations.explain_asset import explain_asset
from aurora_platform.operations.explain_day_facts import finalization_of
from aurora_platform.operations.explain_facts import collect
from aurora_platform.operations.explain_file import conclude, steps_of, subject_of
from aurora_platform.operations.explain_file_copies import copies_of
from aurora_platform.operations.explain_halts import halts_of
from aurora_platform.operations.explain_period import OUTSIDE
from aurora_platform.operations.explain_product import collect_file
from aurora_platform.operations.explain_product_answer import conclude_product, copies_of_product
from aurora_platform.operations.explain_product_next import steps_of_product
from aurora_platform.operations.explain_question import AssetPartition, Elsewhere, ProductFile, RawFile
from aurora_platform.operations.explain_where import find
from aurora_platform.text import printable
from aurora_platform.transport.protocols import Source

_RUNS = "runs and checks"
NO_RECORDS = NoRunRecords("Dagster's records were not opened")


def explain(
    site: Site,
    what: str,
    *,
    runs: RunRecords = NO_RECORDS,
    source_of: Callable[[str], Source] | None = None,
    stream: str | None = None,
    directory: Path | None = None,
    now: datetime | None = None,
) -> Answer:
    """Explain a file, or an asset and a partition.

    Parameters
    ----------
    site
        The site.
    what
        An asset key with or without a partition, or a path: of this machine, of an instrument host, of the archive, or
        relative to a stream.
    runs
        Dagster's records.
    source_of
        Lists the source of a stream, by name; without it no host is connected to.
    stream
        The stream that is meant, where several may have the path.
    directory
        Where relative paths begin; by default the current directory.
    now
        The time.

    Raises
    ------
    QuestionError
        Where ``what`` names nothing, or several things.
    """
    context = Context(site, now or datetime.now(UTC), runs, source_of)
    question = find(site, what, directory or Path.cwd(), _HasFile(site), stream)
    asked = printable(what)
    if isinstance(question, RawFile):
        answer = _of_raw_file(context, asked, question)
    elif isinstance(question, AssetPartition):
        answer = explain_asset(context, asked, question)
    elif isinstance(question, ProductFile):
        answer = _of_product_file(context, asked, question)
    else:
        answer = _of_elsewhere(context, asked, question)
    answer = _with_halts(context, _with_failed_checks(_with_runs(context, answer)))
    notes = [following.automations_note(site)]
    if context.problems and not answer.conclusion.needs_operator:
        notes.insert(0, "waits for an operator: mend what is named under PROBLEMS")
    steps = (*(answer.next_steps or ("nothing",)), *filter(None, notes))
    return replace(answer, next_steps=steps, problems=tuple(dict.fromkeys(context.problems)))


class _HasFile:
    """Whether a stream is recorded to have a path: local, or in the evidence."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._records = ReadOnlyRecords(site)

    def __call__(self, stream: str, path: str) -> bool:
        try:
            if os.path.lexists(self._records.layout.raw_root(stream) / path):
                return True
            if self._site.archive is None or not self._records.layout.fixity.exists():
                return False
            with self._records.evidence() as evidence:
                return bool(evidence.records_of(stream, path))
        except Exception:  # damaged evidence: the answer itself says so
            return False


def _of_raw_file(context: Context, asked: str, question: RawFile) -> Answer:
    facts = collect(context, question.stream, question.path)
    conclusion = conclude(context, facts)
    finalization = None
    if context.site.archive is not None and facts.day is not None:
        found = facts.evidence
        finalization = finalization_of(context, facts.name, facts.day, found.verdict, found.listings)
    return Answer(
        asked,
        context.now,
        subject_of(context, facts, question.named_by),
        conclusion,
        copies_of(context, facts),
        finalization=finalization,
        next_steps=tuple(steps_of(context, facts, conclusion)),
    )


def _of_product_file(context: Context, asked: str, question: ProductFile) -> Answer:
    facts = collect_file(context, question.path)
    conclusion = conclude_product(context, facts)
    lines = (f"{printable(question.path)}, a file of paths.products",)
    subject = Subject("product", lines, asset=_asset_of_product(context, question.path), path=question.path)
    steps = tuple(steps_of_product(context, subject, facts, conclusion))
    return Answer(
        asked, context.now, subject, conclusion, copies_of_product(context, facts), facts.product, next_steps=steps
    )


def _asset_of_product(context: Context, path: str) -> str | None:
    """The asset whose runs make a product file, or copy it to the archive."""
    if path.startswith(f"{OPS_MONITOR}/"):
        return ALERTS_KEY if path.startswith(f"{OPS_MONITOR}/alerts") else HEALTH_KEY
    return CORE_PRODUCTS_KEY if context.site.archive is not None and path.split("/")[0] != WXCAM else None


def _of_elsewhere(context: Context, asked: str, question: Elsewhere) -> Answer:
    subject = Subject("file", (f"{printable(question.path)} belongs to no stream: {question.why}",), path=question.path)
    conclusion = Conclusion(State.NOT_OF_STREAM, f"not copied: {question.why}")
    return Answer(asked, context.now, subject, conclusion, next_steps=("nothing",))


def _with_failed_checks(answer: Answer) -> Answer:
    """Let an operator act where a check of the partition that was asked for has failed with an error."""
    if answer.subject.kind == "file":
        return answer  # the checks are about all files of the day
    failed = [
        check
        for facts in answer.dagster
        for check in facts.failed_checks
        if check.severity == "ERROR" and (check.partition or not facts.partition)
    ]
    if not failed or answer.conclusion.needs_operator:
        return answer
    steps = (f"waits for an operator: the check {failed[0].name} failed: {failed[0].sentence}", *answer.next_steps)
    return replace(answer, conclusion=replace(answer.conclusion, needs_operator=True), next_steps=steps)


def _with_halts(context: Context, answer: Answer) -> Answer:
    """Say first, below the verdict, what the platform itself waits for."""
    conclusion = answer.conclusion
    if conclusion.state in (State.NOT_OF_STREAM, *OUTSIDE):
        return answer
    remarks = (*halts_of(context, answer.subject.stream), *conclusion.remarks)
    return replace(answer, conclusion=replace(conclusion, remarks=remarks))


def _with_runs(context: Context, answer: Answer) -> Answer:
    """Add what Dagster has recorded of the partition; of a raw file, of each asset that has its day."""
    subject = answer.subject
    if subject.asset is None or (subject.kind == "file" and answer.conclusion.state is State.NOT_OF_STREAM):
        return answer
    keys = [subject.asset]
    if subject.kind == "file" and context.site.archive is not None:
        name = str(parts_of(subject.asset).stream)
        keys = [raw_key(name), gws_raw_key(name), manifests_key(name)]
    facts = []
    for key in keys:
        try:
            found = context.runs.facts(key, subject.partition)
        except Exception as error:
            records = NoRunRecords(f"Dagster's records cannot be read: {describe(error)}", is_broken=True)
            context.problems.append(Problem(_RUNS, records.why))
            found = records.facts(key, subject.partition)
        facts.append(found)
    if isinstance(context.runs, NoRunRecords) and context.runs.is_broken:
        context.problems.append(Problem(_RUNS, context.runs.why))
    return replace(answer, dagster=tuple(facts))
