"""Measures the first index of 100,000 files, against a script that opens and writes the files one by one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from aurora_platform.cameras.refresh import refreshing
from benchmarks.inputs import NOW, days_of, many_images, read_all_files, workspace_in
from benchmarks.measure import Method, WrongAnswerError, alternately
from benchmarks.old_catalog import index_all, rows_of
from benchmarks.subject import LIMIT, OURS, REPLACED, Bench, Figure, Result, times_faster, times_longer

FILES = 100_000


def run(bench: Bench) -> Result:
    """Measure the three methods."""
    with bench.directory() as directory:
        bench.log(f"making {FILES:,} files")
        many_images(directory, FILES)
        methods = {
            REPLACED: Method(replaced, (directory,), remove_replaced),
            OURS: Method(ours, (directory,), remove_ours),
            LIMIT: Method(limit, (directory,), fill_page_cache),
        }
        found = alternately(methods, partial(_check, directory), bench.rounds, bench.log)
    old, mine, least = (Figure.of(found[name]) for name in (REPLACED, OURS, LIMIT))
    return Result(
        "first_index",
        f"Catalogue: first index of {FILES:,} files",
        [
            times_faster("in use today: rglob, Image.open each, one upsert each", old, mine, 4),
            times_longer("limit: os.scandir and stat of the tree", least, mine, 25),
        ],
        [
            "Images of both cameras, 576 per day, of small size (only their headers are read), each with a different "
            "Exif block. Before each run all are read into the page cache, because the methods alternate and a machine "
            "may soon drop unused pages.",
            "In use today: all in one transaction. Ours: a transaction per day, flushed at the end, like a backfill.",
            "The target at the limit is our own choice: each file must be opened, which costs more than its stat.",
        ],
    )


def ours(directory: Path) -> int:
    """Refresh every day, as a backfill in one run does."""
    with refreshing(workspace_in(directory)) as refresh:
        return sum(refresh(day, NOW).added for day in days_of(FILES))


def fill_page_cache(directory: Path) -> None:
    read_all_files(workspace_in(directory).layout.raw)


def remove_ours(directory: Path) -> None:
    fill_page_cache(directory)
    for path in workspace_in(directory).layout.products.glob("wxcam_catalog.sqlite*"):
        path.unlink()


def replaced(directory: Path) -> int:
    """Index as the scripts do."""
    return index_all(workspace_in(directory).layout.raw, old_database(directory))


def remove_replaced(directory: Path) -> None:
    fill_page_cache(directory)
    old_database(directory).unlink(missing_ok=True)


def old_database(directory: Path) -> Path:
    """Return the catalogue of the method in use today."""
    return directory / "replaced.sqlite"


def limit(directory: Path) -> int:
    """List every directory and stat every file."""
    count, pending = 0, [os.fspath(workspace_in(directory).layout.raw)]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for item in entries:
                if item.is_dir(follow_symlinks=False):
                    pending.append(item.path)
                else:
                    count += item.stat(follow_symlinks=False).st_size > 0
    return count


def _check(directory: Path, answers: Mapping[str, Any]) -> None:
    """Check that both catalogues have the same rows, one per file."""
    if set(answers.values()) != {FILES}:
        raise WrongAnswerError(f"{FILES} files on disk; answers: {answers}")
    if rows_of(old_database(directory)) != rows_of(workspace_in(directory).layout.catalog):
        raise WrongAnswerError("the two catalogues differ")
