"""What the parts ask of the outside world: something that copies files to here, and a host of the archive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from aurora_platform.text import SHOWN
from aurora_platform.transport.listing import Listing

# In the work directory: in the making, cut, the list to fetch, and what has come whole and waits to be proved.
NEW, PARTIAL, WANTED, ARRIVED = "new", "partial", "files", "arrived"


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


@dataclass(frozen=True)
class Sent:
    """What a transfer says of itself: bytes sent, bytes that were there of a cut one, and what it complains of."""

    literal_bytes: int
    matched_bytes: int
    complaints: Sequence[str] = ()
    vanished: bool = False
    """Whether files went away here while it ran."""


class FarSide(Protocol):
    """One host of the archive; :mod:`aurora_platform.transport.archive_host` implements it.

    Everything that it does ends in time, and where it could not do it raises :class:`HostError` or
    :class:`TransferError`.
    """

    @property
    def name(self) -> str:
        """What it is called in reports."""
        ...

    def prepare(self, root: str, work: str) -> None:
        """Make the directory ``root`` there and ``work`` in it, and see that programs can be run there."""
        ...

    def list(self, root: str, below: Sequence[str]) -> Listing:
        """See :meth:`aurora_platform.transport.listing.Source.list`."""
        ...

    def send(
        self, view: Path, paths: Sequence[str], root: str, work: str, lock: Path, keep_in: str | None = None
    ) -> Sent:
        """Copy ``paths`` (relative to ``view``) to the same places below ``root``.

        Files come under their names whole or not at all, with their mtimes. ``work`` is a directory there for what is
        in the making; ``lock`` is a file here that is held locked for as long as any part of the transfer lives here.
        With ``keep_in``, a directory there that is made, what a file replaces goes to the same place below that one.
        """
        ...
