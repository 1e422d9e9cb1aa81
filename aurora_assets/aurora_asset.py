"""The decorator of every asset: partitions, backfills, retries, and the docstring as the description in the UI.

Part of the Dagster layer. What holds for whole selections of assets (owners, tags, automation) is in
:mod:`aurora_assets.policies`.
"""

import inspect
import warnings
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any

from dagster import (
    AssetKey,
    AssetsDefinition,
    BackfillPolicy,
    Backoff,
    BetaWarning,
    Failure,
    HourlyPartitionsDefinition,
    Jitter,
    MetadataValue,
    PartitionsDefinition,
    RetryPolicy,
    asset,
)

from aurora_platform.errors import is_transient
from aurora_platform.fs.disk_errors import as_disk_error

# 10, 20 and 40 s: an interrupted connection and the reboot of a switch pass in that time. In longer trouble the run
# fails, and the sensors ask for another.
TRY_AGAIN = RetryPolicy(max_retries=3, delay=10, backoff=Backoff.EXPONENTIAL, jitter=Jitter.PLUS_MINUS)


def aurora_asset(
    key: AssetKey,
    *,
    placeholders: Mapping[str, object] | None = None,
    place: Path | str = "",
    partitions_def: PartitionsDefinition | None = None,
    retry_policy: RetryPolicy | None = TRY_AGAIN,
    metadata: Mapping[str, Any] | None = None,
    **options: Any,
) -> Callable[[Callable[..., Any]], AssetsDefinition]:
    """Define an asset from a function.

    The function's docstring is the description in the UI: what the asset is, then where it comes from. A transient
    error is tried again with growing pauses; any other fails at once (:func:`fail_at_once_unless_transient`).

    Parameters
    ----------
    key
        The asset's key.
    placeholders
        Values for the ``{names}`` in the docstring.
    place
        Where the asset is on disk or in the archive; the description ends with it, and the metadata have it as a path.
    partitions_def
        With partitions, a backfill of any range is a single run.
    retry_policy
        None for an asset that the next run makes up for anyway.
    metadata, options
        What :func:`dagster.asset` takes.
    """

    def define(function: Callable[..., Any]) -> AssetsDefinition:
        with warnings.catch_warnings():
            # Dagster warns once per asset that single-run backfills may still change.
            warnings.simplefilter("ignore", BetaWarning)
            made: AssetsDefinition = asset(
                key=key,
                partitions_def=partitions_def,
                backfill_policy=BackfillPolicy.single_run() if partitions_def else None,
                retry_policy=retry_policy,
                description=description_of(function, placeholders or {}, place, partitions_def),
                metadata={**({"path": MetadataValue.path(str(place))} if place else {}), **(metadata or {})},
                **options,
            )(fail_at_once_unless_transient(function))
        return made

    return define


def description_of(
    function: Callable[..., Any],
    placeholders: Mapping[str, object],
    place: Path | str = "",
    partitions_def: PartitionsDefinition | None = None,
) -> str:
    """A function's docstring with its ``{names}`` filled in; then what a partition is, and the place."""
    text = inspect.cleandoc(function.__doc__ or "").format(**placeholders)
    if partitions_def is not None:
        period = "hour" if isinstance(partitions_def, HourlyPartitionsDefinition) else "day"
        text += f"\n\nOne partition per UTC {period} (*Missing*: no run for that {period} yet)."
    return f"{text}\n\nPath: `{place}`" if place else text


def fail_at_once_unless_transient[**P, R](function: Callable[P, R]) -> Callable[P, R]:
    """Let a function fail at once, whatever its retry policy, unless trying again may help.

    The errors themselves decide whether it may (:mod:`aurora_platform.errors`).
    """

    @wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except OSError as error:
            converted = as_disk_error(error)
            if converted.transient:
                raise converted from error
            raise Failure(f"{type(converted).__name__}: {converted}", allow_retries=False) from error
        except Exception as error:
            if is_transient(error) or isinstance(error, Failure):
                raise
            # The message names the file or host and the next step; the chain below it has the place in the source.
            raise Failure(f"{type(error).__name__}: {error}", allow_retries=False) from error

    return guarded
