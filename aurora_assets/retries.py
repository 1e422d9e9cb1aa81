"""The decorator of every asset: what Dagster does about a failure, and where the UI leads to.

A transient error is tried again with growing pauses, the rest fails at once. The errors themselves decide which is
which (:mod:`aurora_platform.errors`).
"""

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

from aurora_platform.errors import is_transient

# 10, 20 and 40 s: a cut connection and a reboot of a switch pass in that time. Longer trouble is for the sensors, which
# ask again when the run has failed.
TRY_AGAIN = RetryPolicy(max_retries=3, delay=10, backoff=Backoff.EXPONENTIAL, jitter=Jitter.PLUS_MINUS)


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
        guarded = fail_at_once_unless_transient(function)
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
    return Path(file).read_text(encoding="utf-8").splitlines()


@cache  # all cameras' products of a kind, and all streams' copies, have one code
def _code_link(code: CodeType) -> CodeReferencesMetadataValue:
    """The line of the ``def``; ``inspect`` would look through all modules for the file, which the code knows."""
    below = _lines(code.co_filename)[code.co_firstlineno - 1 :]  # a function's code begins with its decorators
    head = f"def {code.co_name}("
    starts = (n for n, text in enumerate(below, code.co_firstlineno) if text.lstrip().startswith(head))
    line = next(starts, code.co_firstlineno)  # of a function that is written otherwise, its decorators
    return CodeReferencesMetadataValue(
        code_references=[LocalFileCodeReference(file_path=code.co_filename, line_number=line)]
    )


def fail_at_once_unless_transient[**P, R](function: Callable[P, R]) -> Callable[P, R]:
    """Give a function the rule above: no policy tries again what cannot end otherwise."""

    @wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            if is_transient(error) or isinstance(error, Failure):
                raise
            # The message names the file or host and the next step; the chain below it has the place in the source.
            raise Failure(f"{type(error).__name__}: {error}", allow_retries=False) from error

    return guarded
