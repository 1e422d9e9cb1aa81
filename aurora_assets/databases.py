"""Opening an SQLite database that several programs write to."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

_PAUSE = 0.02  # s


def open_wal(path: Path, wait: float) -> sqlite3.Connection:
    """Open a database in WAL mode, make it where there is none, and wait for other writers for so many seconds."""
    db = sqlite3.connect(path, timeout=wait, isolation_level=None)
    until = time.monotonic() + wait
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            # For this SQLite itself does not wait: of two that make one database at once, one would fail.
            if error.sqlite_errorcode == sqlite3.SQLITE_BUSY and time.monotonic() < until:
                time.sleep(_PAUSE)
                continue
            db.close()
            raise
        except sqlite3.DatabaseError:
            db.close()
            raise
        return db
