"""The reading budget of source hosts: how many bytes a verification may read there per UTC day.

A table of the evidence, so that it holds over restarts. What is about to be read is counted before it is read: a killed
run never reads twice for one budget.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date

from aurora_platform.fs.sqlite import Tables

READ_BUDGET = """
CREATE TABLE IF NOT EXISTS read_budget (
    host TEXT NOT NULL,
    day TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    is_used_up INTEGER NOT NULL,
    PRIMARY KEY (host, day)
) WITHOUT ROWID;
"""
_SIZES = "SELECT path, size FROM file WHERE stream = ? AND side = 'source' AND path IN (SELECT value FROM json_each(?))"


class ReadBudget(Tables):
    """The table :data:`READ_BUDGET` in open evidence."""

    def take(self, host: str, day: date, budget: int, stream: str, paths: Sequence[str]) -> list[str]:
        """Choose files of a source that may be read on this day, and count their bytes as read.

        Parameters
        ----------
        host, day
            The source host, and the UTC day; all streams of a host share what is read.
        budget
            Bytes per day. One file that is larger may be read on a day on which nothing else was.
        stream, paths
            Files of the source, in order of preference.
        """
        with self._writing() as db:
            used, _ = self._state(host, day)
            sizes = dict(db.execute(_SIZES, (stream, json.dumps(list(paths)))).fetchall())
            chosen = []
            for path in paths:
                size = sizes.get(path, 0)
                if used + size <= budget or not used:
                    chosen.append(path)
                    used += size
            is_used_up = len(chosen) < len(paths)
            db.execute("INSERT OR REPLACE INTO read_budget VALUES (?, ?, ?, ?)", (host, str(day), used, is_used_up))
        return chosen

    def is_used_up(self, host: str, day: date) -> bool:
        """Whether a file had to wait for another day."""
        return self._state(host, day)[1]

    def used(self, host: str, day: date) -> int:
        """How many bytes were read on a day."""
        return self._state(host, day)[0]

    def _state(self, host: str, day: date) -> tuple[int, bool]:
        row = self._db.execute(
            "SELECT bytes, is_used_up FROM read_budget WHERE host = ? AND day = ?", (host, str(day))
        ).fetchone()
        return (0, False) if row is None else (int(row[0]), bool(row[1]))
