"""What is known of a file in one place, and of a look at a place: the words in which evidence is told."""

from __future__ import annotations

from dataclasses import dataclass

from aurora_platform.fs.versions import same_mtime


@dataclass(frozen=True, slots=True)
class Known:
    """A file in one place: size in bytes, mtime in ns since epoch, SHA-256 where it was read, and why not."""

    size: int
    mtime_ns: int
    sha256: str | None = None
    error: str | None = None

    def is_version_of(self, other: Known) -> bool:
        """Whether size and mtime are the same."""
        return self.size == other.size and same_mtime(self.mtime_ns, other.mtime_ns)


@dataclass(frozen=True, slots=True)
class Look:
    """When a day was last listed in one place (s since epoch, by our clock), by which host, and what went wrong."""

    at: float
    clock_ns: int
    host: str
    refused: int
    error: str | None
