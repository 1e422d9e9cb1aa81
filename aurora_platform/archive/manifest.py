"""Manifests on disk: ``relpath size mtime checksum``, tab-separated, one file a place or a finalized day.

``mtime`` is seconds since epoch, UTC, with nine decimals; ``checksum`` is SHA-256 in hex, empty where the file was not
read. A path has no tab or newline: such names are refused where they are listed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from aurora_platform.archive.fixity_record import FixityRecord
from aurora_platform.errors import EvidenceError
from aurora_platform.fs.paths import UnsafePathError, safe_relative
from aurora_platform.fs.versions import FileVersion

COLUMNS = {
    "relpath": ("text", "Path relative to the stream's directory"),
    "size": ("integer", "Size in bytes"),
    "mtime": ("decimal", "mtime in s since the epoch, UTC, with nine decimals"),
    "checksum": ("text", "SHA-256 in hex; empty where the file was not read"),
}
"""Type and meaning of every column."""
HEADER = "\t".join(COLUMNS) + "\n"
_BILLION = 1_000_000_000
_LINE = re.compile(r"([^\t\n]+)\t([0-9]{1,19})\t(-?[0-9]{1,12})\.([0-9]{9})\t([0-9a-f]{64}|)")


def write(place: Path, files: Iterable[tuple[str, FixityRecord]]) -> tuple[int, str]:
    """Write a manifest; returns how many files it has, and the SHA-256 of its bytes."""
    digest, count = hashlib.sha256(HEADER.encode()), 0
    with place.open("wb") as out:
        out.write(HEADER.encode())
        for path, record in files:
            size, mtime_ns = record.version
            line = f"{path}\t{size}\t{_seconds(mtime_ns)}\t{record.sha256 or ''}\n".encode()
            digest.update(line)
            out.write(line)
            count += 1
    return count, digest.hexdigest()


def read(place: Path) -> Iterator[tuple[str, FixityRecord]]:
    """Read a manifest, line by line.

    Raises
    ------
    EvidenceError
        Where a line is none of a manifest; what lies on disk may have been written by anybody.
    """
    with place.open(encoding="utf-8", newline="\n") as lines:
        if next(lines, "") != HEADER:
            raise EvidenceError(f"{place}: not a manifest: its first line is not {HEADER.strip()!r}")
        for number, line in enumerate(lines, 2):
            match = _LINE.fullmatch(line.rstrip("\n"))
            try:
                if match is None:
                    raise ValueError("not four columns: relpath, size, mtime, checksum")
                path = safe_relative(match[1].encode())
            except (ValueError, UnsafePathError) as error:
                raise EvidenceError(f"{place}: line {number}: {error}") from None
            version = FileVersion(int(match[2]), int(match[3]) * _BILLION + int(match[4]))
            yield path, FixityRecord(version, match[5] or None)


def digest_of(place: Path) -> str:
    """The SHA-256 of a manifest's bytes."""
    with place.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _seconds(mtime_ns: int) -> str:
    return f"{mtime_ns // _BILLION}.{mtime_ns % _BILLION:09d}"
