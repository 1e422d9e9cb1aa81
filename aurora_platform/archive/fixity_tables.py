"""The SQL tables of the evidence, and the two statements that store a listing in them."""

from aurora_platform.archive.source_changes import SOURCE_CHANGE
from aurora_platform.archive.vanished_files import VANISHED, VANISHED_BY_DAY
from aurora_platform.fs.sqlite import Schema

_TABLES = """
CREATE TABLE IF NOT EXISTS file (
    stream TEXT NOT NULL,
    path TEXT NOT NULL,
    side TEXT NOT NULL,
    day TEXT NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    sha256 TEXT,
    hashed_at REAL,
    error TEXT,
    PRIMARY KEY (stream, path, side)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS file_by_day ON file (stream, day, path);
CREATE TABLE IF NOT EXISTS look (
    stream TEXT NOT NULL,
    day TEXT NOT NULL,
    side TEXT NOT NULL,
    at REAL NOT NULL,
    clock_ns INTEGER NOT NULL,
    host TEXT NOT NULL,
    refused INTEGER NOT NULL,
    error TEXT,
    PRIMARY KEY (stream, day, side)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS place (
    stream TEXT NOT NULL,
    side TEXT NOT NULL,
    base TEXT NOT NULL,
    PRIMARY KEY (stream, side)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS verdict (
    stream TEXT NOT NULL, day TEXT NOT NULL, counts TEXT NOT NULL, PRIMARY KEY (stream, day)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS released (
    stream TEXT NOT NULL,
    path TEXT NOT NULL,
    day TEXT NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (stream, path)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS accepted_empty (stream TEXT NOT NULL PRIMARY KEY);
"""
TABLES_SINCE_1 = (SOURCE_CHANGE, VANISHED)
"""The tables that the first version of the evidence does not have, one statement each."""
SCHEMA = Schema((_TABLES, f"{SOURCE_CHANGE} {VANISHED} {VANISHED_BY_DAY}"))
CREATE_LISTED = """
CREATE TEMP TABLE IF NOT EXISTS listed (
    path TEXT PRIMARY KEY, day TEXT NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL
) WITHOUT ROWID;
"""
# A new version of a file does not keep the checksum of the old one.
INSERT_LISTED = """
INSERT INTO file (stream, path, side, day, size, mtime_ns)
SELECT ?, path, ?, day, size, mtime_ns FROM listed WHERE day IN (SELECT value FROM json_each(?))
ON CONFLICT (stream, path, side) DO UPDATE SET
    day = excluded.day, size = excluded.size, mtime_ns = excluded.mtime_ns,
    sha256 = NULL, hashed_at = NULL, error = NULL
WHERE excluded.size != size OR excluded.mtime_ns != mtime_ns OR excluded.day != day
"""
DELETE_GONE = """
DELETE FROM file WHERE stream = ? AND side = ? AND day IN (SELECT value FROM json_each(?))
AND path NOT IN (SELECT path FROM listed WHERE day IN (SELECT value FROM json_each(?)))
"""
