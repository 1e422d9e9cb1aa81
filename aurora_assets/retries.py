"""The decorator of every asset: what Dagster does about a failure, and where the UI leads to.

Trouble that may pass is tried again with growing pauses, the rest fails at once. The errors themselves decide which is
which (:mod:`aurora_platform.errors`).
"""

import errno
import sqlite3
import warnings
from collections.abc import Callable, Mapping
from functools import cache, wraps
from pathlib import Path
from types import CodeType
from typing import Any

from dagster import (
    AssetsDefinition,
    Backoff,
    BetaWarning,
    CodeReferencesMetadataValue,
    Failure,
    Jitter,
    LocalFileCodeReference,
    RetryPolicy,
    asset,
)

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


def retried_asset(
    *, retry_policy: RetryPolicy | None = TRY_AGAIN, metadata: Mapping[str, Any] | None = None, **options: Any
) -> Callable[[Callable[..., Any]], AssetsDefinition]:
    """Define an asset as :func:`dagster.asset` does, under the rule above, with a link to its function in the source.

    Parameters
    ----------
    retry_policy
        None for an asset that the next run makes up for anyway.
    metadata, options
        What :func:`dagster.asset` takes.
    """

    def define(function: Callable[..., Any]) -> AssetsDefinition:
        guarded = fail_at_once_unless_it_may_pass(function)
        with warnings.catch_warnings():
            # Of single-run backfills and code links Dagster warns, once per asset, that they may still change.
            warnings.simplefilter("ignore", BetaWarning)
            # Dagster's with_source_code_references would lead to the guard's file; this leads to the function's.
            link = {"dagster/code_references": _code_link(function.__code__)}
            make = asset(retry_policy=retry_policy, metadata={**(metadata or {}), **link}, **options)
            made: AssetsDefinition = make(guarded)
        return made

    return define


@cache
def _lines(file: str) -> list[str]:
    return Path(file).read_text().splitlines()


@cache  # all cameras' products of a kind, and all streams' copies, have one code
def _code_link(code: CodeType) -> CodeReferencesMetadataValue:
    """The line of the ``def``; ``inspect`` would look through all modules for the file, which the code knows."""
    below = _lines(code.co_filename)[code.co_firstlineno - 1 :]  # a function's code begins with its decorators
    head = f"def {code.co_name}("
    line = next(n for n, text in enumerate(below, code.co_firstlineno) if text.lstrip().startswith(head))
    return CodeReferencesMetadataValue(
        code_references=[LocalFileCodeReference(file_path=code.co_filename, line_number=line)]
    )


def fail_at_once_unless_it_may_pass[**P, R](function: Callable[P, R]) -> Callable[P, R]:
    """Give a function the rule above: no policy tries again what cannot end otherwise."""

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
