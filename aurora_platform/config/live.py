"""Settings of automatic work: how often hosts are polled, and when the schedules tick."""

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from aurora_platform.config.types import Bound, Cron, Duration, Settings


class Live(Settings):
    """Automatic work: how often hosts are polled, and when the schedules tick (UTC)."""

    running: bool = False
    """Whether sensors and schedules run from the start; otherwise an operator turns them on in the UI."""
    every: Bound = timedelta(minutes=2)
    thumbnails: Cron = "10,25,40,55 * * * *"
    hour_closes_after: Duration = timedelta(minutes=10)
    """How long an hour stays open after its end: its last image may still arrive."""
    reconcile: Cron = "35 */6 * * *"
    reconcile_days: int = Field(default=10, ge=1, le=366)
    checks: Cron = "20 4 * * *"
    retention: Cron = "50 3 * * *"
    keep_runs: Annotated[Bound, Field(ge=timedelta(days=1))] = timedelta(days=14)
