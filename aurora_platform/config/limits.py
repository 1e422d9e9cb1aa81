"""Settings of limits: time limits, and the disk space that stays free."""

from datetime import timedelta

from aurora_platform.config.types import Bound, Duration, Free, Settings, TickBound

KEEP_FREE = "2%"


class Limits(Settings):
    """Time limits. Every connection, transfer and lock has a bound."""

    connect: Bound = timedelta(seconds=15)
    listing: Bound = timedelta(minutes=10)
    look: TickBound = timedelta(seconds=40)  # for all requests of one tick of a sensor or schedule to a host
    stall: Bound = timedelta(seconds=60)  # a transfer that moves nothing for this long is ended
    transfer: Bound = timedelta(hours=6)
    lock: Duration = timedelta(minutes=10)
    keep_free: Free = KEEP_FREE
    """How much of the raw directory's disk a pass leaves free; files that would use this space are not copied."""
