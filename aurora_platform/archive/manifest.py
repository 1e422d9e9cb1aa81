"""Manifests on disk: ``relpath size mtime checksum``, tab-separated; one file per side, and one per finalized day.

``mtime`` is seconds since epoch, UTC, with nine decimals; ``checksum`` is SHA-256 in hex, empty where the file was not
read. No path has a tab or a newline: a listing refuses such names.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from aurora_platform.archive.fixity_record import FixityRecord
from aurora_platform.errors import EvidenceError
from aurora_platform.fs.paths import safe_relative
from aurora_platform.fs.versions import FileVersion

COLUMNS = {
    "relpath": ("text", "Path relative to the stream's directory"),
    "size": ("integer", "Size in bytes"),
    "mtime": ("decimal", "Time of the last change, in s since 1970-01-01 00:00 UTC, with nine decimals"),
    "checksum": (
        "text",
        "SHA-256 in hex; empty where the file was not read; `lost` where an operator accepted its loss; `earlier` "
        "where only an earlier revision lists the file, so the archive may still have it",
    ),
}
"""Type and meaning of every column."""
HEADER = "\t".join(COLUMNS) + "\n"
_BILLION = 1_000_000_000
LOST = "lost"
"""In the place of a checksum: the source had this version, and an operator accepted that it is lost."""
EARLIER = "earlier"
"""In the place of a checksum: an earlier revision listed this version, and this one does not. A push that replaces the
file in the archive keeps what is there."""
_WORDS = (LOST, EARLIER)
_LINE = re.compile(r"([^\t\n]+)\t([0-9]{1,19})\t(-?[0-9]{1,12})\.([0-9]{9})\t([0-9a-f]{64}|lost|earlier|)")


def write(path: Path, files: Iterable[tuple[str, FixityRecord]]) -> tuple[int, str]:
    """Write a manifest; returns its number of files, without those that are lost or of an earlier revision, and the
    SHA-256 of its bytes.
    """
    sha256, count = hashlib.sha256(HEADER.encode()), 0
    with path.open("wb") as out:
        out.write(HEADER.encode())
        for relpath, record in files:
            line = line_of(relpath, record)
            sha256.update(line)
            out.write(line)
            count += is_listed(record)
    return count, sha256.hexdigest()


def line_of(relpath: str, record: FixityRecord) -> bytes:
    """Return the line of a file."""
    size, mtime_ns = record.version
    checksum = record.error if record.error in _WORDS else record.sha256 or ""
    return f"{relpath}\t{size}\t{_seconds(mtime_ns)}\t{checksum}\n".encode()


def sha256_of_files(files: Iterable[tuple[str, FixityRecord]]) -> str:
    """Return the SHA-256 that a manifest of these files would have, without writing it."""
    sha256 = hashlib.sha256(HEADER.encode())
    for relpath, record in files:
        sha256.update(line_of(relpath, record))
    return sha256.hexdigest()


def read(path: Path) -> Iterator[tuple[str, FixityRecord]]:
    """Read a manifest, line by line; a lost file has the error :data:`LOST`, one of before :data:`EARLIER`.

    Raises
    ------
    EvidenceError
        Where a line is not valid: another program may have written the file.
    """
    with path.open(encoding="utf-8", newline="\n") as lines:
        if next(lines, "") != HEADER:
            raise EvidenceError(f"{path}: not a manifest: its first line is not {HEADER.strip()!r}")
        for number, line in enumerate(lines, 2):
            try:
                yield parse_line(line.rstrip("\n"))
            except ValueError as error:
                raise EvidenceError(f"{path}: line {number}: {error}") from None


def parse_line(line: str) -> tuple[str, FixityRecord]:
    """Read one line, without its end; :class:`ValueError` where it is not valid."""
    match = _LINE.fullmatch(line)
    if match is None:
        raise ValueError("not four columns: relpath, size, mtime, checksum")
    relpath = safe_relative(match[1].encode())
    version = FileVersion(int(match[2]), int(match[3]) * _BILLION + int(match[4]))
    word = match[5] if match[5] in _WORDS else None
    return relpath, FixityRecord(version, None if word else match[5] or None, word)


def is_listed(record: FixityRecord) -> bool:
    """Whether a line of a manifest is of a file that the archive had, and not of one that is lost or of before."""
    return record.error not in _WORDS


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a manifest's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _seconds(mtime_ns: int) -> str:
    return f"{mtime_ns // _BILLION}.{mtime_ns % _BILLION:09d}"
