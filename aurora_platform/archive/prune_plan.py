"""Plans which files may be pruned on the instrument hosts, and gives the reason for the rest. Prunes nothing itself.

Fail-closed: without complete and recent evidence for every day that is old enough, there are no candidates.
"""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta

from aurora_platform.archive.compare import DIFFERENT, MatchClass, Verdict
from aurora_platform.archive.fixity import Evidence
from aurora_platform.archive.reports import PrunePlan, StreamSummary
from aurora_platform.config.archive import Archive
from aurora_platform.config.streams import Stream
from aurora_platform.config.types import format_duration
from aurora_platform.layout import SIDES

_DAY = timedelta(days=1)


def plan_prune(name: str, stream: Stream, archive: Archive, evidence: Evidence, now: datetime) -> PrunePlan:
    """Find the files of a stream that are old enough, and proved identical on all three sides.

    There are no candidates where a side could not be listed, where evidence of a day is missing or old, or where a file
    of that age is missing or different.
    """

    if why := why_none(name, stream, archive, evidence, now):
        return PrunePlan(name, (), 0, why)
    ripe, last = _ripe(name, archive, evidence, now)
    found = list(
        evidence.identical_everywhere(
            name,
            first=stream.start,  # earlier days are not verified any more
            until=last,
            older_than_ns=int(ripe.timestamp()) * 10**9,
            read_since=(now - archive.scrub).timestamp(),
        )
    )
    return PrunePlan(
        name,
        [path for path, _ in found],
        sum(size for _, size in found),
        f"identical in all three places up to {last}"
        if found
        else f"no file of the source up to {last} is in all three places (a retired file is only in two)",
    )


def _ripe(name: str, archive: Archive, evidence: Evidence, now: datetime) -> tuple[datetime, date]:
    """The newest mtime that is old enough, and the last day that is."""
    # A day is old enough when its last second is, by the local clock and by the clock that stamped the files.
    ripe = min(now, evidence.source_clock(name) or now) - archive.prune_after
    return ripe, ripe.astimezone(UTC).date() - _DAY


def why_none(name: str, stream: Stream, archive: Archive, evidence: Evidence, now: datetime) -> str | None:
    """Why no file of a stream may be pruned; None where files may be."""
    if not stream.prunable:
        return "never prunable (prunable: false in the site file)"
    _, last = _ripe(name, archive, evidence, now)
    if last < stream.start:
        return f"nothing is older than {format_duration(archive.prune_after)}"
    if stale := staleness(name, stream, archive, evidence, now):
        return stale
    bad = [
        (day, verdict)
        for day, text in sorted(evidence.verdicts(name).items())
        if stream.start <= day <= last and not (verdict := Verdict.from_json(text)).has_all
    ]
    if bad:
        day, verdict = bad[0]
        return f"{len(bad)} of its days are not complete, the first {day}: {verdict.first_reason}"
    return None


def is_candidate(name: str, archive: Archive, evidence: Evidence, path: str, day: date, now: datetime) -> bool:
    """Whether a file is old enough and proved identical on all three sides; see :func:`why_none` for its stream."""
    ripe, last = _ripe(name, archive, evidence, now)
    of_day = evidence.identical_everywhere(
        name,
        first=day,
        until=min(day, last),
        older_than_ns=int(ripe.timestamp()) * 10**9,
        read_since=(now - archive.scrub).timestamp(),
    )
    return any(found == path for found, _ in of_day)


def staleness(name: str, stream: Stream, archive: Archive, evidence: Evidence, now: datetime) -> str | None:
    """Why the evidence of a stream's old days is not valid; None where it is."""
    last = (now - archive.prune_after).astimezone(UTC).date() - _DAY
    oldest, text = evidence.oldest_listing(name, stream.start, last)
    if oldest == 0:
        return text
    if now.timestamp() - oldest > archive.evidence_valid.total_seconds():
        return f"the evidence is too old: {text}, valid for {format_duration(archive.evidence_valid)}"
    return None


def summarize(name: str, plan: PrunePlan, evidence: Evidence, today: date) -> StreamSummary:
    """Count a stream's line of ``summary.json`` from the verdicts of its days."""
    verdicts = [Verdict.from_json(text) for text in evidence.verdicts(name).values()]
    listings = evidence.listings(name, today)

    def total(counts: str, *classes: MatchClass) -> int:
        return sum(getattr(verdict, counts).get(name, 0) for verdict in verdicts for name in classes)

    return StreamSummary(
        generated_at_utc=datetime.fromtimestamp(int(time.time()), UTC).isoformat(),
        source_newest_utc=_time(evidence.newest(name, "source")),
        gws_newest_utc=_time(evidence.newest(name, "gws")),
        source_count=sum(verdict.source for verdict in verdicts),
        local_count=sum(verdict.local for verdict in verdicts),
        gws_count=sum(verdict.gws for verdict in verdicts),
        local_missing_count=total("local_classes", MatchClass.MISSING),
        local_mismatch_count=total("local_classes", *DIFFERENT),
        gws_missing_count=total("archive_classes", MatchClass.MISSING),
        gws_mismatch_count=total("archive_classes", *DIFFERENT),
        pending_count=sum(verdict.pending for verdict in verdicts),
        identical_count=sum(verdict.proved for verdict in verdicts),
        refused_count=evidence.refused(name),
        days=len(verdicts),
        days_complete=sum(verdict.is_final for verdict in verdicts),
        prune_ready=plan.is_ready,
        prune_why=plan.why,
        prune_candidate_count=len(plan.candidates),
        prune_candidate_bytes=plan.bytes,
        errors={side: record.error for side in SIDES if (record := listings.get(side)) and record.error},
    )


def _time(mtime_ns: int | None) -> str | None:
    return None if mtime_ns is None else datetime.fromtimestamp(mtime_ns // 10**9, UTC).isoformat()
