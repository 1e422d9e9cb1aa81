"""The rows of the ledger as plain data: a file to copy, its row, and the counts of a group."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Annotated

from aurora_platform.fs.versions import FileVersion
from aurora_platform.report_fields import BYTES, SHOWN, Show


@dataclass(frozen=True, slots=True)
class Item:
    """A file to copy: local path, absolute remote path, version, UTC day."""

    local_path: str
    remote_path: str
    version: FileVersion
    day: date | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """The row of a file in the ledger; times are ISO 8601, UTC."""

    archive: str
    remote_path: str
    local_path: str
    file_group: str
    day: str | None
    local_sha256: str | None
    remote_sha256: str | None
    queued_at: str
    copied_at: str | None
    verified_at: str | None
    parked_at: str | None
    attempts: int
    last_error: str | None
    version: FileVersion


@dataclass(frozen=True, slots=True)
class Counts:
    """The files of one group of an archive, counted by state. files = queued + parked + copied."""

    group: str
    files: Annotated[int, Show(rank=1)]
    bytes: Annotated[int, BYTES]
    queued: Annotated[int, Show(rank=4)]
    parked: Annotated[int, SHOWN]
    copied: Annotated[int, Show(rank=2)]
    verified: Annotated[int, Show(rank=3)]
