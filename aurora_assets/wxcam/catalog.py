"""Deprecated since 0.2, kept for one release: import from ``aurora_platform.cameras.catalog`` instead."""

import warnings

from aurora_platform.cameras.catalog import open_readonly

__all__ = ["open_readonly"]

warnings.warn(
    "aurora_assets.wxcam.catalog is removed in the next release: import from aurora_platform.cameras.catalog",
    FutureWarning,
    stacklevel=2,
)
