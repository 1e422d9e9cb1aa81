"""Reads an asset key: which part of the platform makes the asset, and for which stream and camera."""

from typing import Literal, NamedTuple

from aurora_platform.layout.keys import (
    CORE_PRODUCTS_KEY,
    PRODUCTS,
    RESTORE_DRILL_KEY,
    RETENTION_KEY,
    WXCAM,
    WXCAM_PRODUCTS,
)

Part = Literal["mirror", "cameras", "archive", "health"]


class KeyParts(NamedTuple):
    """What an asset key says: the part that makes the asset, the kind of asset, its stream and its camera."""

    part: Part
    kind: str
    """``source``, ``raw``, ``catalog``, ``daily_video``, ..., ``gws_raw``, ``manifests``, ``health``, ..."""
    stream: str | None = None
    camera: str | None = None


def parts_of(key: str) -> KeyParts:
    """Read an asset key of this platform.

    Raises
    ------
    ValueError
        Where no asset of this platform has such a key.
    """
    match key.split("/"):
        case ["source" | "raw" as kind, stream]:
            return KeyParts("mirror", kind, stream)
        case ["gws", "raw", stream]:
            return KeyParts("archive", "gws_raw", stream)
        case ["gws", kind] if kind == WXCAM_PRODUCTS:
            return KeyParts("archive", kind, WXCAM)
        case ["gws", kind] if f"gws/{kind}" in (CORE_PRODUCTS_KEY, RESTORE_DRILL_KEY, RETENTION_KEY):
            return KeyParts("archive", kind)
        case ["manifests", kind] if kind == PRODUCTS:
            return KeyParts("archive", "product_manifests")
        case ["manifests" as kind, stream]:
            return KeyParts("archive", kind, stream)
        case ["ops", kind]:
            return KeyParts("health", kind)
        case [stream, kind] if stream == WXCAM:
            return KeyParts("cameras", kind, stream)
        case [stream, camera, kind] if stream == WXCAM:
            return KeyParts("cameras", kind, stream, camera)
    raise ValueError(f"{key}: no asset has this key")
