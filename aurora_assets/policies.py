"""The policies of all assets, in one table: group, kinds, freshness, automation; and owner, tags, links to the code.

Part of the Dagster layer. ``definitions.py`` maps them once onto every asset. An asset states only what it is and how
it is made; its key says which row of the table applies (:func:`aurora_platform.layout.key_parts.parts_of`).
"""

import inspect
import warnings
from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import cache, partial
from pathlib import Path
from types import CodeType
from typing import Any, NamedTuple

from dagster import (
    AssetsDefinition,
    AssetSpec,
    AutomationCondition,
    BetaWarning,
    CodeReferencesMetadataValue,
    FreshnessPolicy,
    LocalFileCodeReference,
)

from aurora_assets.automation import WHEN_ITS_INPUT_CHANGED, when_an_old_day_changed
from aurora_platform.config.site import Site
from aurora_platform.config.streams import Stream
from aurora_platform.layout.key_parts import KeyParts, parts_of

_A_DAY = timedelta(days=1)


def _warn_when_stale(stream: Stream) -> FreshnessPolicy:
    """Dagster's own freshness: the time since the last materialization, whatever day that was about.

    Our checks of the data's age (:mod:`aurora_assets.health.checks`) stand beside it; no backfill misleads those.
    """
    return FreshnessPolicy.time_window(fail_window=_A_DAY + stream.stale_after, warn_window=stream.stale_after)


def _when_its_input_changed(_: Stream) -> AutomationCondition:
    return WHEN_ITS_INPUT_CHANGED


def _when_an_old_day_changed(stream: Stream) -> AutomationCondition:
    """For assets whose live window a schedule looks after."""
    return when_an_old_day_changed(stream.lookback)


class Policy(NamedTuple):
    """What holds for one kind of asset."""

    group: str
    kinds: set[str]
    """Only kinds for which the UI has an icon."""
    freshness: Callable[[Stream], FreshnessPolicy] | None = None
    automation: Callable[[Stream], AutomationCondition] | None = None
    """What starts a run without a person; None where a sensor or a schedule does."""


# The UI shows only the last part of a key, and both cameras have the same products: each camera has its own group.
_CAMERA_GROUP = "{stream}_{camera}"

POLICIES = {
    "source": Policy("source", {"source"}),
    "raw": Policy("raw", {"file"}, _warn_when_stale),
    "catalog": Policy("{stream}", {"sqlite", "table"}, _warn_when_stale, _when_its_input_changed),
    "daily_video": Policy(_CAMERA_GROUP, {"file"}, _warn_when_stale, _when_its_input_changed),
    "latest_video": Policy(_CAMERA_GROUP, {"file"}, _warn_when_stale, _when_its_input_changed),
    "hourly_thumbnails": Policy(_CAMERA_GROUP, {"file"}, _warn_when_stale, _when_an_old_day_changed),
    "pixels": Policy(_CAMERA_GROUP, {"dataset"}, _warn_when_stale, _when_its_input_changed),
    "gws_raw": Policy("gws", {"file"}, _warn_when_stale, _when_an_old_day_changed),
    "wxcam_products": Policy("gws", {"file"}, None, _when_an_old_day_changed),
    "core_products": Policy("gws", {"file"}),
    "restore_drill": Policy("gws", {"report"}),
    "retention": Policy("gws", {"report"}),
    "product_manifests": Policy("manifests", {"table"}),
    "manifests": Policy("manifests", {"table"}, None, _when_an_old_day_changed),
    "health": Policy("ops", {"report", "json"}),
    "alerts": Policy("ops", {"report"}),
}


def with_policies(site: Site, assets: Iterable[AssetsDefinition | AssetSpec]) -> list[AssetsDefinition | AssetSpec]:
    """Apply the table to all assets of a site.

    Raises
    ------
    ValueError
        Where an asset has a key of which the table says nothing.
    """
    with warnings.catch_warnings():
        # Dagster warns once per asset that code references may still change.
        warnings.simplefilter("ignore", BetaWarning)
        return [
            asset.map_asset_specs(partial(_apply, site, {"dagster/code_references": _code_link(asset)}))
            if isinstance(asset, AssetsDefinition)
            else _apply(site, {}, asset)
            for asset in assets
        ]


def _apply(site: Site, metadata: dict[str, Any], spec: AssetSpec) -> AssetSpec:
    parts = parts_of(spec.key.to_user_string())
    policy = POLICIES.get(parts.kind)
    if policy is None:
        raise ValueError(f"{spec.key.to_user_string()}: add its kind {parts.kind!r} to aurora_assets/policies.py")
    stream = site.streams.get(parts.stream or "")
    return spec.replace_attributes(
        group_name=policy.group.format(stream=parts.stream, camera=parts.camera),
        owners=[site.contact] if site.contact else [],
        tags={**spec.tags, **_tags(site, parts)},
        kinds=policy.kinds,
        metadata={**spec.metadata, **metadata},
        freshness_policy=policy.freshness(stream) if policy.freshness and stream else None,
        automation_condition=policy.automation(stream) if policy.automation and stream else None,
    )


def _tags(site: Site, parts: KeyParts) -> dict[str, str]:
    """What one may filter by in the UI: ``tag:stream=wxcam``."""
    stream = site.streams.get(parts.stream or "")
    tags = {"part": parts.part, "stream": parts.stream, "camera": parts.camera, "host": stream.host if stream else None}
    return {name: value for name, value in tags.items() if value}


def _code_link(asset: AssetsDefinition) -> CodeReferencesMetadataValue:
    """The link to an asset's function. Dagster's own would lead to the function that wraps it."""
    return _link(inspect.unwrap(asset.op.compute_fn.decorated_fn).__code__)  # type: ignore[union-attr]


@cache
def _lines(file: str) -> list[str]:
    return Path(file).read_text(encoding="utf-8").splitlines()


@cache  # all cameras' products of a kind, and all streams' copies, have one code
def _link(code: CodeType) -> CodeReferencesMetadataValue:
    """The line of the ``def``; ``inspect`` would search all modules for the file, which the code names itself."""
    below = _lines(code.co_filename)[code.co_firstlineno - 1 :]  # a function's code begins with its decorators
    head = f"def {code.co_name}("
    starts = (n for n, text in enumerate(below, code.co_firstlineno) if text.lstrip().startswith(head))
    line = next(starts, code.co_firstlineno)  # where the function is written otherwise: its decorators
    return CodeReferencesMetadataValue(
        code_references=[LocalFileCodeReference(file_path=code.co_filename, line_number=line)]
    )
