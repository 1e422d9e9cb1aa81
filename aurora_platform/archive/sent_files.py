"""The files of an upload tree: what was sent, and what arrived in the archive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aurora_platform.archive.ledger import Item
from aurora_platform.fs.versions import FileVersion, ScannedEntry


@dataclass(frozen=True, slots=True)
class StagedFile:
    """A file in the upload tree: its ledger group, its staged version, its archive directory and its path in it."""

    group: str
    item: Item
    root: str
    path: str


def arrived_versions(
    files: Sequence[StagedFile], listed: Mapping[str, ScannedEntry[str]], sent: Path
) -> dict[str, FileVersion]:
    """Return path -> version of the files that a listing of the archive has as they were sent.

    ``sent`` is the part of the upload tree that has them; what was written there since is left out.
    """
    return {
        file.path: found.version
        for file in files
        if (found := listed.get(file.path)) is not None
        and found.version.same_as(file.item.version)
        and is_unchanged(sent / file.path, file.item)
    }


def is_unchanged(path: Path, item: Item) -> bool:
    """Whether a file in the upload tree is still the same version: a linked one may have been written in place."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return True  # vanished; the listing shows whether it arrived before
    return FileVersion.of(status).same_as(item.version)


def failure_reason(path: str, messages: Sequence[str]) -> str:
    """Why a file did not arrive: the transfer's message that names it, if there is one."""
    names = (f'{path}"', f"/.{path.rpartition('/')[2]}.")  # its own name, or rsync's temporary name
    message = next((line for line in messages if any(name in line for name in names)), None)
    return message or "after the transfer the archive does not have it in the version that was sent"
