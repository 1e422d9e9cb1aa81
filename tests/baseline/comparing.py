"""How two homes of the golden day are held against each other: what must be equal, and what may differ.

What may differ is named here: how long something took, which process did it, what free room a disk has, and where a
test's own sshd listens.
"""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

TREES = ("raw", "products", "manifests", "gws")
_REPORTS = re.compile(r"(^|/)ops_monitor/|\.json$|\.jsonl$")
_DATABASE = re.compile(r"\.sqlite(-wal|-shm)?$")
_CATALOG, _LEDGER, _EVIDENCE = "products/wxcam/wxcam_catalog.sqlite", "state/ledger.sqlite", "state/evidence.sqlite"
_NOW_NS = 1_772_798_400_000_000_000  # the golden clock, 2026-03-06 12:00 UTC
DATABASES = (_CATALOG, "gws/" + _CATALOG, _LEDGER, _EVIDENCE)

# When a row was written, and what was measured; the rest is what the platform knows.
_OF_THE_RUN = {"indexed_at", "seconds", "host"}
_MEASURED = re.compile(
    r"seconds|_s$|rate|pid|free|used|load|uptime|memory|version|commit|is_modified|bytes_total|percent|inodes|run_id"
)
_MEASURED_TEXT = re.compile(r"\d+ % in use|clock [+-]")


def files_of(home: Path) -> dict[str, str]:
    """The SHA-256 of each file that is not a database or a report, by its path below ``home``."""
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in _walk(home)
        if not _DATABASE.search(name) and not _REPORTS.search(name)
    }


def reports_of(home: Path) -> dict[str, Any]:
    """Each JSON file as it reads, without what is measured."""
    found = {name: path.read_text() for name, path in _walk(home) if name.endswith((".json", ".jsonl"))}
    return {
        name: [_without_measures(json.loads(line)) for line in (text.splitlines() if name.endswith("l") else [text])]
        for name, text in found.items()
    }


def places_of(home: Path) -> dict[str, tuple[int, int, int]]:
    """The inode, size and mtime (ns) of each file that is no database or report: what is written anew differs."""
    found = {name: path.stat() for name, path in _walk(home) if not _DATABASE.search(name)}
    kept = {name: status for name, status in found.items() if not _REPORTS.search(name) and "manifests/" not in name}
    return {name: (status.st_ino, status.st_size, status.st_mtime_ns) for name, status in kept.items()}


def rows_of(file: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every table of a database, its rows in order, without the columns of :data:`_OF_THE_RUN`."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type='table' ORDER BY 1")]
        return {table: _rows(database, table) for table in tables if not table.startswith("sqlite_")}


def _rows(database: sqlite3.Connection, table: str) -> list[tuple[Any, ...]]:
    columns = [name for _, name, *_ in database.execute(f'PRAGMA table_info("{table}")')]
    kept = [name for name in columns if name not in _OF_THE_RUN]
    chosen = ", ".join(f'"{name}"' for name in kept)
    rows = database.execute(f'SELECT {chosen} FROM "{table}"').fetchall()
    return sorted((tuple(_stamped(value) for value in row) for row in rows), key=repr)


def _stamped(value: Any) -> Any:
    """A value of a row; an mtime in ns that the kernel has given in the test itself says only that it did."""
    return "(now)" if isinstance(value, int) and value > _NOW_NS else value


def _walk(home: Path) -> Iterator[tuple[str, Path]]:
    for tree in TREES:
        for path in sorted((home / tree).rglob("*")):
            if path.is_file() and not path.is_symlink():
                yield str(path.relative_to(home)), path


def _without_measures(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_measures(item) for key, item in value.items() if not _MEASURED.search(key)}
    if isinstance(value, list):
        return [_without_measures(item) for item in value]
    return "(measured)" if isinstance(value, str) and _MEASURED_TEXT.search(value) else value
