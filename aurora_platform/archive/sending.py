"""Notes what pushes are sending, so that no verification finalizes what it listed before a push replaced it.

A push and a verification of the same day may run at the same time. A push notes its files before it sends them, and
decides once more which of them a finalization vouches for, both under the lock of the finalizations. A verification
looks for such notes, and publishes a finalization, under the same lock. So either the push sees the finalization and
keeps the version that it replaces, or the verification sees the note and leaves the day to the next pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

from aurora_platform.errors import BusyError
from aurora_platform.fs.locks import hold_lock
from aurora_platform.fs.sqlite import Tables

# Files with a day are noted by their day, the others by their path: so the table stays small.
SENDING = """
CREATE TABLE IF NOT EXISTS sending (
    archive TEXT NOT NULL,
    file_group TEXT NOT NULL,
    day TEXT NOT NULL,
    remote_path TEXT NOT NULL,
    lane TEXT NOT NULL,
    number INTEGER NOT NULL,
    is_over INTEGER NOT NULL,
    PRIMARY KEY (archive, file_group, day, remote_path, lane)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS sending_by_number ON sending (archive, number);
CREATE INDEX IF NOT EXISTS sending_open ON sending (archive, lane) WHERE NOT is_over;
"""
_NO_WAIT = timedelta(0)


class SentKey(NamedTuple):
    """What a note is about: the files of a day, or one file without a day."""

    group: str
    """The ledger's group."""
    day: date | None
    remote_path: str = ""


@dataclass(frozen=True)
class Sent:
    """What was sent since a moment, or is being sent."""

    days: Set[tuple[str, date]]
    """Group and day."""
    paths: Set[str]
    """Absolute remote paths of files without a day."""


class Sending(Tables):
    """The table :data:`SENDING` in an open ledger."""

    def begin(self, archive: str, lane: str, keys: Iterable[SentKey]) -> None:
        """Note that a push is about to send some files."""
        with self._writing() as db:
            number = self.moment(archive) + 1
            db.executemany(
                "INSERT OR REPLACE INTO sending VALUES (?, ?, ?, ?, ?, ?, 0)",
                ((archive, key.group, str(key.day or ""), key.remote_path, lane, number) for key in set(keys)),
            )

    def end(self, archive: str, lane: str) -> None:
        """Note that a push has sent what it noted, or gave up."""
        with self._writing() as db:
            db.execute(
                "UPDATE sending SET is_over = 1, number = ? WHERE archive = ? AND lane = ? AND NOT is_over",
                (self.moment(archive) + 1, archive, lane),
            )

    def begin_listing(self, archive: str, locks: Path) -> int:
        """Return the moment before a verification lists its places, for :meth:`since`.

        First ends the notes of pushes that were killed: no process, also no rsync, holds the locks of their lane.
        """
        rows = self._db.execute("SELECT DISTINCT lane FROM sending WHERE archive = ? AND NOT is_over", (archive,))
        for (lane,) in rows.fetchall():
            with (
                suppress(BusyError),
                hold_lock(locks, push_lock(lane), _NO_WAIT),
                hold_lock(locks, transfer_lock(lane), _NO_WAIT),
            ):
                self.end(archive, lane)
        return self.moment(archive)

    def moment(self, archive: str) -> int:
        """Return the number of the newest note: what is noted from now on has a higher one. No clock is needed."""
        row = self._db.execute("SELECT max(number) FROM sending WHERE archive = ?", (archive,)).fetchone()
        return int(row[0] or 0)

    def since(self, archive: str, moment: int) -> Sent:
        """Return what was sent since a moment, or is being sent."""
        rows = self._db.execute(
            "SELECT file_group, day, remote_path FROM sending WHERE archive = :archive AND number > :moment"
            " UNION SELECT file_group, day, remote_path FROM sending WHERE archive = :archive AND NOT is_over",
            {"archive": archive, "moment": moment},
        ).fetchall()
        days = {(group, date.fromisoformat(day)) for group, day, _ in rows if day}
        return Sent(days, {path for _, day, path in rows if not day})


def push_lock(lane: str) -> str:
    """The lock that a push of a lane holds while it works."""
    return f"push.{lane}"


def transfer_lock(lane: str) -> str:
    """The lock that the rsync of a push holds; it may outlive the process of the push."""
    return f"push.{lane}.transfer"
