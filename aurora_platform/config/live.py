"""What happens by itself, as the site file says: how often hosts are looked at, and when the schedules tick."""

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from aurora_platform.config.types import Bound, Cron, Duration, Settings


class Live(Settings):
    """What happens by itself: how often hosts are looked at, and when the schedules tick (UTC)."""

    running: bool = False
    """Whether sensors and schedules run from the start; else an operator turns them on in the UI."""
    every: Bound = timedelta(minutes=2)
    thumbnails: Cron = "10,25,40,55 * * * *"
    hour_closes_after: Duration = timedelta(minutes=10)
    """After its end an hour stays open for this long: its last image has yet to arrive."""
    reconcile: Cron = "35 */6 * * *"
    reconcile_days: int = Field(default=10, ge=1, le=366)
    checks: Cron = "20 4 * * *"
    retention: Cron = "50 3 * * *"
    keep_runs: Annotated[Bound, Field(ge=timedelta(days=1))] = timedelta(days=14)
