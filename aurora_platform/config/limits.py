"""Limits of the site file: how long we wait for what, and how much room is left free."""

from datetime import timedelta

from aurora_platform.config.types import Bound, Duration, Free, Look, Settings

KEEP_FREE = "2%"


class Limits(Settings):
    """How long we wait for what. Every connection, transfer and lock has a bound."""

    connect: Bound = timedelta(seconds=15)
    listing: Bound = timedelta(minutes=10)
    look: Look = timedelta(seconds=40)  # for the look at a host that a sensor or schedule takes
    stall: Bound = timedelta(seconds=60)  # a transfer that moves nothing for this long is cut
    transfer: Bound = timedelta(hours=6)
    lock: Duration = timedelta(minutes=10)
    keep_free: Free = KEEP_FREE
    """How much of the raw directory's disk a pass leaves free; a file for which there is less room is not fetched."""
