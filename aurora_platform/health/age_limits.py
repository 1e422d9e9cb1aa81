"""From which age data are ageing and stale: apart from the evaluation, because descriptions of checks need it."""

from __future__ import annotations

from datetime import timedelta

from aurora_platform.config.streams import Stream

AMBER_FROM = 2 / 3  # of stale_after
_PRODUCT_LAG = timedelta(hours=2)  # hourly products are later: the hour has to close, and its last file to settle


def limits_of(stream: Stream, *, is_product: bool = False) -> tuple[timedelta, timedelta]:
    """The ages from which data of a stream, or of a product made from it, are ageing and stale."""
    stale = stream.stale_after + (_PRODUCT_LAG if is_product else timedelta(0))
    return stale * AMBER_FROM, stale
