"""Protocols for the outside world: listing, hashing and copying files, archive hosts, mail.

A kind of host (:mod:`aurora_platform.config.hosts`) is one module of this package that implements
:class:`HostAccess`, and one line in :mod:`aurora_platform.transport.connections`.
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

# In the work directory: new files, partial files, the list of files to copy, and complete files that wait for a check.
NEW, PARTIAL, WANTED, ARRIVED = "new", "partial", "files", "arrived"


class Source(Protocol):
    """A directory that can be listed: a local one, or one on a remote host."""

    def list(self, root: str, below: Sequence[str], without: Sequence[str] = (), named: Sequence[str] = ()) -> Listing:
        """List everything below ``root``, or only below the directories ``below`` that exist in it.

        Paths that match a pattern of ``without`` (``fnmatch``, relative paths) are skipped, with everything below them.
        With patterns ``named`` (see :func:`aurora_platform.transport.listing.matching`), only entries with such a name
        are listed, and every symlink, because its target is unknown. Other entries need neither a stat nor a line;
        directories are always searched, whatever their name.

        Raises
        ------
        HostError
            If the host does not answer, the root does not exist or cannot be read, or the listing was cut off; some of
            these only at the end of the entries.
        """
        ...


class Hasher(Protocol):
    """Hashes files: on this machine by threads, on a remote host by a program there."""

    def checksums(self, root: str, paths: Sequence[str]) -> Iterator[Checksum]:
        """Yield one checksum per relative path in ``paths`` below ``root``, in any order, as they are computed.

        No symlink below ``root`` is followed. A file that cannot be hashed gives a checksum with an error. Close an
        iterator that is not used up: that ends the work.

        Raises
        ------
        HostError
            If the root does not exist, or a remote host fails; the checksums until then have been yielded.
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
    """Copies files from a source to this machine."""

    def fetch(
        self, root: str, paths: Sequence[str], target: Path, work: Path, lock: Path, largest: int
    ) -> TransferResult:
        """Copy ``paths`` (relative to ``root`` on the source) to the same relative paths below ``target``.

        Files get their names complete or not at all, with their mtimes. ``work`` is a directory for incomplete files;
        the transfer holds the file ``lock`` locked as long as any of its processes runs. No file may become larger than
        ``largest`` bytes: a file that the host lists as larger is left out.

        Raises
        ------
        OversizeError
            If more than ``largest`` bytes of a file arrived, whatever the host had listed.
        TransferError
            If the transfer ended early; files that arrived complete are in place.
        """
        ...


class ArchiveHost(Protocol):
    """One host of the archive.

    Every method ends in time, and raises :class:`HostError` or :class:`TransferError` if it fails.
    """

    @property
    def name(self) -> str:
        """The name of the host in reports."""
        ...

    def prepare(self, root: str, work: str) -> None:
        """Create the directories ``root`` and ``work`` on the host, and check that the host runs programs."""
        ...

    def list(self, root: str, below: Sequence[str]) -> Listing:
        """See :meth:`Source.list`."""
        ...

    def send(
        self, upload_tree: Path, paths: Sequence[str], root: str, work: str, lock: Path, keep_in: str | None = None
    ) -> TransferResult:
        """Copy ``paths`` (relative to ``upload_tree``) to the same relative paths below ``root``.

        Files get their names complete or not at all, with their mtimes. ``work`` is a directory on the host for
        incomplete files; the transfer holds the local file ``lock`` locked as long as any of its local processes runs.
        With ``keep_in``, a directory on the host that is created, replaced files move to the same relative path there.
        """
        ...

    def fetching(self) -> Transfer:
        """Copies files of the archive to this machine."""
        ...


class HostAccess(Protocol):
    """Access to a host of one kind."""

    @property
    def name(self) -> str:
        """The name of the host in reports: its address; empty if it has none."""
        ...

    def login(self) -> None:
        """Open the session that all requests share, in one attempt; do nothing if nothing is shared."""
        ...

    def source(self) -> Source:
        """Lists the host."""
        ...

    def hasher(self) -> Hasher:
        """Hashes files of the host, on its own cores."""
        ...

    def transfer(self, log: Logger, basis: Path | None = None) -> Transfer:
        """Copies files of the host to this machine.

        ``basis`` is a directory with earlier versions of the files: for these, only the differences are sent.
        """
        ...


class MailTransport(Protocol):
    """Sends mails."""

    def send(self, message: EmailMessage) -> str:
        """Hand a mail over and return a text that names the transport used.

        Raises
        ------
        MailError
            Its ``may_have_left`` is True if the mail may have left nevertheless.
        """
        ...
