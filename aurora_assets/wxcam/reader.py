"""Deprecated since 0.2, kept for one release: import from ``aurora_platform.cameras.reader`` instead."""

import warnings

from aurora_platform.cameras.reader import open_pixels, original_jpeg

__all__ = ["open_pixels", "original_jpeg"]

warnings.warn(
    "aurora_assets.wxcam.reader is removed in the next release: import from aurora_platform.cameras.reader",
    FutureWarning,
    stacklevel=2,
)
