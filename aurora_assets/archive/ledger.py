"""A name of before 0.2, kept for one release: import from ``aurora_platform.archive.ledger`` instead."""

import warnings

from aurora_platform.archive.ledger import FILE_NAME, Counts, Item, Ledger, Row

__all__ = ["FILE_NAME", "Counts", "Item", "Ledger", "Row"]

warnings.warn(
    "aurora_assets.archive.ledger goes with the next release: import from aurora_platform.archive.ledger",
    DeprecationWarning,
    stacklevel=2,
)
