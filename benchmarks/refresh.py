"""Measures the refresh of one day of a catalogue of 100,000 files, and its dependence on the number of files."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from aurora_platform.cameras.catalog import open_writable
from aurora_platform.cameras.refresh import refresh_day, refreshing
from aurora_platform.cameras.workspace import CameraWorkspace
from aurora_platform.layout import compact
from benchmarks.first_index import old_database
from benchmarks.inputs import DAY, NOW, days_of, many_images, workspace_in
from benchmarks.measure import Measured, Method, WrongAnswerError, alternately
from benchmarks.old_catalog import index_all, rescan_all, rows_of
from benchmarks.subject import LIMIT, OURS, REPLACED, Bench, Figure, Result, times_faster, times_longer

FILES = 100_000
SIZES = (10_000, 100_000, 1_000_000)
NEW = 10
"""New files of the day in each run: some minutes of both cameras."""
FLAT = 1.5


def run(bench: Bench) -> Result:
    """Measure a refresh against a rescan, and at three sizes of the catalogue."""
    with bench.directory() as directory:
        bench.log(f"making {FILES:,} files and both catalogues")
        workspace = many_images(directory, FILES)
        with refreshing(workspace) as refresh:
            for day in days_of(FILES):
                refresh(day, NOW)
        index_all(workspace.layout.raw, old_database(directory))
        methods = {
            REPLACED: Method(replaced, (directory,), remove_replaced),
            OURS: Method(ours, (directory,), remove_ours),
            LIMIT: Method(limit, (directory,)),
        }
        found = alternately(methods, partial(_check, directory), bench.rounds, bench.log)
    by_size = _by_size(bench)
    old, mine, least = (Figure.of(found[name]) for name in (REPLACED, OURS, LIMIT))
    small, middle, large = (Figure.of(by_size[f"{size:,} rows"]) for size in SIZES)
    return Result(
        "refresh",
        f"Catalogue: one day refreshed among {FILES:,} files, {NEW} of its 576 new",
        [
            times_faster("in use today: a full rescan", old, mine, 50),
            times_longer("limit: os.scandir and stat of the day", least, mine, 5),
            times_longer(f"flat: {SIZES[1]:,} rows, beside {SIZES[0]:,}", small, middle, FLAT),
            times_longer(f"flat: {SIZES[2]:,} rows, beside {SIZES[0]:,}", small, large, FLAT),
        ],
        [
            "In use today: rglob of the whole tree, a stat and a query per file; catalogued files are not opened, "
            "which favours this method. Ours: its transaction is flushed to disk.",
            "The target at the limit and the bound of the flat rows are our own choice.",
        ],
    )


def _by_size(bench: Bench) -> dict[str, Measured]:
    """Measure the same refresh with catalogues of three sizes: old rows, without their files."""
    with bench.directory() as directory:
        methods = {}
        for size in SIZES:
            bench.log(f"making a catalogue of {size:,} rows")
            below = directory / str(size)
            below.mkdir()
            workspace = many_images(below, _PER_DAY)
            refresh_day(workspace, DAY, NOW)
            fill(workspace, size)
            methods[f"{size:,} rows"] = Method(ours, (below,), remove_ours)
        return alternately(methods, _check_counts, bench.rounds, bench.log)


_PER_DAY = 2 * timedelta(days=1) // timedelta(minutes=5)


def fill(workspace: CameraWorkspace, size: int) -> None:
    """Add rows like those of a long archive: copies of the rows of the day, moved to earlier days."""
    with open_writable(workspace) as db:
        rows = db.execute("SELECT * FROM images ORDER BY raw_path").fetchall()
        db.execute("BEGIN")
        db.executemany(
            f"INSERT INTO images VALUES ({', '.join('?' * len(rows[0]))})", _old_rows(rows, size - len(rows))
        )
        db.execute("COMMIT")
        (count,) = db.execute("SELECT count(*) FROM images").fetchone()
    if count != size:
        raise WrongAnswerError(f"{count} rows, not {size}")


def _old_rows(rows: list[tuple[Any, ...]], count: int) -> Iterator[list[Any]]:
    for number in range(count):
        ago = timedelta(days=1 + number // len(rows))
        row = list(rows[number % len(rows)])
        for column in (0, 9, 10):  # raw_path, relative_path, filename
            row[column] = row[column].replace(compact(DAY), compact(DAY - ago))
        row[7] -= int(ago.total_seconds()) * 1_000_000_000
        row[6], row[8] = f"{DAY - ago} {row[6][11:]}", str(DAY - ago)
        yield row


def ours(directory: Path) -> int:
    """Refresh one day with some new files."""
    report = refresh_day(workspace_in(directory), DAY, NOW)
    return report.added + 1000 * report.unchanged


def remove_ours(directory: Path) -> None:
    _remove_newest(workspace_in(directory).layout.catalog)


def _remove_newest(catalog: Path) -> None:
    with closing(sqlite3.connect(catalog)) as db:
        newest = "SELECT raw_path FROM images WHERE day_utc = ? ORDER BY time_epoch_ns DESC, raw_path DESC LIMIT ?"
        db.execute(f"DELETE FROM images WHERE raw_path IN ({newest})", (str(DAY), NEW))
        db.commit()


def replaced(directory: Path) -> int:
    """Rescan every file of the tree to find new ones."""
    return rescan_all(workspace_in(directory).layout.raw, old_database(directory))


def remove_replaced(directory: Path) -> None:
    _remove_newest(old_database(directory))


def limit(directory: Path) -> int:
    """List the directories of the day and stat its files."""
    count = 0
    for camera in ("FISH", "PANO"):
        for parent, _, _ in os.walk(workspace_in(directory).layout.raw / camera / compact(DAY)):
            with os.scandir(parent) as items:
                count += sum(item.stat(follow_symlinks=False).st_size > 0 for item in items if item.is_file())
    return count


def _check_counts(answers: Mapping[str, Any]) -> None:
    expected = NEW + 1000 * (_PER_DAY - NEW)
    if set(answers.values()) != {expected}:
        raise WrongAnswerError(f"{answers}, not {expected}")


def _check(directory: Path, answers: Mapping[str, Any]) -> None:
    """Check that both catalogues are complete again, and equal."""
    _check_counts({OURS: answers[OURS]})
    if (answers[REPLACED], answers[LIMIT]) != (NEW, _PER_DAY):
        raise WrongAnswerError(f"{answers}")
    rows = rows_of(workspace_in(directory).layout.catalog)
    if len(rows) != FILES or rows != rows_of(old_database(directory)):
        raise WrongAnswerError("the two catalogues differ")
