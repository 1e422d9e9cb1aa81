"""Collects what is known of a UTC day of a stream: local files, source, evidence, ledger, finalization."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

from aurora_platform.archive.change_guard import held_files
from aurora_platform.archive.compare import Verdict
from aurora_platform.archive.finalization_guard import StreamGuard
from aurora_platform.archive.fixity_record import ListingRecord
from aurora_platform.archive.ledger import Counts, Item, Row
from aurora_platform.archive.readonly import ReadOnlyRecords
from aurora_platform.archive.selection import raw_items
from aurora_platform.config.streams import Stream
from aurora_platform.layout import (
    SIDE_NAMES,
    ArchiveLayout,
    Side,
    raw_group,
)
from aurora_platform.mirror.scan import DaySurvey, Survey, scan
from aurora_platform.operations import explain_next as following
from aurora_platform.operations.explain_answer import (
    Context,
    DayFinalization,
    written,
)
from aurora_platform.streams.state import DayAtSource, read_days_at_source
from aurora_platform.text import Count, printable
from aurora_platform.transport.listing import LocalSource
from aurora_platform.transport.protocols import Source


@dataclass
class DayFacts:
    """Everything that is known of a day of a stream."""

    name: str
    stream: Stream
    day: date
    items: list[Item] = field(default_factory=list)
    """The local files."""
    refused: Count = field(default_factory=Count)
    """Local entries that may not be copied."""
    survey: DaySurvey | None = None
    """The source, listed now."""
    last_scan: DayAtSource | None = None
    has_evidence: bool = False
    """Whether the site has evidence of any day."""
    listings: Mapping[Side, ListingRecord] = field(default_factory=dict)
    verdict: Verdict | None = None
    released: int = 0
    counts: Counts | None = None
    waiting_since: datetime | None = None
    """When the oldest queued file was queued."""
    parked: list[Row] = field(default_factory=list)
    held: list[tuple[Item, str]] = field(default_factory=list)
    finalization: DayFinalization | None = None

    @property
    def is_finalized(self) -> bool:
        """Whether the day is complete in the archive."""
        return self.finalization is not None and self.finalization.is_complete

    @property
    def has_files(self) -> bool:
        """Whether any place has, or had, a file of the day."""
        scanned = self.survey.seen if self.survey else 0
        verified = self.verdict.files if self.verdict else 0
        return bool(self.items or self.released or self.missing or scanned or verified)

    @property
    def missing(self) -> int | None:
        """How many settled files of the source are not local; None where nobody knows."""
        scanned = self.survey or self.last_scan
        # A retired file may still be on its host: it is not copied again.
        return None if scanned is None else max(0, scanned.missing - self.released)


def collect_day(context: Context, name: str, day: date) -> DayFacts:
    """Collect the facts of a day; a part that cannot be read becomes a problem of the context."""
    facts = DayFacts(name, context.site.streams[name], day)
    context.attempt("local copies", lambda: _list_local(context, facts), None)
    context.attempt("source", lambda: _scan_source(context, facts), None)
    facts.last_scan = context.attempt(
        "source", lambda: read_days_at_source(context.layout.days_at_source(name)).get(day), None
    )
    if context.site.archive is not None:
        records = ReadOnlyRecords(context.site)
        context.attempt("evidence", lambda: _read_evidence(records, facts), None, records.layout.fixity)
        context.attempt("ledger", lambda: _read_ledger(records, facts), None, records.layout.ledger)
        facts.finalization = finalization_of(context, name, day, facts.verdict, facts.listings)
    return facts


def _list_local(context: Context, facts: DayFacts) -> None:
    root = context.layout.raw_root(facts.name)
    archive_raw = ArchiveLayout.of(context.site.archive).raw if context.site.archive else ""
    facts.items = list(raw_items(facts.stream, root, archive_raw, {facts.day}, facts.refused))


def _scan_source(context: Context, facts: DayFacts) -> None:
    is_local = context.site.hosts[facts.stream.host].is_local
    source: Source
    if is_local:
        source = LocalSource(lambda: int(context.now.timestamp() * 10**6) * 1000)
    elif context.source_of is not None:
        source = context.source_of(facts.name)
    else:
        return
    root, within = context.layout.raw_root(facts.name), context.site.limits.look
    held = held_files(context.site, facts.name)
    survey: Survey = scan(facts.stream, source, root, [facts.day], within, held)
    found = survey.days.get(facts.day)
    if not survey.is_whole:
        raise TimeoutError(f"{facts.stream.host}: the listing took longer than limits.look: {survey.summary()}")
    facts.survey = found if isinstance(found, DaySurvey) else None


def _read_evidence(records: ReadOnlyRecords, facts: DayFacts) -> None:
    if not records.layout.fixity.exists():
        return
    with records.evidence() as evidence:
        facts.has_evidence = True
        facts.listings = evidence.listings(facts.name, facts.day)
        text = evidence.verdict(facts.name, facts.day)
        facts.verdict = Verdict.from_json(text) if text else None
        facts.released = len(evidence.released(facts.name, facts.day))


def _read_ledger(records: ReadOnlyRecords, facts: DayFacts) -> None:
    if not records.layout.ledger.exists():
        return
    archive, group = records.archive.name, raw_group(facts.name)
    with records.ledger() as ledger:
        facts.counts = ledger.counts_of_day(archive, group, facts.day)
        facts.waiting_since = ledger.waiting_since(archive, group, facts.day)
        facts.parked = [row for row in ledger.parked(archive, group) if row.day == str(facts.day)]
        waiting = list(ledger.open_items(archive, group, facts.items))
    facts.held = StreamGuard(records, facts.name).decide(waiting).held


def finalization_of(
    context: Context, name: str, day: date, verdict: Verdict | None, listings: Mapping[Side, ListingRecord]
) -> DayFinalization | None:
    """Whether a day is complete in the archive, and what keeps it from being so; None where that cannot be read."""
    archive = context.site.archive
    assert archive is not None
    finalizations = ReadOnlyRecords(context.site).finalizations(name)

    def read() -> DayFinalization:
        finalizations.lines(day)  # raises where it is missing, or its manifest is damaged
        found = finalizations.read(day)
        comparison = verdict.sentence() if verdict else ""
        if found is None:
            why = _why_incomplete(context, day, verdict, listings)
            return DayFinalization(False, why_not=why, comparison=comparison)
        return DayFinalization(
            is_complete=found.complete,
            revision=found.revision,
            since=_parse(found.since),
            file=str(finalizations.file(day)),
            manifest=str(finalizations.manifest(day, found.revision)),
            why_not="" if found.complete else found.why or _why_incomplete(context, day, verdict, listings),
            comparison=comparison,
            lost=found.lost,
        )

    return context.attempt("finalization", read, None)


def _parse(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _why_incomplete(
    context: Context, day: date, verdict: Verdict | None, listings: Mapping[Side, ListingRecord]
) -> str:
    archive = context.site.archive
    assert archive is not None
    errors = [
        f"{SIDE_NAMES[side]} could not be listed: {printable(one.error)}" for side, one in listings.items() if one.error
    ]
    if errors:
        return "; ".join(errors)
    if verdict is None:
        return "the day was never verified"
    if verdict.gaps or verdict.refused:
        return verdict.first_reason
    over = following.end_of_day(day) + archive.pending
    if context.now < over:
        return f"the day is not over before {written(over)} (archive.pending)"
    if verdict.pending:
        return verdict.first_reason
    return "it has no files" if not verdict.files else "it was not verified since it is over"
