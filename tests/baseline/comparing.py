"""Compares two homes of the golden day: defines what must be equal, and what may differ.

Values that may differ are listed key by key: durations, process ids, disk space and software versions.
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
_REPORT = re.compile(r"(^|/)ops_monitor/.*\.md$|\.jsonl?$")
_DATABASE = re.compile(r"\.sqlite(-wal|-shm)?$")
_HAS_MEASURES = re.compile(r"(^|/)ops_monitor/")
_WRITTEN_EACH_TIME = re.compile(r"(^|/)(ops_monitor|manifests/(latest|history))/")
CATALOG, LEDGER, EVIDENCE = "products/wxcam/wxcam_catalog.sqlite", "state/ledger.sqlite", "state/evidence.sqlite"
_NOW_NS = 1_772_798_400_000_000_000  # the golden clock, 2026-03-06 12:00 UTC
DATABASES = (CATALOG, "gws/" + CATALOG, LEDGER, EVIDENCE)

# The version of a state directory, which 0.1.1 did not write; the test has its expected content.
LAYOUT_VERSION = "state/layout.json"

# Products that 0.1.1 did not make. The name is the last part of the asset key, and the directory below products/wxcam.
# Their files, the lines of reports about them, and the numbers of lines in the reports of health are not compared.
NEW_PRODUCTS: frozenset[str] = frozenset()

# Files that 0.1.1 did not write: the manifests of each day, and the counts of each verification.
_NEW_FILES = re.compile(r"^((manifests/days|state/verified)/|state/file_systems\.json$|state/\w+-sync\.lock$)")
# In the history of today's code each day is a file; on the golden day there is one, of the same bytes.
_DAY_IN_HISTORY = re.compile(r"(?<=^manifests/history/)([^/]+/[^/]+/)(source|local|gws)/[0-9-]{10}(?=\.tsv$)")
# Tables that 0.1.1 did not have, its columns that were added later, and the key of `summary.json` for them.
NEW_TABLES = frozenset(
    {"day_changed", "day_manifest", "finalized", "read_budget", "revised", "sending", "source_change", "vanished"}
)
_NEW_COLUMNS = re.compile(r"(?<=is_settled INTEGER NOT NULL DEFAULT 0), is_reported INTEGER NOT NULL DEFAULT 1")
_NEW_KEY_OF_SUMMARY = "evidence"
# Keys of a health snapshot that 0.1.1 did not write, with the only value that they may have on the golden day.
_NEW_KEYS_OF_HEALTH = {"restore_drill": None, "retention": None}
# The name of the archive, and which finalizations were listed in it, which 0.1.1 did not store in the ledger.
_NEW_ROWS = re.compile(r"archive/gws|finaliz(ations|ed)/gws/.+")

MEASURED = {
    # Durations, by a clock that is not stopped.
    "seconds",
    # Random ids of Dagster's runs.
    "run_id",
    # Difference between the clock of the host, which runs, and ours, which is stopped.
    "clock_skew_s",
    # Disk space of the machine, which other programs use too.
    "total_bytes",
    "free_bytes",
    "used_percent",
    "inodes_used_percent",
    # Software versions.
    "version",
    "commit",
    "is_modified",
    "python",
    "dagster",
}
_ENTRY_END = re.compile(r"\n(?!  )")  # an indented line belongs to the entry above it
_HEALTH_COUNTS = re.compile(r"\d+ checks: .* green")
_NUMBER = r"\d+(\.\d+)?"
# The same values in texts: only this part of a line is left out.
_MEASURED_TEXTS = [
    re.compile(rf"(?<=observed in ){_NUMBER}(?= s\.)"),
    re.compile(rf"(?<=clock )[+-]{_NUMBER}(?= s against this machine's)"),
    re.compile(rf"{_NUMBER} % in use(, {_NUMBER} [kMGT]?B free)?(, {_NUMBER} % of inodes)?"),
    re.compile(r"(?<=^Software )\S+(, commit \w+)?( \(modified\))?; Dagster [^\s;]+(?=; )", re.MULTILINE),
]

# Texts of 0.1.1 that were reworded since, and how they read now.
REWORDED = [
    (re.compile(old), new)
    for old, new in (
        ("unknown so far: ", "unknown: "),
        ("nothing looks at it: is its arrival sensor on", "the source is not polled; is its arrival sensor on"),
        ("does NOT run", "NOT running"),
        (r"(\d+) runs wait", r"queued runs: \1"),
        ("s against ours", "s against this machine's"),
        (": broke at ", ": broken at "),
        (
            r" broke at (\S+); what comes after that follows from it",
            r" is broken at \1; the later stages fail because of that",
        ),
        ("from the host to here", "from the host to this machine"),
        (
            r"(\d+ of \d+ files) in the archive; missing (\d+) there and (\d+) here, different (\d+) and (\d+); ",
            r"\1 are in the archive; archive: \2 missing, \4 different; local: \3 missing, \5 different; manifests ",
        ),
        (
            "See: the table names each file; touch it on the host if it is whole there",
            "Next: the check's table lists each file; if a file is intact on the host, run touch on it there",
        ),
        ("## How new the newest data is", "## Age of the newest data"),
        (r"\| source \| here \| archive \|", "| source | local | archive |"),
        ("## Not known, or planned to be off", "## Unknown, or planned offline"),
        ("; looked for ", "; observed in "),
        (r"(host archive [^{}]{1,200}?Stage: )source, or", r"\1archive, or"),
        # The sentence of a failed check did not name the first offender.
        (r" \(first: [^\n\"]*", "."),
    )
]


def files_of(home: Path) -> dict[str, str]:
    """Return the SHA-256 of each file except databases and reports, by its path below ``home``."""
    return {
        _DAY_IN_HISTORY.sub(r"\1\2", name): hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in _walk(home, *TREES)
        if not _DATABASE.search(name) and not _REPORT.search(name)
    }


def reports_of(home: Path) -> dict[str, Any]:
    """Return the content of each JSON file and text report, with ``(measured)`` for measured values."""
    texts = {name: path.read_text() for name, path in _walk(home, *TREES, "state") if _REPORT.search(name)}
    return {name: read_report(name, text) for name, text in texts.items() if name != LAYOUT_VERSION}


def read_report(name: str, text: str) -> list[Any]:
    """Return a report for comparison, in today's wording: the entries of a text, or the values of a JSON file."""
    for old, new in REWORDED:
        text = old.sub(new, text)
    if name.endswith(".md"):
        return list(_without_new(_ENTRY_END.split(_without_measures(text))))
    parts = text.splitlines() if name.endswith("l") else [text]
    values = [_without_new(_without_measures(json.loads(part))) for part in parts]
    if name.endswith("/summary.json"):
        for entry in values[0]["streams"].values():
            entry.pop(_NEW_KEY_OF_SUMMARY, None)
    return [_without_keys(value, _NEW_KEYS_OF_HEALTH) for value in values] if _HAS_MEASURES.search(name) else values


def file_states_of(home: Path) -> dict[str, tuple[int, int, int]]:
    """Return inode, size and mtime (ns) of each file that a later run must not rewrite; a rewrite changes them."""
    states = {name: path.stat() for name, path in _walk(home, *TREES) if not _DATABASE.search(name)}
    kept = {name: status for name, status in states.items() if not _WRITTEN_EACH_TIME.search(name)}
    return {name: (status.st_ino, status.st_size, status.st_mtime_ns) for name, status in kept.items()}


def rows_of(file: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Return the sorted rows of every table of a database."""
    with _open(file) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type='table' ORDER BY 1")]
        compared = [table for table in tables if not table.startswith("sqlite_") and table not in NEW_TABLES]
        return {table: _rows(database, table) for table in compared}


def schema_of(file: Path) -> list[tuple[str, ...]]:
    """Return the schema of a database (tables, indexes, ...) as SQL, without what 0.1.1 did not have."""
    with _open(file) as database:
        found = database.execute("SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_master")
        compared = [row for row in found if row[0] != "trigger" and row[2] not in NEW_TABLES]
        return sorted((*row[:3], _NEW_COLUMNS.sub("", row[3])) for row in compared)


def version_of(file: Path) -> int:
    """Return ``user_version``; 0 in databases of 0.1.1."""
    with _open(file) as database:
        return int(database.execute("PRAGMA user_version").fetchone()[0])


def _open(file: Path) -> closing[sqlite3.Connection]:
    return closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True))


def _rows(database: sqlite3.Connection, table: str) -> list[tuple[Any, ...]]:
    cursor = database.execute(f'SELECT * FROM "{table}"')
    columns = [name for name, *_ in cursor.description]
    rows = sorted((_row(dict(zip(columns, row, strict=True))) for row in cursor), key=repr)
    return [row for row in rows if table != "meta" or not _NEW_ROWS.fullmatch(row[0])]


def _row(row: dict[str, Any]) -> tuple[Any, ...]:
    # The size of a report depends on the measured numbers in it.
    if _HAS_MEASURES.search(str(row.get("remote_path"))):
        row["size"] = "(measured)"
    return tuple(_without_mtime(value) for value in row.values())


def _without_keys(value: Any, new: dict[str, Any]) -> Any:
    """Return a mapping without the new keys that have their expected value."""
    if not isinstance(value, dict):
        return value
    return {key: item for key, item in value.items() if key not in new or item != new[key]}


def _without_mtime(value: Any) -> Any:
    """Return a value of a row, with ``(now)`` for an mtime (ns) that was set during the test."""
    return "(now)" if isinstance(value, int) and value > _NOW_NS else value


def _walk(home: Path, *trees: str) -> Iterator[tuple[str, Path]]:
    for tree in trees:
        for path in sorted((home / tree).rglob("*")):
            name = str(path.relative_to(home))
            if path.is_file() and not path.is_symlink() and not is_new(str(path)) and not _NEW_FILES.match(name):
                yield name, path


def is_new(text: str) -> bool:
    """Return whether a path, an asset key or a line of a report is about a product that 0.1.1 did not make."""
    plain = text.replace("\\", "")  # Markdown escapes underscores
    return any(re.search(rf"/{product}\b", plain) for product in NEW_PRODUCTS)


def _without_new(value: Any) -> Any:
    """Return a report without its entries about new products, and without the numbers of entries."""
    if not NEW_PRODUCTS:
        return value
    if isinstance(value, dict):
        return {key: "(counts)" if key == "summary" else _without_new(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_new(item) for item in value if not is_new(_subject(item))]
    return _HEALTH_COUNTS.sub("(counts)", value) if isinstance(value, str) else value


def _subject(entry: Any) -> str:
    """Return what an entry of a report is about."""
    return " ".join(str(entry.get(key)) for key in ("name", "component")) if isinstance(entry, dict) else str(entry)


def _without_measures(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: "(measured)" if key in MEASURED else _without_measures(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_measures(item) for item in value]
    if isinstance(value, str):
        for measured in _MEASURED_TEXTS:
            value = measured.sub("(measured)", value)
    return value
