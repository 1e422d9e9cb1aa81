"""One day of the catalogue refreshed, among 100,000 files; and that it does not matter how many there are."""

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
"""Files of the day that are new each time: some minutes of both cameras."""
FLAT = 1.5


def run(bench: Bench) -> Result:
    """Measure a refresh beside a rescan, and at three sizes of the catalogue."""
    with bench.directory() as place:
        bench.log(f"making {FILES:,} files, and both catalogues of them")
        workspace = many_images(place, FILES)
        with refreshing(workspace) as refresh:
            for day in days_of(FILES):
                refresh(day, NOW)
        index_all(workspace.layout.raw, old_database(place))
        methods = {
            REPLACED: Method(replaced, (place,), forget_replaced),
            OURS: Method(ours, (place,), forget_ours),
            LIMIT: Method(limit, (place,)),
        }
        found = alternately(methods, partial(_check, place), bench.rounds, bench.log)
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
            "In use today: rglob of the whole tree, a stat and a query for each file; those that are known are not "
            "opened, which is kind to it. Ours: its transaction is flushed to disk.",
            "The target at the limit and the bound of what is flat are our own choice.",
        ],
    )


def _by_size(bench: Bench) -> dict[str, Measured]:
    """The same refresh with catalogues of three sizes: rows of the past, without their files."""
    with bench.directory() as place:
        methods = {}
        for size in SIZES:
            bench.log(f"making a catalogue of {size:,} rows")
            here = place / str(size)
            here.mkdir()
            workspace = many_images(here, _A_DAY)
            refresh_day(workspace, DAY, NOW)
            fill(workspace, size)
            methods[f"{size:,} rows"] = Method(ours, (here,), forget_ours)
        return alternately(methods, _check_counts, bench.rounds, bench.log)


_A_DAY = 2 * timedelta(days=1) // timedelta(minutes=5)


def fill(workspace: CameraWorkspace, size: int) -> None:
    """Rows as of a long archive: those of the day, moved into the past."""
    with open_writable(workspace) as db:
        rows = db.execute("SELECT * FROM images ORDER BY raw_path").fetchall()
        db.execute("BEGIN")
        db.executemany(f"INSERT INTO images VALUES ({', '.join('?' * len(rows[0]))})", _past(rows, size - len(rows)))
        db.execute("COMMIT")
        (count,) = db.execute("SELECT count(*) FROM images").fetchone()
    if count != size:
        raise WrongAnswerError(f"{count} rows, not {size}")


def _past(rows: list[tuple[Any, ...]], count: int) -> Iterator[list[Any]]:
    for number in range(count):
        ago = timedelta(days=1 + number // len(rows))
        row = list(rows[number % len(rows)])
        for column in (0, 9, 10):  # raw_path, relative_path, filename
            row[column] = row[column].replace(compact(DAY), compact(DAY - ago))
        row[7] -= int(ago.total_seconds()) * 1_000_000_000
        row[6], row[8] = f"{DAY - ago} {row[6][11:]}", str(DAY - ago)
        yield row


def ours(place: Path) -> int:
    """One day, of which some files are new."""
    report = refresh_day(workspace_in(place), DAY, NOW)
    return report.added + 1000 * report.unchanged


def forget_ours(place: Path) -> None:
    _forget_newest(workspace_in(place).layout.catalog)


def _forget_newest(catalog: Path) -> None:
    with closing(sqlite3.connect(catalog)) as db:
        newest = "SELECT raw_path FROM images WHERE day_utc = ? ORDER BY time_epoch_ns DESC, raw_path DESC LIMIT ?"
        db.execute(f"DELETE FROM images WHERE raw_path IN ({newest})", (str(DAY), NEW))
        db.commit()


def replaced(place: Path) -> int:
    """Every file of the tree looked at, to find those that are new."""
    return rescan_all(workspace_in(place).layout.raw, old_database(place))


def forget_replaced(place: Path) -> None:
    _forget_newest(old_database(place))


def limit(place: Path) -> int:
    """The day's directories listed, and its files' stats taken."""
    found = 0
    for camera in ("FISH", "PANO"):
        for directory, _, _ in os.walk(workspace_in(place).layout.raw / camera / compact(DAY)):
            with os.scandir(directory) as items:
                found += sum(item.stat(follow_symlinks=False).st_size > 0 for item in items if item.is_file())
    return found


def _check_counts(answers: Mapping[str, Any]) -> None:
    expected = NEW + 1000 * (_A_DAY - NEW)
    if set(answers.values()) != {expected}:
        raise WrongAnswerError(f"{answers}, not {expected}")


def _check(place: Path, answers: Mapping[str, Any]) -> None:
    """Both catalogues are whole again, and equal."""
    _check_counts({OURS: answers[OURS]})
    if (answers[REPLACED], answers[LIMIT]) != (NEW, _A_DAY):
        raise WrongAnswerError(f"{answers}")
    rows = rows_of(workspace_in(place).layout.catalog)
    if len(rows) != FILES or rows != rows_of(old_database(place)):
        raise WrongAnswerError("the two catalogues differ")
