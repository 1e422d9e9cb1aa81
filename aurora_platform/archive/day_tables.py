"""The SQL of the day records: which days have changed, and what the manifests of each day say.

Triggers note each change of a row, so no statement can forget to. A table that a comparison of a day reads needs such
triggers too (:func:`note_changes`).
"""


def note_changes(table: str, columns: str = "") -> str:
    """Return the triggers that note the days of changed rows of a table with the columns ``stream`` and ``day``.

    ``columns`` (``a, b``): an update counts only where one of them gets another value; by default each counts.
    """
    # Not INSERT OR IGNORE: in a trigger, the statement that fires it decides what happens at a conflict.
    note = (
        "INSERT INTO day_changed SELECT {row}.stream, {row}.day"
        " WHERE NOT EXISTS (SELECT 1 FROM day_changed WHERE stream = {row}.stream AND day = {row}.day);"
    )
    old, new = note.format(row="OLD"), note.format(row="NEW")
    names = [name.strip() for name in columns.split(",") if name.strip()]
    differs = " OR ".join(f"OLD.{name} IS NOT NEW.{name}" for name in names)
    update = f"UPDATE OF {', '.join(names)} ON {table} WHEN {differs}" if names else f"UPDATE ON {table}"
    return (
        f"CREATE TRIGGER IF NOT EXISTS {table}_added AFTER INSERT ON {table} BEGIN {new} END;\n"
        f"CREATE TRIGGER IF NOT EXISTS {table}_deleted AFTER DELETE ON {table} BEGIN {old} END;\n"
        f"CREATE TRIGGER IF NOT EXISTS {table}_updated AFTER {update} BEGIN {old} {new} END;\n"
    )


# A checksum that was read again and is the same (only hashed_at differs) changes no manifest.
DAY_TABLES = f"""
CREATE TABLE IF NOT EXISTS day_changed (
    stream TEXT NOT NULL, day TEXT NOT NULL, PRIMARY KEY (stream, day)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS day_manifest (
    stream TEXT NOT NULL,
    day TEXT NOT NULL,
    revision INTEGER NOT NULL,
    written INTEGER NOT NULL,
    is_stale INTEGER NOT NULL,
    verdict TEXT NOT NULL,
    finalization TEXT NOT NULL,
    source_count INTEGER NOT NULL,
    local_count INTEGER NOT NULL,
    gws_count INTEGER NOT NULL,
    source_newest_ns INTEGER,
    gws_newest_ns INTEGER,
    local_missing_count INTEGER NOT NULL,
    local_mismatch_count INTEGER NOT NULL,
    gws_missing_count INTEGER NOT NULL,
    gws_mismatch_count INTEGER NOT NULL,
    pending_count INTEGER NOT NULL,
    identical_count INTEGER NOT NULL,
    is_final INTEGER NOT NULL,
    PRIMARY KEY (stream, day)
) WITHOUT ROWID;
{note_changes("file", "day, size, mtime_ns, sha256, error")}
{note_changes("released")}
INSERT OR IGNORE INTO day_changed SELECT DISTINCT stream, day FROM file;
"""
