"""Deprecated since 0.2, kept for one release: import from ``aurora_platform.archive.ledger`` instead."""

import warnings

from aurora_platform.archive.ledger import DIFFERS, Counts, Item, Ledger, Row
from aurora_platform.layout import LEDGER as FILE_NAME
from aurora_platform.layout import REGISTERED

__all__ = ["DIFFERS", "FILE_NAME", "REGISTERED", "Counts", "Item", "Ledger", "Row"]

warnings.warn(
    "aurora_assets.archive.ledger is removed in the next release: import from aurora_platform.archive.ledger",
    FutureWarning,
    stacklevel=2,
)
