"""Settings of limits: time limits, and the disk space that stays free."""

from datetime import timedelta
from typing import Any

from pydantic import model_validator

from aurora_platform.config.types import Bound, Duration, Free, Settings, TickBound


class Limits(Settings):
    """Time limits. Every connection, transfer and lock has a bound."""

    connect: Bound = timedelta(seconds=15)
    listing: Bound = timedelta(minutes=10)
    look: TickBound = timedelta(seconds=40)  # for all requests of one tick of a sensor or schedule to a host
    stall: Bound = timedelta(seconds=60)  # a transfer that moves nothing for this long is ended
    transfer: Bound = timedelta(hours=6)
    lock: Duration = timedelta(minutes=10)
    reserve: Free | None = None
    """How much of the raw directory's disk, and of a quota, a pass leaves free; what would use it is not copied.
    Without it: 5 %, at least 10 GB, but at most a fifth."""

    @model_validator(mode="before")
    @classmethod
    def _accept_the_old_name(cls, data: Any) -> Any:
        """``keep_free`` was the name until version 0.4."""
        if isinstance(data, dict) and "keep_free" in data:
            if "reserve" in data:
                raise ValueError("keep_free is the old name of reserve: remove it")
            data = {**data, "reserve": data["keep_free"]}
            del data["keep_free"]
        return data
