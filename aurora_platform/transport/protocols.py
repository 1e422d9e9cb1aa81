"""What is asked of the outside world: to list, to hash, to copy, to keep an archive, to mail.

A kind of host (:mod:`aurora_platform.config.hosts`) is one module here that implements :class:`HostAccess`, and one
line in :mod:`aurora_platform.transport.connections`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from logging import Logger
from pathlib import Path
from typing import Protocol

from aurora_platform.text import MOST_NAMED
from aurora_platform.transport.checksums import Checksum
from aurora_platform.transport.listing import Listing

# In the work directory: in the making, cut, the list to fetch, and what has come whole and waits to be proved.
NEW, PARTIAL, WANTED, ARRIVED = "new", "partial", "files", "arrived"


class Source(Protocol):
    """A place that can be listed; a directory here, or one of a remote host."""

    def list(self, root: str, below: Sequence[str], without: Sequence[str] = (), named: Sequence[str] = ()) -> Listing:
        """List everything below ``root``, or below those of the directories ``below`` that exist in it.

        What matches one of the patterns ``without`` (of ``fnmatch``, for relative paths) is passed over, and not
        looked into. Where there are patterns ``named`` (see :func:`aurora_platform.transport.listing.matching`), only
        what has such a name is listed, and every symlink: nobody knows what is behind one. The rest costs its name, and
        neither a stat nor a line; directories are looked into whatever their name.

        Raises
        ------
        HostError
            Where the host does not answer, the root does not exist or cannot be read, or the listing was cut off; in
            part only once the entries are used up.
        """
        ...


class Hasher(Protocol):
    """A place whose files can be hashed; here by threads, on a remote host by a program there."""

    def checksums(self, root: str, paths: Sequence[str]) -> Iterator[Checksum]:
        """One digest for each of the relative ``paths`` below ``root``, in any order, as they come.

        No symlink below ``root`` is followed. A file that cannot be hashed is a digest with an error. An iterator that
        is not used up is to be closed: that ends the work.

        Raises
        ------
        HostError
            Where the root does not exist, or a far host breaks off; what it has said so far has been yielded.
        """
        ...


@dataclass(frozen=True)
class TransferResult:
    """Result of a transfer: bytes of file data sent, and bytes that the receiver had from an interrupted one."""

    literal_bytes: int
    matched_bytes: int
    messages: Sequence[str] = ()
    """Lines of rsync about single files that it could not copy."""
    vanished: bool = False
    """Whether files vanished at the sender during the transfer."""

    def __add__(self, other: TransferResult) -> TransferResult:
        return TransferResult(
            self.literal_bytes + other.literal_bytes,
            self.matched_bytes + other.matched_bytes,
            [*self.messages, *other.messages][:MOST_NAMED],
            self.vanished or other.vanished,
        )


class Transfer(Protocol):
    """Something that copies files of a source to here."""

    def fetch(
        self, root: str, paths: Sequence[str], target: Path, work: Path, lock: Path, largest: int
    ) -> TransferResult:
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


class ArchiveHost(Protocol):
    """One host of the archive.

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
        """See :meth:`Source.list`."""
        ...

    def send(
        self, upload_tree: Path, paths: Sequence[str], root: str, work: str, lock: Path, keep_in: str | None = None
    ) -> TransferResult:
        """Copy ``paths`` (relative to ``upload_tree``) to the same places below ``root``.

        Files come under their names whole or not at all, with their mtimes. ``work`` is a directory there for what is
        in the making; ``lock`` is a file here that is held locked for as long as any part of the transfer lives here.
        With ``keep_in``, a directory there that is made, what a file replaces goes to the same place below that one.
        """
        ...


class HostAccess(Protocol):
    """How the hosts of one kind are reached."""

    @property
    def name(self) -> str:
        """What the host is called in reports: its address; empty where it has none."""
        ...

    def login(self) -> None:
        """Open what all who ask this host share, so that it is one attempt; nothing, where nothing is shared."""
        ...

    def source(self) -> Source:
        """The way to list it."""
        ...

    def hasher(self) -> Hasher:
        """The way to hash its files, on its own cores."""
        ...

    def transfer(self, log: Logger, basis: Path | None = None) -> Transfer:
        """The way to copy its files to here.

        ``basis`` is a directory with earlier versions of the files: of what is there too, only the difference is sent.
        """
        ...


class MailTransport(Protocol):
    """A way out for a mail."""

    def send(self, message: EmailMessage) -> str:
        """Hand a mail over and return by what.

        Raises
        ------
        MailError
            Says whether the mail may have left all the same.
        """
        ...
