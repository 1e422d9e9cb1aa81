"""The tables of the catalogue. The dashboard reads ``images`` as it is here: a column may come, and none goes."""

from aurora_platform.fs.sqlite import Schema

_TABLES = """
CREATE TABLE IF NOT EXISTS images (
    raw_path TEXT NOT NULL PRIMARY KEY,
    image_type TEXT NOT NULL,
    media_kind TEXT NOT NULL,
    mime_type TEXT NOT NULL,
    stream TEXT NOT NULL,
    label TEXT NOT NULL,
    time_utc TEXT NOT NULL,
    time_epoch_ns INTEGER NOT NULL,
    day_utc TEXT NOT NULL,
    relative_path TEXT NOT NULL,
    filename TEXT NOT NULL,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    indexed_at TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS unreadable_media (
    raw_path TEXT NOT NULL PRIMARY KEY,
    size_bytes INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    error TEXT NOT NULL,
    indexed_at TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS images_by_day ON images (day_utc, image_type, media_kind, time_epoch_ns, raw_path);
CREATE INDEX IF NOT EXISTS images_by_time ON images (image_type, media_kind, time_epoch_ns, raw_path);
"""
SCHEMA = Schema((_TABLES,))
