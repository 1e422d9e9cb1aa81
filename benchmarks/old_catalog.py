"""Fills the catalogue like the scripts in use today (from their description): always all files."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from PIL import Image

_NAME = re.compile(r"HDR_(\d{8}_\d{6})(?:_PANO)?\.jpg", re.IGNORECASE)
_COLUMNS = (
    "raw_path", "image_type", "media_kind", "mime_type", "stream", "label", "time_utc", "time_epoch_ns", "day_utc",
    "relative_path", "filename", "width", "height", "size_bytes", "mtime_ns", "indexed_at",
)  # fmt: skip
_TABLE = f"CREATE TABLE IF NOT EXISTS images ({', '.join(_COLUMNS)}, PRIMARY KEY (raw_path))"
_UPSERT = f"INSERT OR REPLACE INTO images VALUES ({', '.join('?' * len(_COLUMNS))})"


def index_all(raw: Path, database: Path) -> int:
    """Open every image below ``raw`` and write its row; return the number of images."""
    return _scan(raw, database, skip_unchanged=False)


def rescan_all(raw: Path, database: Path) -> int:
    """Stat every image below ``raw``, open and write new and changed ones; return their number."""
    return _scan(raw, database, skip_unchanged=True)


def _scan(raw: Path, database: Path, skip_unchanged: bool) -> int:
    written = 0
    with closing(sqlite3.connect(database)) as db:
        db.execute(_TABLE)
        for path in raw.rglob("*"):
            match = _NAME.fullmatch(path.name)
            if match is None:
                continue
            status = path.stat()
            if skip_unchanged:
                stored = db.execute("SELECT size_bytes, mtime_ns FROM images WHERE raw_path = ?", (str(path),))
                if stored.fetchone() == (status.st_size, status.st_mtime_ns):
                    continue
            with Image.open(path) as image:
                width, height = image.size
            time = datetime.strptime(match[1], "%Y%m%d_%H%M%S").replace(tzinfo=UTC)
            stream = path.relative_to(raw).parts[0]
            row = (
                str(path),
                f"{stream.lower()}_hdr",
                "image",
                "image/jpeg",
                stream,
                f"{stream} HDR",
                f"{time:%Y-%m-%d %H:%M:%S}",
                int(time.timestamp()) * 1_000_000_000,
                f"{time:%Y-%m-%d}",
                str(path.relative_to(raw)),
                path.name,
                width,
                height,
                status.st_size,
                status.st_mtime_ns,
                datetime.now(UTC).isoformat(timespec="seconds"),
            )
            db.execute(_UPSERT, row)
            written += 1
        db.commit()
    return written


def rows_of(database: Path) -> list[tuple[object, ...]]:
    """Return all rows of a catalogue without ``indexed_at``, ordered by path."""
    with closing(sqlite3.connect(database)) as db:
        return db.execute(f"SELECT {', '.join(_COLUMNS[:-1])} FROM images ORDER BY raw_path").fetchall()
