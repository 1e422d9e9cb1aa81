"""The few ways in which Aurora fails, each with a message that names the file or host and the next step.

What is expected of the world (an unreadable file, an unsettled one, a name that is not ours) is not an error: it is
counted and named in a report. These exceptions are for what stops a piece of work.
"""

import errno
import sqlite3
from collections.abc import Sequence

NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
"""Error numbers of a disk that is full, or of a quota."""


class AuroraError(Exception):
    """Base of all errors of our own."""

    transient = False
    """Whether it may pass by itself, so that trying again makes sense."""


class SiteError(AuroraError):
    """The site file is wrong; the message names the key and what it should be."""


class NewerError(AuroraError):
    """A file was written by a newer Aurora; the message names it, both versions and the next step."""


class LayoutError(AuroraError):
    """What a state directory says of its own version cannot be read; the message names the file."""


class HostError(AuroraError):
    """A host did not answer or broke off. Usually passes: the next pass tries again."""

    transient = True


class HostRefusedError(HostError):
    """A host answered, but not as the site file says it should: another key, no login, no such directory."""

    transient = False


class TransferError(AuroraError):
    """rsync ended early. What has arrived is kept; the next pass resumes."""

    def __init__(self, message: str, *, transient: bool = True, is_full: bool = False) -> None:
        super().__init__(message)
        self.transient = transient
        self.is_full = is_full
        """Whether no room was left to write here, on the disk or in a quota."""


class OversizeError(TransferError):
    """More came of some files than the host had listed; ``paths`` are those of which it may be true."""

    def __init__(self, message: str, paths: Sequence[str]) -> None:
        super().__init__(message)
        self.paths = paths


class ArchiveError(AuroraError):
    """No host of the archive works; the message says of each why not."""

    def __init__(self, message: str, *, transient: bool = True) -> None:
        super().__init__(message)
        self.transient = transient


class BusyError(AuroraError):
    """Somebody else holds the lock for longer than we wait."""

    transient = True


class MediaError(AuroraError):
    """An image or clip cannot be used for what it was meant for. Others may be able to use it."""


class UnreadableError(MediaError):
    """No reader can decode an image or clip; so nobody can use it for anything."""


class CatalogError(AuroraError):
    """The catalogue is missing, is not ours, or cannot be made or opened."""

    def __init__(self, message: str, *, transient: bool = False) -> None:
        super().__init__(message)
        self.transient = transient


class PixelsError(AuroraError):
    """The pixel store does not hold what was asked for."""


class LedgerError(AuroraError):
    """The ledger is not ours, or was asked for what it may not do."""


class EvidenceError(AuroraError):
    """What would prove something is missing, too old or not whole; so nothing is done on it."""


class MailError(AuroraError):
    """A mail did not leave, or it is not known whether it did. The next evaluation sends what waits."""

    transient = True

    def __init__(self, message: str, *, may_have_left: bool = False) -> None:
        super().__init__(message)
        self.may_have_left = may_have_left


def newer(file: object, found: int, known: int) -> NewerError:
    """The error of a ``file`` of version ``found``, where this Aurora knows versions up to ``known``."""
    return NewerError(
        f"{file}: written by a newer Aurora: version {found}, and this one knows up to {known}. Nothing was changed. "
        "Install the Aurora that wrote it, or a later one, and restart everything (docs/operating.md, Updating)."
    )


# Full disks are emptied, network file systems come back; a missing permission stays missing.
_TRANSIENT = {
    *(*NO_SPACE, errno.EIO, errno.EAGAIN, errno.EINTR, errno.ESTALE),
    *(errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ETIMEDOUT, errno.ECONNRESET, errno.ECONNREFUSED),
    *(errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EBUSY),
}
_TRANSIENT_IN_SQLITE = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}


def is_transient(error: BaseException) -> bool:
    """Whether an error may go away by itself: a host that is down, a full disk, a locked database, short memory."""
    if isinstance(error, AuroraError):
        return error.transient
    if isinstance(error, sqlite3.Error):
        # The low byte is the kind; the rest says more about it.
        return (getattr(error, "sqlite_errorcode", 0) & 0xFF) in _TRANSIENT_IN_SQLITE
    return isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in _TRANSIENT)
