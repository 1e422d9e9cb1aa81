"""What is known of a file in one place, and of a look at a place: the words in which evidence is told."""

from __future__ import annotations

from dataclasses import dataclass

from aurora_platform.fs.versions import FileVersion


@dataclass(frozen=True, slots=True)
class FixityRecord:
    """A file in one place: its version, the SHA-256 of its bytes where they were read, and why they were not."""

    version: FileVersion
    sha256: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """When a day was last listed in one place (s since epoch, by our clock), by which host, and what went wrong."""

    at: float
    clock_ns: int
    host: str
    refused: int
    error: str | None
