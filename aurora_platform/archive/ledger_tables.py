"""The SQL of the ledger: its tables, and the statements that change many rows at once."""

from aurora_platform.archive.replacement_log import REPLACED, add_is_reported
from aurora_platform.archive.sending import SENDING
from aurora_platform.fs.sqlite import Schema

_TABLES = """
CREATE TABLE IF NOT EXISTS file (
    archive TEXT NOT NULL,
    remote_path TEXT NOT NULL,
    local_path TEXT NOT NULL,
    file_group TEXT NOT NULL,
    day TEXT,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    local_sha256 TEXT,
    remote_sha256 TEXT,
    queued_at TEXT NOT NULL,
    copied_at TEXT,
    verified_at TEXT,
    parked_at TEXT,
    attempts INTEGER NOT NULL DEFAULT 0,
    last_error TEXT,
    PRIMARY KEY (archive, remote_path)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS file_by_group ON file (archive, file_group, day, copied_at);
CREATE INDEX IF NOT EXISTS file_open ON file (archive, file_group, day) WHERE copied_at IS NULL;
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
SCHEMA = Schema((f"{_TABLES} {REPLACED}", add_is_reported, SENDING))
_OTHER_VERSION = "excluded.size != size OR excluded.mtime_ns != mtime_ns"
# A new version is a new file: the state and the errors of the old version do not apply to it.
OFFER = f"""
INSERT INTO file (archive, remote_path, local_path, file_group, day, size, mtime_ns, queued_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (archive, remote_path) DO UPDATE SET
    local_path = excluded.local_path, file_group = excluded.file_group, day = excluded.day,
    size = excluded.size, mtime_ns = excluded.mtime_ns, queued_at = excluded.queued_at,
    local_sha256 = NULL, remote_sha256 = NULL, copied_at = NULL, verified_at = NULL, parked_at = NULL,
    attempts = 0, last_error = NULL
WHERE {_OTHER_VERSION}
"""
CREATE_TEMPORARY = """
CREATE TEMP TABLE IF NOT EXISTS listed (
    path TEXT PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TEMP TABLE IF NOT EXISTS proof (
    path TEXT PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
    local_sha256 TEXT NOT NULL, remote_sha256 TEXT NOT NULL
) WITHOUT ROWID;
"""
IS_LISTED_VERSION = "file.size = l.size AND (file.mtime_ns = l.mtime_ns OR same_mtime(file.mtime_ns, l.mtime_ns))"
# "+": the planner must search the table of files for each row of the small temporary table, not the other way round.
# A row that already has this result is not written again.
MARK_VERIFIED = f"""
UPDATE file SET
    local_sha256 = l.local_sha256,
    remote_sha256 = l.remote_sha256,
    verified_at = CASE WHEN l.local_sha256 = l.remote_sha256 THEN :now END,
    last_error = CASE WHEN l.local_sha256 != l.remote_sha256 THEN :differs END,
    copied_at = coalesce(copied_at, :now)
FROM proof l
WHERE file.archive = :archive AND file.remote_path = +l.path AND {IS_LISTED_VERSION}
AND (
    file.local_sha256 IS NOT l.local_sha256
    OR file.remote_sha256 IS NOT l.remote_sha256
    OR file.copied_at IS NULL
    OR (file.verified_at IS NULL) != (l.local_sha256 != l.remote_sha256)
    OR file.last_error IS NOT CASE WHEN l.local_sha256 != l.remote_sha256 THEN :differs END
)
"""
