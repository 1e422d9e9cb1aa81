"""Measures hashing of many files on this machine, against the limit: hashlib.sha256 of memory, on every core.

The hash itself limits large files; opening limits small files, so their limit is a plain loop that only opens, reads
and hashes each file. The files are in the page cache, so no disk is measured. Large files have two figures: clock time,
which other programs on this machine disturb, and CPU time, which they hardly affect.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from aurora_platform.transport.checksums import LocalHasher
from benchmarks.measure import Measured, Method, WrongAnswerError, alternately
from benchmarks.subject import LIMIT, OURS, Bench, Figure, Result, Row, at_least

LARGE_FILES, LARGE_BYTES = 64, 16 << 20
SMALL_FILES, SMALL_BYTES = 20_000, 4_000
GOAL = 80  # % of the limit

_NOTES = [
    "Limit of the large files: hashlib hashes as many bytes from memory, on all cores, without any file.",
    "Limit of the small files: a plain loop opens, reads and hashes each file, without any check of the read.",
    "All files are in the page cache. The bound for the small files is our own choice.",
]


def run(bench: Bench) -> Result:
    """Measure large and small files."""
    with bench.directory() as root:
        bench.log("making the files")
        large = make_files(root, "large", LARGE_FILES, LARGE_BYTES)
        small = make_files(root, "small", SMALL_FILES, SMALL_BYTES)
        of_large = _measure(bench, root, large, Method(hash_memory, (root / large[0], LARGE_FILES)))
        of_small = _measure(bench, root, small, Method(_hash_plainly, (root, small)))
    gigabytes = LARGE_FILES * LARGE_BYTES / 1e9
    what = f"hashlib in memory: {LARGE_FILES} files of {LARGE_BYTES >> 20} MiB"
    return Result(
        "hashing",
        "SHA-256 of files in bulk",
        [
            _row(f"{what}, by the clock", of_large, gigabytes, "GB/s"),
            _row(f"{what}, by the time of the cores", of_large, gigabytes, "GB per s of a core", by_cores=True),
            _row(
                f"plain loop: {SMALL_FILES:,} files of {SMALL_BYTES:,} bytes", of_small, SMALL_FILES, "files/s", goal=50
            ),
        ],
        _NOTES,
    )


def make_files(root: Path, kind: str, count: int, size: int) -> list[str]:
    """Write files of random bytes below ``root``, a thousand per directory; return their relative paths."""
    paths = [f"{kind}/{number // 1000:02}/{number:06}" for number in range(count)]
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(os.urandom(size))
    return paths


def combine_checksums(checksums: Iterable[tuple[str, str]]) -> str:
    """Combine the checksums of many files (path, SHA-256), in any order, to one."""
    return hashlib.sha256("".join(f"{sha256}  {path}\n" for path, sha256 in sorted(checksums)).encode()).hexdigest()


def run_sha256sum(root: Path, paths: Sequence[str]) -> dict[str, str]:
    """Run coreutils' sha256sum on these files; return the SHA-256 per path."""
    output = subprocess.run(["sha256sum", "--", *paths], cwd=root, capture_output=True, text=True, check=True).stdout
    return {line[66:]: line[:64] for line in output.splitlines()}


def _measure(bench: Bench, root: Path, paths: list[str], limit: Method) -> dict[str, Measured]:
    expected = combine_checksums(run_sha256sum(root, paths).items())

    def check(answers: Mapping[str, Any]) -> None:
        if answers[OURS] != expected:
            raise WrongAnswerError("the checksums differ from those of sha256sum")
        if answers[LIMIT] not in (LARGE_FILES, expected):
            raise WrongAnswerError(f"the limit did not hash all files: {answers[LIMIT]}")

    return alternately({LIMIT: limit, OURS: Method(_hash, (root, paths))}, check, bench.rounds, bench.log)


def _row(
    what: str, found: dict[str, Measured], amount: float, unit: str, by_cores: bool = False, goal: float = GOAL
) -> Row:
    """Return a row with our rate in % of the limit's rate."""

    def rate(name: str) -> Figure:
        runs = found[name].runs
        return Figure(tuple(amount / (r.cores if by_cores else r.seconds) for r in runs), unit, found[name].peak_mb)

    limit, ours = rate(LIMIT), rate(OURS)
    return Row(what, ours, 100 * ours.median / limit.median, at_least(goal, "%"), limit)


def _hash(root: Path, paths: list[str]) -> str:
    checksums = LocalHasher().checksums(str(root), paths)
    return combine_checksums((checksum.path, checksum.sha256 or checksum.error or "") for checksum in checksums)


def hash_memory(file: Path, times: int) -> int:
    """Hash the bytes of a file ``times`` times from memory, on all cores; return the number of hashes."""
    text, cores = file.read_bytes(), len(os.sched_getaffinity(0))
    hashes: list[bytes] = []

    def work(share: int) -> None:
        hashes.extend(hashlib.sha256(text).digest() for _ in range(share))

    shares = [times // cores + (number < times % cores) for number in range(cores)]
    threads = [threading.Thread(target=work, args=(share,)) for share in shares]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(hashes)


def _hash_plainly(root: Path, paths: list[str]) -> str:
    checksums = []
    for path in paths:
        with open(root / path, "rb", buffering=0) as file:
            checksums.append((path, hashlib.sha256(file.read()).hexdigest()))
    return combine_checksums(checksums)
