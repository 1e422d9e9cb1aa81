"""The stored decisions about changes of finalized files: a table of the evidence, which passes of all kinds share."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date

from aurora_platform.archive.change_rule import Change, ChangeState, Decision, decide
from aurora_platform.archive.fixity_record import FixityRecord
from aurora_platform.fs.sqlite import Tables
from aurora_platform.fs.versions import FileVersion

SOURCE_CHANGE = """
CREATE TABLE IF NOT EXISTS source_change (
    stream TEXT NOT NULL,
    path TEXT NOT NULL,
    day TEXT NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    is_same_version INTEGER NOT NULL,
    state TEXT NOT NULL,
    why TEXT NOT NULL,
    since REAL NOT NULL,
    PRIMARY KEY (stream, path)
) WITHOUT ROWID;
"""
# The files whose change was a revision, and whose day is finalized with the new version. No comparison of a day reads
# them, so they need no triggers, and make no day be compared again.
REVISED = """
CREATE TABLE IF NOT EXISTS revised (
    stream TEXT NOT NULL, path TEXT NOT NULL, day TEXT NOT NULL, PRIMARY KEY (stream, path)
) WITHOUT ROWID;
"""
_SELECT_CHANGED_DAYS = """
SELECT DISTINCT s.day FROM file s LEFT JOIN file g ON g.stream = s.stream AND g.path = s.path AND g.side = 'gws'
WHERE s.stream = ? AND s.side = 'source' AND s.day IN (SELECT value FROM json_each(?)) AND (
    g.path IS NULL OR g.size != s.size OR g.sha256 != s.sha256
    OR (g.mtime_ns != s.mtime_ns AND NOT same_mtime(g.mtime_ns, s.mtime_ns))
)
"""
_ROW = "path, day, size, mtime_ns, is_same_version, state, why"


class SourceChanges(Tables):
    """The tables :data:`SOURCE_CHANGE` and :data:`REVISED` in open evidence."""

    def of_stream(self, stream: str) -> dict[str, Decision]:
        """Return path -> the stored decision, over all days of a stream."""
        rows = self._db.execute(f"SELECT {_ROW} FROM source_change WHERE stream = ? ORDER BY day, path", (stream,))
        return {decision.change.path: decision for decision in _decisions(rows)}

    def held(self, stream: str) -> dict[str, FileVersion]:
        """Return path -> the version at the source that is held back."""
        return {
            path: decision.change.version
            for path, decision in self.of_stream(stream).items()
            if decision.state is ChangeState.HELD and not decision.change.is_same_version
        }

    def since(self, stream: str, path: str) -> float | None:
        """When the change of a file was first seen, in s since epoch; None where it has not changed."""
        row = self._db.execute("SELECT since FROM source_change WHERE stream = ? AND path = ?", (stream, path))
        return next((float(since) for (since,) in row), None)

    def revised(self, stream: str, first_revisable: date) -> dict[str, date]:
        """Return path -> day of the files that were finalized again with another version, from a day on."""
        rows = self._db.execute(
            "SELECT path, day FROM revised WHERE stream = ? AND day >= ?", (stream, str(first_revisable))
        )
        return {path: date.fromisoformat(day) for path, day in rows}

    def days_to_decide(self, stream: str, days: Iterable[date]) -> set[date]:
        """Return the days of which a file differs at the source from its copy in the archive, or has none there."""
        rows = self._db.execute(_SELECT_CHANGED_DAYS, (stream, json.dumps([str(day) for day in days])))
        return {date.fromisoformat(day) for (day,) in rows}

    def store(
        self,
        stream: str,
        changes: Sequence[Change],
        finalized_files: Mapping[date, int],
        first_revisable: date,
        compared_days: Collection[date] = (),
        proved: Mapping[date, Mapping[str, FixityRecord]] | None = None,
        listed_at: float = math.inf,
    ) -> dict[str, Decision]:
        """Decide about changes (:func:`aurora_platform.archive.change_rule.decide`) and store the decisions.

        Parameters
        ----------
        compared_days
            Days of which ``changes`` has every change: what else is stored of them is settled, and deleted.
        proved
            Day -> its finalized files, at least those that have a stored decision. A stored change that is finalized
            by now is settled, and its file counts as revised.
        listed_at
            When the source was listed for ``compared_days`` (s since epoch): later decisions are not settled by it.

        Returns
        -------
        dict
            Path -> decision, for the whole stream.
        """
        found = {change.path for change in changes}
        with self._writing():  # one transaction: a pass of the mirror and a verification may both decide
            earlier = self.of_stream(stream)
            settled = {
                path
                for path, decision in earlier.items()
                if decision.change.day in compared_days
                and path not in found
                and not listed_at < (self.since(stream, path) or 0) <= time.time()
            }
            finalized = {path: decision for path, decision in earlier.items() if _is_finalized(decision, proved or {})}
            revised = {path for path, decision in finalized.items() if decision.state is not ChangeState.ACCEPTED}
            self._settle(stream, settled | revised, finalized, first_revisable)
            kept = {path: decision for path, decision in earlier.items() if path not in settled | revised}
            all_revised = self.revised(stream, first_revisable)
            decisions = decide(changes, kept, finalized_files, first_revisable, all_revised)
            self._insert(stream, (new for new in decisions if new != kept.get(new.change.path)), kept)
        return kept | {decision.change.path: decision for decision in decisions}

    def _settle(
        self, stream: str, settled: Collection[str], finalized: Mapping[str, Decision], first_revisable: date
    ) -> None:
        """Delete settled decisions in the caller's transaction, and keep which files are revised.

        A change that an operator has accepted ends that for its day: somebody has looked at it.
        """
        paths = [(stream, path) for path in settled]
        self._db.executemany("DELETE FROM source_change WHERE stream = ? AND path = ?", paths)
        for path in finalized.keys() & settled:
            decision = finalized[path]
            if decision.state is ChangeState.ACCEPTED:
                self._db.execute("DELETE FROM revised WHERE stream = ? AND day = ?", (stream, str(decision.change.day)))
            else:
                row = (stream, path, str(decision.change.day))
                self._db.execute("INSERT OR REPLACE INTO revised VALUES (?, ?, ?)", row)
        self._db.execute("DELETE FROM revised WHERE stream = ? AND day < ?", (stream, str(first_revisable)))

    def accept(self, stream: str, decisions: Iterable[Decision]) -> None:
        """Store that an operator accepts exactly these versions."""
        accepted = [Decision(decision.change, ChangeState.ACCEPTED) for decision in decisions]
        with self._writing():
            self._insert(stream, accepted, self.of_stream(stream))

    def _insert(self, stream: str, decisions: Iterable[Decision], earlier: Mapping[str, Decision]) -> None:
        """Insert decisions in the caller's transaction; the time of a version that is known stays."""
        now = time.time()
        for decision in decisions:
            change = decision.change
            stored = earlier.get(change.path)
            is_stored = stored is not None and stored.change.version == change.version
            since = (self.since(stream, change.path) if is_stored else None) or now
            self._db.execute(
                "INSERT OR REPLACE INTO source_change VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(stream, change.path, str(change.day), *change.version, change.is_same_version),
                    *(str(decision.state), decision.why, since),
                ),
            )


def _decisions(rows: Iterable[tuple[str, str, int, int, int, str, str]]) -> Iterator[Decision]:
    for path, day, size, mtime_ns, is_same_version, state, why in rows:
        change = Change(path, date.fromisoformat(day), FileVersion(size, mtime_ns), bool(is_same_version))
        yield Decision(change, ChangeState(state), why)


def _is_finalized(decision: Decision, proved: Mapping[date, Mapping[str, FixityRecord]]) -> bool:
    """Whether the day of a change is finalized with its new version by now."""
    change = decision.change
    finalized = proved.get(change.day, {}).get(change.path)
    return finalized is not None and not change.is_same_version and finalized.version.same_as(change.version)
