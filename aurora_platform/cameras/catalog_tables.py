"""The tables of the catalogue. The dashboard reads ``images``: columns may be added, but never removed."""

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

IMAGES_COLUMNS = {
    "raw_path": ("TEXT", "Path of the file on this machine; the primary key"),
    "image_type": ("TEXT", "Camera: fish_hdr or pano_hdr"),
    "media_kind": ("TEXT", "image or video (an hourly clip)"),
    "mime_type": ("TEXT", "image/jpeg or video/mp4"),
    "stream": ("TEXT", "Directory of the camera: FISH or PANO"),
    "label": ("TEXT", "Name of the camera for people"),
    "time_utc": ("TEXT", "Time of the image, or begin of the clip: ISO 8601, UTC"),
    "time_epoch_ns": ("INTEGER", "The same time in ns since 1970-01-01 00:00 UTC"),
    "day_utc": ("TEXT", "UTC day of that time: YYYY-MM-DD"),
    "relative_path": ("TEXT", "Path relative to the stream's raw directory"),
    "filename": ("TEXT", "File name"),
    "width": ("INTEGER", "Width in px"),
    "height": ("INTEGER", "Height in px"),
    "size_bytes": ("INTEGER", "Size of the file in bytes"),
    "mtime_ns": ("INTEGER", "Time of the last change of the file, in ns since 1970-01-01 00:00 UTC"),
    "indexed_at": ("TEXT", "When the row was written: ISO 8601, UTC"),
}
"""Type and meaning of every column of ``images``."""
