"""The SQL tables of the evidence, and the statements that store listings and checksums in them."""

from aurora_platform.archive.day_tables import DAY_TABLES, note_changes
from aurora_platform.archive.finalized_keys import FILL_FINALIZED, FINALIZED
from aurora_platform.archive.read_budget import READ_BUDGET
from aurora_platform.archive.source_changes import REVISED, SOURCE_CHANGE
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
TABLES_SINCE_1 = (SOURCE_CHANGE, VANISHED, READ_BUDGET, REVISED, FINALIZED)
"""The tables of the later migrations of :data:`SCHEMA`, one statement each."""
CHANGE_TABLES = f"""
{SOURCE_CHANGE} {VANISHED} {VANISHED_BY_DAY} {READ_BUDGET}
{note_changes("source_change")}
{note_changes("vanished")}
"""
SCHEMA = Schema((_TABLES, DAY_TABLES, CHANGE_TABLES, REVISED, f"{FINALIZED} {FILL_FINALIZED}"))
CREATE_TEMPORARY = """
CREATE TEMP TABLE IF NOT EXISTS listed (
    path TEXT PRIMARY KEY, day TEXT NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TEMP TABLE IF NOT EXISTS checksum (
    path TEXT PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, sha256 TEXT, error TEXT
) WITHOUT ROWID;
"""
# A new version of a file does not keep the checksum of the old one. Nor does a file that an earlier database has read
# (it has no hashed_at): it is read again.
INSERT_LISTED = """
INSERT INTO file (stream, path, side, day, size, mtime_ns)
SELECT ?, path, ?, day, size, mtime_ns FROM listed WHERE day IN (SELECT value FROM json_each(?))
ON CONFLICT (stream, path, side) DO UPDATE SET
    day = excluded.day, size = excluded.size, mtime_ns = excluded.mtime_ns,
    sha256 = NULL, hashed_at = NULL, error = NULL
WHERE excluded.size != size OR excluded.mtime_ns != mtime_ns OR excluded.day != day
OR (sha256 IS NOT NULL AND hashed_at IS NULL)
"""
DELETE_GONE = """
DELETE FROM file WHERE stream = ? AND side = ? AND day IN (SELECT value FROM json_each(?))
AND path NOT IN (SELECT path FROM listed WHERE day IN (SELECT value FROM json_each(?)))
"""
# The planner knows nothing of the sizes of tables. "+" before a column keeps it from searching a small temporary table
# for each row of a large one.

# Never read in this version, or read too long ago; a hash of the path spreads the files of a day.
SELECT_TO_READ = """
SELECT path FROM file
WHERE stream = :stream AND day = :day AND side = :side AND path > :after AND mtime_ns <= :older_than_ns
AND (hashed_at IS NULL OR hashed_at < :again_before OR hashed_at > :ahead
    OR (hashed_at <= :now - 0.5 * :scrub AND hashed_at <= :now - :scrub * (0.5 + 0.5 * spread(path))))
ORDER BY path LIMIT :most
"""
# One that was read in another version than listed gets no checksum: the next listing has its new version.
SAVE_CHECKSUMS = """
UPDATE file SET
    sha256 = CASE WHEN new.is_same THEN new.sha256 END,
    error = CASE WHEN new.is_same OR new.sha256 IS NULL THEN new.error ELSE 'changed since it was listed' END,
    hashed_at = CASE WHEN new.is_same AND new.sha256 IS NOT NULL THEN :now END
FROM (
    SELECT c.path, c.sha256, c.error,
        c.size = f.size AND (c.mtime_ns = f.mtime_ns OR same_mtime(c.mtime_ns, f.mtime_ns)) AS is_same
    FROM checksum c CROSS JOIN file f ON f.stream = :stream AND f.side = :side AND f.path = c.path
) AS new
WHERE file.stream = :stream AND file.side = :side AND file.path = +new.path
"""
COUNT_UNREAD = """
SELECT count(*) FROM checksum c CROSS JOIN file f ON f.stream = :stream AND f.side = :side AND f.path = c.path
WHERE f.sha256 IS NULL
"""
# ``{index}``: how to find the files of the source.
SELECT_IDENTICAL = """
SELECT s.path, s.size, min(s.hashed_at, h.hashed_at, g.hashed_at)
FROM file s {index} JOIN file h USING (stream, path) JOIN file g USING (stream, path)
WHERE s.stream = ? AND s.side = 'source' AND h.side = 'local' AND g.side = 'gws' AND s.day BETWEEN ? AND ?
AND s.mtime_ns <= ? AND s.size = h.size AND h.size = g.size AND s.sha256 = h.sha256 AND h.sha256 = g.sha256
AND (s.mtime_ns = h.mtime_ns OR same_mtime(s.mtime_ns, h.mtime_ns))
AND (h.mtime_ns = g.mtime_ns OR same_mtime(h.mtime_ns, g.mtime_ns))
AND min(s.hashed_at, h.hashed_at, g.hashed_at) >= ? AND max(s.hashed_at, h.hashed_at, g.hashed_at) <= ?
ORDER BY s.path
"""
