"""The file of the vanished files of a day: a manifest with one more column, which says what an operator has accepted.

``relpath size mtime checksum accepted``; ``accepted`` is empty, ``pruned`` or ``lost``. It stands beside the manifests
of its day, so that a new evidence database need not forget what the lost one had recorded.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from aurora_platform.archive import manifest
from aurora_platform.archive.fixity_record import FixityRecord
from aurora_platform.archive.vanished_files import Acceptance, VanishedFile
from aurora_platform.errors import EvidenceError

HEADER = manifest.HEADER.rstrip("\n") + "\taccepted\n"
_ACCEPTED = {"", *Acceptance}
_MAX_LINE = 4096  # bytes
_MAX_BYTES = 1 << 30  # of a file
_MAX_NUMBER = 1 << 63  # SQLite stores no larger one
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def write(path: Path, files: Iterable[VanishedFile]) -> None:
    """Write the vanished files of a day."""
    with path.open("wb") as out:
        out.write(HEADER.encode())
        for file in files:
            out.write(manifest.line_of(file.path, file.record).rstrip(b"\n") + f"\t{file.accepted}\n".encode())


def read(path: Path) -> Iterator[VanishedFile]:
    """Read the vanished files of a day.

    Raises
    ------
    EvidenceError
        Where the file is damaged, or another program has written it.
    """
    for line, where in _lines(path, HEADER):
        text, _, accepted = line.rpartition("\t")
        if accepted not in _ACCEPTED:
            raise EvidenceError(f"{where}: the last column is not empty, pruned or lost")
        relpath, record = _parsed(text, where)
        yield VanishedFile(relpath, record, accepted)


def read_side(path: Path) -> Iterator[tuple[str, FixityRecord]]:
    """Read the manifest of one side of a day, in bounded memory; :class:`EvidenceError` where it is damaged."""
    for line, where in _lines(path, manifest.HEADER):
        yield _parsed(line, where)


def is_storable(record: FixityRecord) -> bool:
    """Whether a database can store the numbers of a record that was read from a file."""
    return record.version.size < _MAX_NUMBER and abs(record.version.mtime_ns) < _MAX_NUMBER


def _parsed(line: str, where: str) -> tuple[str, FixityRecord]:
    try:
        relpath, record = manifest.parse_line(line)
    except ValueError as error:
        raise EvidenceError(f"{where}: {error}") from None
    if record.error is not None or not is_storable(record):
        raise EvidenceError(f"{where}: not the size, mtime or checksum of a file")
    return relpath, record


def _lines(path: Path, header: str) -> Iterator[tuple[str, str]]:
    """Yield each line of a file after its header, without its end, and where it is, for a message."""
    try:
        with os.fdopen(os.open(path, _OPEN), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_BYTES:
                raise EvidenceError(f"{path}: not a regular file of at most {_MAX_BYTES} bytes")
            if file.readline(_MAX_LINE) != header.encode():
                raise EvidenceError(f"{path}: its first line is not {header.strip()!r}")
            number = 1
            while line := file.readline(_MAX_LINE):
                number += 1
                if not line.endswith(b"\n"):
                    raise EvidenceError(f"{path}: line {number} has no end")
                yield line[:-1].decode(), f"{path}: line {number}"
    except UnicodeDecodeError:
        raise EvidenceError(f"{path}: a line is not UTF-8") from None
    except OSError as error:
        raise EvidenceError(f"{path}: {error.strerror}") from None
