"""Hashing in bulk on this machine, against the limit: hashlib.sha256 over memory, on every core, without any file.

Large files are bound by the hash itself; small ones by opening them. The files are in the page cache, so no disk is
measured. Two figures for the large ones: the clock, which other programs on this machine disturb, and the processors'
own time, which they hardly do.
"""

import hashlib
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from rich.table import Table

from aurora_assets.digests import Digest, LocalHasher

LARGE_FILES, LARGE_BYTES = 64, 16 << 20
SMALL_FILES, SMALL_BYTES = 20_000, 4_000
REPEATS = 5
GOAL = 0.8


def run() -> Table:
    """Measure and return the table."""
    table = Table("what", "limit", "ours", "of the limit", title="SHA-256 of files in bulk")
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        large = _make(root, "large", LARGE_FILES, LARGE_BYTES)
        small = _make(root, "small", SMALL_FILES, SMALL_BYTES)
        _check(root, [*large[:4], *small[:200]])
        # By turns, so that what disturbs one disturbs the other.
        text = (root / large[0]).read_bytes()
        pairs = [(_timed(lambda: _limit(text)), _timed(lambda: _hash(root, large))) for _ in range(REPEATS)]
        gigabytes = LARGE_FILES * LARGE_BYTES / 1e9
        for number, clock in enumerate(("GB/s", "GB for each s of a core")):
            limit, ours = (gigabytes / median(pair[side][number] for pair in pairs) for side in (0, 1))
            verdict = "reached" if ours >= GOAL * limit else "not reached"
            name = f"{LARGE_FILES} files of {LARGE_BYTES >> 20} MiB, {clock}"
            table.add_row(name, f"{limit:.2f}", f"{ours:.2f}", f"{ours / limit:.0%}: {verdict} (at least {GOAL:.0%})")
        seconds = median(_timed(lambda: _hash(root, small))[0] for _ in range(REPEATS))
        rate = SMALL_FILES / seconds
        table.add_row(f"{SMALL_FILES:,} files of {SMALL_BYTES:,} bytes, files/s", "-", f"{rate:,.0f}", "-")
    return table


def _make(root: Path, kind: str, count: int, size: int) -> list[str]:
    paths = [f"{kind}/{number // 1000:02}/{number:06}" for number in range(count)]
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(os.urandom(size))
    return paths


def _hash(root: Path, paths: list[str]) -> list[Digest]:
    found = list(LocalHasher().digests(str(root), paths))
    assert len(found) == len(paths)
    assert not any(digest.error for digest in found), "a benchmark's file was not hashed"
    return found


def _check(root: Path, paths: list[str]) -> None:
    said = subprocess.run(["sha256sum", "--", *paths], cwd=root, capture_output=True, text=True, check=True).stdout
    expected = {line[66:]: line[:64] for line in said.splitlines()}
    assert {digest.path: digest.sha256 for digest in _hash(root, paths)} == expected, "sha256sum sees it differently"


def _limit(text: bytes) -> None:
    """As much as the large files hold, hashed from memory on every core."""
    cores = len(os.sched_getaffinity(0))

    def work() -> None:
        for _ in range(LARGE_FILES // cores):
            hashlib.sha256(text).digest()

    threads = [threading.Thread(target=work) for _ in range(cores)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of the clock, and seconds of the cores."""
    clock, cores = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - clock, time.process_time() - cores
