"""The records of evidence: of a file on one side, and of the last listing of a day on one side."""

from __future__ import annotations

from dataclasses import dataclass

from aurora_platform.fs.versions import FileVersion


@dataclass(frozen=True, slots=True)
class FixityRecord:
    """A file on one side: its version, its SHA-256 where it was read, and the error where reading failed."""

    version: FileVersion
    sha256: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class ListingRecord:
    """The last listing of a day on one side: when (s since epoch, local clock), by which host, and its error."""

    at: float
    clock_ns: int
    host: str
    refused: int
    error: str | None
