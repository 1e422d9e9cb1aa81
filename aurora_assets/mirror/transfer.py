"""What moves files from a host to here, as the mirror asks for it; :mod:`resources.rsync` implements it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from aurora_assets.files import SHOWN


@dataclass(frozen=True)
class Transferred:
    """What a transfer says of itself: bytes of file data sent, and bytes that a cut transfer had left here."""

    literal_bytes: int
    matched_bytes: int
    complaints: Sequence[str] = ()
    """What it said of single files that it could not copy."""

    def __add__(self, other: Transferred) -> Transferred:
        return Transferred(
            self.literal_bytes + other.literal_bytes,
            self.matched_bytes + other.matched_bytes,
            [*self.complaints, *other.complaints][:SHOWN],
        )


class Transfer(Protocol):
    """Something that copies files of a source to here."""

    def fetch(self, root: str, paths: Sequence[str], target: Path, work: Path, lock: Path, largest: int) -> Transferred:
        """Copy ``paths`` (relative to ``root`` on the source) to the same places below ``target``.

        Files come under their names whole or not at all, with their mtimes. ``work`` is for what is in the making;
        ``lock`` is a file that the transfer holds locked for as long as any part of it lives. No file may become larger
        than ``largest`` bytes: one that the host says is larger is left out.

        Raises
        ------
        OversizeError
            Where more came of a file than ``largest`` bytes, whatever the host said.
        TransferError
            Where it ended early; what has arrived whole is in place.
        """
        ...
