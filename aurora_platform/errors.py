"""The exceptions of Aurora; each message names the file or host and the next step.

Expected problems of single files (unreadable, not settled, with an unexpected name) are not errors: reports count and
name them. These exceptions are for problems that stop a piece of work.
"""

import errno
import sqlite3
from collections.abc import Sequence

NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
"""Error numbers of a disk that is full, or of a quota."""


class AuroraError(Exception):
    """Base of all exceptions of Aurora."""

    transient = False
    """Whether the error may go away by itself, so that a retry makes sense."""

    def __init__(self, message: str = "", *, transient: bool | None = None) -> None:
        """Without ``transient``, it is as for all errors of the class."""
        super().__init__(message)
        if transient is not None:
            self.transient = transient


class DiskError(AuroraError):
    """A disk or file system of this machine failed; the message names the path, the reason and the next step."""

    transient = True


class SiteError(AuroraError):
    """The site file is wrong; the message names the key and its allowed values."""


class NewerError(AuroraError):
    """A file was written by a newer Aurora; the message names it, both versions and the next step."""


class LayoutError(AuroraError):
    """The version file of a state directory cannot be read; the message names the file."""


class HostError(AuroraError):
    """A host did not answer, or the connection was lost. Usually transient: the next pass tries again."""

    transient = True


class HostRefusedError(HostError):
    """A host answered, but does not match the site file: another host key, login denied, no such directory."""

    transient = False


class NoSuchRootError(HostRefusedError):
    """The directory that was to be listed does not exist on the host."""


class TransferError(AuroraError):
    """rsync ended early. The data received so far are kept; the next pass resumes."""

    def __init__(self, message: str, *, transient: bool = True, is_full: bool = False) -> None:
        super().__init__(message, transient=transient)
        self.is_full = is_full
        """Whether the local disk, or a quota on it, is full."""


class OversizeError(TransferError):
    """Some files were larger than the host had listed; ``paths`` are the files that this may be true for."""

    def __init__(self, message: str, paths: Sequence[str]) -> None:
        super().__init__(message)
        self.paths = paths


class ArchiveError(AuroraError):
    """No host of the archive works; the message has the reason for each host."""

    transient = True


class BusyError(AuroraError):
    """Another process holds the lock for longer than the wait time."""

    transient = True


class MediaError(AuroraError):
    """An image or clip cannot be used for this product. Other products may be able to use it."""


class UnreadableError(MediaError):
    """No reader can decode an image or clip; no product can use it."""


class CatalogError(AuroraError):
    """The catalogue is missing, was not made by Aurora, or cannot be made or opened."""


class PixelsError(AuroraError):
    """The pixel store does not hold the requested data."""


class LedgerError(AuroraError):
    """The ledger was not made by Aurora, or the requested change is not allowed."""


class EvidenceError(AuroraError):
    """The required evidence is missing, too old or incomplete, so nothing was done."""


class MailError(AuroraError):
    """A mail did not leave, or it is unknown whether it did. The next evaluation sends the waiting mails."""

    transient = True

    def __init__(self, message: str, *, may_have_left: bool = False) -> None:
        super().__init__(message)
        self.may_have_left = may_have_left
        """Whether the mail may have left nevertheless."""


def newer_error(file: object, found: int, supported: int) -> NewerError:
    """The error for a ``file`` of version ``found``; this Aurora supports versions up to ``supported``."""
    return NewerError(
        f"{file}: written by a newer Aurora: version {found}; this Aurora supports versions up to {supported}. "
        "Nothing was changed. Install the Aurora that wrote the file, or a later one, and restart everything "
        "(docs/operating.md, Updating)."
    )


# Full disks are emptied and network file systems come back; a missing permission stays missing.
_TRANSIENT = {
    *(*NO_SPACE, errno.EIO, errno.EAGAIN, errno.EINTR, errno.ESTALE),
    *(errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ETIMEDOUT, errno.ECONNRESET, errno.ECONNREFUSED),
    *(errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EBUSY),
}
_TRANSIENT_IN_SQLITE = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}


def is_transient(error: BaseException) -> bool:
    """Whether an error may go away by itself: host down, disk full, database locked, not enough memory."""
    if isinstance(error, AuroraError):
        return error.transient
    if isinstance(error, sqlite3.Error):
        # The low byte is the primary error code; the other bytes are details.
        return (getattr(error, "sqlite_errorcode", 0) & 0xFF) in _TRANSIENT_IN_SQLITE
    return isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in _TRANSIENT)
