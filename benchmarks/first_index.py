"""The catalogue's first index of 100,000 files, against a script that opens and writes one after the other."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from aurora_platform.cameras.refresh import refreshing
from benchmarks.inputs import NOW, days_of, into_page_cache, many_images, workspace_in
from benchmarks.measure import Method, WrongAnswerError, alternately
from benchmarks.old_catalog import index_all, rows_of
from benchmarks.subject import LIMIT, OURS, REPLACED, Bench, Figure, Result, times_faster, times_longer

FILES = 100_000


def run(bench: Bench) -> Result:
    """Measure it."""
    with bench.directory() as place:
        bench.log(f"making {FILES:,} files")
        many_images(place, FILES)
        methods = {
            REPLACED: Method(replaced, (place,), forget_replaced),
            OURS: Method(ours, (place,), forget_ours),
            LIMIT: Method(limit, (place,), be_ready),
        }
        found = alternately(methods, partial(_check, place), bench.rounds, bench.log)
    old, mine, least = (Figure.of(found[name]) for name in (REPLACED, OURS, LIMIT))
    return Result(
        "first_index",
        f"Catalogue: first index of {FILES:,} files",
        [
            times_faster("in use today: rglob, Image.open each, one upsert each", old, mine, 4),
            times_longer("limit: os.scandir and stat of the tree", least, mine, 25),
        ],
        [
            "Images of both cameras, 576 a day, of small size (only their headers are read), each with an Exif block "
            "of its own. Before each run all are read into the page cache: a machine may soon forget what is not used, "
            "and the methods take turns.",
            "In use today: all in one transaction. Ours: a transaction a day, flushed at the end, as a backfill is.",
            "A target at the limit is our own choice: each file has to be opened, which costs more than its stat.",
        ],
    )


def ours(place: Path) -> int:
    """Every day refreshed, as a backfill in one run does it."""
    with refreshing(workspace_in(place)) as refresh:
        return sum(refresh(day, NOW).added for day in days_of(FILES))


def be_ready(place: Path) -> None:
    into_page_cache(workspace_in(place).layout.raw)


def forget_ours(place: Path) -> None:
    be_ready(place)
    for path in workspace_in(place).layout.products.glob("wxcam_catalog.sqlite*"):
        path.unlink()


def replaced(place: Path) -> int:
    """The scan of the scripts."""
    return index_all(workspace_in(place).layout.raw, old_database(place))


def forget_replaced(place: Path) -> None:
    be_ready(place)
    old_database(place).unlink(missing_ok=True)


def old_database(place: Path) -> Path:
    """The catalogue of the method in use today."""
    return place / "replaced.sqlite"


def limit(place: Path) -> int:
    """Every directory listed, every file's stat taken."""
    count, pending = 0, [os.fspath(workspace_in(place).layout.raw)]
    while pending:
        with os.scandir(pending.pop()) as found:
            for item in found:
                if item.is_dir(follow_symlinks=False):
                    pending.append(item.path)
                else:
                    count += item.stat(follow_symlinks=False).st_size > 0
    return count


def _check(place: Path, answers: Mapping[str, Any]) -> None:
    """Both catalogues have the same rows, as many as there are files."""
    if set(answers.values()) != {FILES}:
        raise WrongAnswerError(f"{FILES} files there; done: {answers}")
    if rows_of(old_database(place)) != rows_of(workspace_in(place).layout.catalog):
        raise WrongAnswerError("the two catalogues differ")
