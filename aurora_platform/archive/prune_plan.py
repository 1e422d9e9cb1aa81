"""Plans which files may be pruned on the instrument hosts, and gives the reason for the rest. Prunes nothing itself.

Fail-closed: without complete and recent evidence for every day that is old enough, there are no candidates.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

from aurora_platform.archive.day_records import StreamDays
from aurora_platform.archive.fixity import Evidence
from aurora_platform.archive.reports import PruneCounts, PrunePlan, StreamSummary
from aurora_platform.archive.verdicts import read_verdict
from aurora_platform.config.archive import Archive
from aurora_platform.config.streams import Stream
from aurora_platform.config.types import format_duration

_DAY = timedelta(days=1)


def plan_prune(name: str, stream: Stream, archive: Archive, evidence: Evidence, now: datetime) -> PrunePlan:
    """Find the files of a stream that are old enough, and proved identical on all three sides.

    There are no candidates where a side could not be listed, where evidence of a day is missing or old, or where a file
    of that age is missing or different.
    """

    if why := why_none(name, stream, archive, evidence, now):
        return PrunePlan(name, (), 0, why)
    found = list(candidates_of(name, stream, archive, evidence, now))
    why = why_found(len(found), last_old_day(name, archive, evidence, now))
    return PrunePlan(name, [path for path, _, _ in found], sum(size for _, size, _ in found), why)


def candidates_of(
    name: str, stream: Stream, archive: Archive, evidence: Evidence, now: datetime
) -> Iterator[tuple[str, int, float]]:
    """Yield the candidates of a stream for which :func:`why_none` gives no reason.

    Yields path, size, and when the first of its three copies was last read (s since epoch).
    """
    ripe, last = _ripe(name, archive, evidence, now)
    return evidence.identical_everywhere(
        name,
        first=stream.start,  # earlier days are not verified any more
        until=last,
        older_than_ns=int(ripe.timestamp()) * 10**9,
        read_since=(now - archive.scrub).timestamp(),
    )


def why_found(count: int, last: date) -> str:
    """Describe the evidence for some candidates, or why there are none."""
    if count:
        return f"identical in all three places up to {last}"
    return f"no file of the source up to {last} is in all three places (a retired file is only in two)"


def rules_of(stream: Stream, archive: Archive) -> str:
    """Return the settings that candidates depend on, as text: with others they must be made anew."""
    return f"{stream.start} {format_duration(archive.prune_after)} {format_duration(archive.scrub)}"


def last_old_day(name: str, archive: Archive, evidence: Evidence, now: datetime) -> date:
    """Return the last day of which files may be candidates now."""
    return _ripe(name, archive, evidence, now)[1]


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
    verdicts = {day: read_verdict(text) for day, text in evidence.verdicts(name).items() if stream.start <= day <= last}
    bad = [day for day, verdict in verdicts.items() if verdict is None or not verdict.has_all]
    if bad:
        first = verdicts[min(bad)]
        reason = "its verdict is damaged; verify the day again" if first is None else first.first_reason
        return f"{len(bad)} of its days are not complete, the first {min(bad)}: {reason}"
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
    return any(found == path for found, _, _ in of_day)


def staleness(name: str, stream: Stream, archive: Archive, evidence: Evidence, now: datetime) -> str | None:
    """Why the evidence of a stream's old days is not valid; None where it is."""
    last = (now - archive.prune_after).astimezone(UTC).date() - _DAY
    oldest, text = evidence.oldest_listing(name, stream.start, last)
    if oldest == 0:
        return text
    if now.timestamp() - oldest > archive.evidence_valid.total_seconds():
        return f"the evidence is too old: {text}, valid for {format_duration(archive.evidence_valid)}"
    return None


def summarize(name: str, days: StreamDays, prune: PruneCounts, evidence: Evidence) -> StreamSummary:
    """Make a stream's line of ``summary.json`` from its day records, which fit its manifests."""
    counts, (listed_at, errors) = days.counts, evidence.days.newest_listing(name)
    return StreamSummary(
        generated_at_utc=datetime.fromtimestamp(int(listed_at), UTC).isoformat(),
        source_newest_utc=_time(counts.source_newest_ns),
        gws_newest_utc=_time(counts.gws_newest_ns),
        **{key: value for key, value in counts._asdict().items() if key.endswith("_count")},
        refused_count=evidence.refused(name),
        days=days.days,
        days_complete=counts.is_final,
        prune_ready=bool(prune.count),
        prune_why=prune.why,
        prune_candidate_count=prune.count,
        prune_candidate_bytes=prune.bytes,
        errors=errors,
    )


def _time(mtime_ns: int | None) -> str | None:
    return None if mtime_ns is None else datetime.fromtimestamp(mtime_ns // 10**9, UTC).isoformat()
