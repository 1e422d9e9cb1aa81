"""Reads the products of a site for a comparison with another site."""

import sqlite3
from contextlib import closing
from pathlib import Path


def tree(root: Path) -> dict[str, bytes]:
    """Return the bytes per relative path below a directory; directories end in '/'. SQLite files are left out."""
    return {
        str(p.relative_to(root)) + "/" * p.is_dir(): b"" if p.is_dir() else p.read_bytes()
        for p in root.rglob("*")
        if ".sqlite" not in p.name
    }


def rows(products: Path, raw: Path) -> list[tuple]:
    """Return the rows of the catalogue without ``indexed_at``, and with paths relative to the raw root."""
    with closing(sqlite3.connect(products / "wxcam" / "wxcam_catalog.sqlite")) as db:
        columns = [c[1] for c in db.execute("PRAGMA table_info(images)") if c[1] not in ("indexed_at", "raw_path")]
        images = db.execute(f"SELECT {', '.join(columns)} FROM images ORDER BY relative_path").fetchall()
        bad = db.execute(
            "SELECT raw_path, size_bytes, mtime_ns, error FROM unreadable_media ORDER BY raw_path"
        ).fetchall()
    return [*images, *((path.removeprefix(str(raw)), *rest) for path, *rest in bad)]
