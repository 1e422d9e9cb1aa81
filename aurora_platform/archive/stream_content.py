"""What a publication contains of each stream: its day records, its counts, and the candidates where they are made anew.

Candidates are made anew only where the evidence of days that are old enough has changed since the last publication, or
where one more day is old enough. Else a publication keeps the earlier list, unless its evidence is not valid any more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from typing import Any

from aurora_platform.archive.day_records import StreamDays
from aurora_platform.archive.fixity import Evidence
from aurora_platform.archive.prune_plan import candidates_of, last_old_day, rules_of, summarize, why_found, why_none
from aurora_platform.archive.reports import PruneCounts
from aurora_platform.config.archive import Archive
from aurora_platform.config.streams import Stream


@dataclass(frozen=True, slots=True)
class Written:
    """The candidates that a publication has written."""

    count: int = 0
    bytes: int = 0
    oldest_read: float = 0.0
    """When the first of their checksums was read, s since epoch."""


@dataclass(frozen=True, slots=True)
class Published:
    """What ``summary.json`` has of a stream: the revision of its day records, and its candidates."""

    revision: int = -1
    planned_until: date | None = None
    """The last day of which files may be candidates; None where they must be made anew."""
    rules: str = ""
    oldest_read: float = 0.0
    prune: PruneCounts = field(default_factory=lambda: PruneCounts(0, 0, "not planned yet"))

    @classmethod
    def of(cls, entry: object) -> Published:
        """Read it from an entry of ``summary.json``; an entry of another program, or a damaged one, has nothing."""
        if not isinstance(entry, dict) or not isinstance(made_of := entry.get("evidence"), dict):
            return cls()
        try:
            until = made_of["planned_until"]
            return cls(
                int(made_of["revision"]),
                None if until is None else date.fromisoformat(until),
                str(made_of["rules"]),
                float(made_of["oldest_read"]),
                PruneCounts(
                    int(entry["prune_candidate_count"]), int(entry["prune_candidate_bytes"]), str(entry["prune_why"])
                ),
            )
        except (KeyError, TypeError, ValueError, OverflowError):
            return cls()


@dataclass(frozen=True)
class StreamContent:
    """What a publication contains of a stream."""

    name: str
    days: StreamDays
    evidence: Evidence
    earlier: Published
    candidates: Iterator[tuple[str, int, float]] | None
    """Path, size and oldest checksum of each (bytes, s since epoch); None where the earlier list is kept."""
    planned_until: date | None
    rules: str
    why_none: str = ""

    @property
    def is_unchanged(self) -> bool:
        """Whether the manifests are those of the last publication."""
        return self.days.revision == self.earlier.revision

    def entry(self, written: Written) -> dict[str, Any]:
        """Make the entry for ``summary.json``: the counts, and under ``evidence`` what :class:`Published` reads."""
        prune, oldest_read = PruneCounts(0, 0, self.why_none), 0.0
        if self.candidates is None:
            prune, oldest_read = self.earlier.prune, self.earlier.oldest_read
        elif self.planned_until is not None:
            prune = PruneCounts(written.count, written.bytes, why_found(written.count, self.planned_until))
            oldest_read = written.oldest_read
        made_of = {
            "revision": self.days.revision,
            "planned_until": None if self.planned_until is None else str(self.planned_until),
            "rules": self.rules,
            "oldest_read": oldest_read,
        }
        return asdict(summarize(self.name, self.days, prune, self.evidence)) | {"evidence": made_of}


def content_of(
    name: str,
    stream: Stream,
    archive: Archive,
    evidence: Evidence,
    now: datetime,
    earlier: Published,
) -> StreamContent | None:
    """Read what to publish of a stream; None where it has no day records yet."""
    days, rules = evidence.days.of_stream(name), rules_of(stream, archive)
    if not days.revision:
        return None
    if why := why_none(name, stream, archive, evidence, now):
        return StreamContent(name, days, evidence, earlier, iter(()), None, rules, why)
    until = last_old_day(name, archive, evidence, now)
    is_kept = (
        (until, rules) == (earlier.planned_until, earlier.rules)
        and evidence.days.revision_until(name, until) <= earlier.revision
        and (not earlier.prune.count or earlier.oldest_read >= (now - archive.scrub).timestamp())
    )
    candidates = None if is_kept else candidates_of(name, stream, archive, evidence, now)
    return StreamContent(name, days, evidence, earlier, candidates, until, rules)
