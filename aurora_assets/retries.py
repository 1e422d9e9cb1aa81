"""What Dagster does about a failure: trouble that may pass is tried again with growing pauses, the rest fails at once.

Part of the Dagster layer. Which is which is decided by the errors themselves (:mod:`aurora_platform.errors`).
"""

import errno
import sqlite3
from collections.abc import Callable
from functools import wraps

from dagster import Backoff, Failure, Jitter, RetryPolicy

from aurora_platform.errors import AuroraError
from aurora_platform.fs.atomic import NO_SPACE

# 10, 20 and 40 s: a cut connection and a reboot of a switch pass in that time. Longer trouble is for the sensors, which
# ask again when the run has failed.
TRY_AGAIN = RetryPolicy(max_retries=3, delay=10, backoff=Backoff.EXPONENTIAL, jitter=Jitter.PLUS_MINUS)

# Full disks are emptied, network file systems come back; a missing permission stays missing.
_PASSING = {
    *(*NO_SPACE, errno.EIO, errno.EAGAIN, errno.EINTR, errno.ESTALE),
    *(errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ETIMEDOUT, errno.ECONNRESET, errno.ECONNREFUSED),
    *(errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EBUSY),
}
_PASSING_IN_SQLITE = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}


def may_pass(error: BaseException) -> bool:
    """Whether an error may go away by itself: a host that is down, a full disk, a locked database, short memory."""
    if isinstance(error, AuroraError):
        return error.transient
    if isinstance(error, sqlite3.Error):
        # The low byte is the kind; the rest says more about it.
        return (getattr(error, "sqlite_errorcode", 0) & 0xFF) in _PASSING_IN_SQLITE
    return isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in _PASSING)


def fail_at_once_unless_it_may_pass[**P, R](function: Callable[P, R]) -> Callable[P, R]:
    """Give an asset's function the rule above: :data:`TRY_AGAIN` does not try what cannot end otherwise."""

    @wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            if may_pass(error) or isinstance(error, Failure):
                raise
            # The message names the file or host and the next step; the chain below it has the place in the source.
            raise Failure(f"{type(error).__name__}: {error}", allow_retries=False) from error

    return guarded
