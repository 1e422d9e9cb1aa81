"""The ticks of sensors and schedules that fail or are overdue, from Dagster's records. Read-only."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice

import sqlalchemy as sql
from dagster import DagsterInstance
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorTick,
    ScheduleInstigatorData,
    SensorInstigatorData,
    TickStatus,
)
from dagster._core.storage.runs.schema import SecondaryIndexMigrationTable
from dagster._core.storage.runs.sql_run_storage import SqlRunStorage
from dagster._utils.schedules import schedule_execution_time_iterator

from aurora_assets.instance.code_location import Automation, CodeLocation
from aurora_platform.config.types import format_duration
from aurora_platform.health.models import OverdueTick, Tick

# Without the code, an automation that has not ticked for this time, and has missed this many ticks, counts as removed.
_REMOVED_AFTER, _REMOVED_AFTER_TICKS = timedelta(days=2), 4
_MISSED = 3  # ticks
_CLOCK_TOLERANCE = timedelta(minutes=1)  # a tick dated this far after now still counts
# A sensor with a shorter interval may have to wait for other sensors.
_MIN_INTERVAL = timedelta(minutes=1)
_ENDED = [TickStatus.SUCCESS, TickStatus.SKIPPED, TickStatus.FAILURE]


type _Cadence = timedelta | str | list[str]
"""The time between two ticks of a sensor, or the cron lines of a schedule."""


@dataclass(frozen=True)
class _Instigator:
    """A sensor or schedule that should be running, with its newest ticks."""

    state: InstigatorState
    declared: Automation | None
    last_ended: InstigatorTick | None
    unfinished: InstigatorTick | None
    latest: datetime
    """A record with a later date was written while the clock was wrong, and is ignored."""

    @property
    def name(self) -> str:
        return self.state.name

    @property
    def last_active(self) -> datetime | None:
        """When it ticked last, or when Dagster began to evaluate it."""
        data, times = self.state.instigator_data, []
        if isinstance(data, SensorInstigatorData):
            times = [data.last_sensor_start_timestamp]
        elif isinstance(data, ScheduleInstigatorData):
            times = [data.start_timestamp, data.last_iteration_timestamp]
        times += [tick.timestamp for tick in (self.last_ended, self.unfinished) if tick]
        times += [self.last_ended.end_timestamp] if self.last_ended else []
        recorded = [datetime.fromtimestamp(time, UTC) for time in times if time]
        return max((time for time in recorded if time <= self.latest), default=None)

    @property
    def daemon(self) -> str:
        """The name of Dagster's daemon that evaluates it, in lower case."""
        data = self.state.instigator_data
        if isinstance(data, ScheduleInstigatorData):
            return "scheduler"
        kind = data.sensor_type if isinstance(data, SensorInstigatorData) else None
        return "asset" if kind is not None and kind.is_handled_by_asset_daemon else "sensor"

    @property
    def error(self) -> str | None:
        """The error of its last tick; None if that tick did not fail."""
        if self.last_ended is None or self.last_ended.status is not TickStatus.FAILURE or self.last_ended.error is None:
            return None
        cause = self.last_ended.error.cause or self.last_ended.error  # our error is the cause of Dagster's
        return " ".join(cause.message.split())[:300]

    def overdue(self, now: datetime) -> OverdueTick | None:
        """Itself as overdue, if three of its ticks are missing; a tick that runs for that long counts as missing."""
        last_active, cadence = self.last_active, self.cadence
        if last_active is None or cadence is None or now <= _expected_by(last_active, cadence):
            return None
        last = self.last_ended.timestamp if self.last_ended else None
        text = f"last tick {_format_time(last)}" if last else f"no tick since {last_active:%Y-%m-%d %H:%M:%S} UTC"
        if self.unfinished and (last is None or self.unfinished.timestamp > last):
            text += f"; a tick that began {_format_time(self.unfinished.timestamp)} has not ended"
        return OverdueTick(
            name=self.name,
            last_tick_utc=datetime.fromtimestamp(last, UTC).replace(microsecond=0) if last else None,
            sentence=f"expected {_cadence_text(cadence)}, {text}"
            + (f"; it failed: {self.error}" if self.error else ""),
        )

    @property
    def cadence(self) -> _Cadence | None:
        """How often it should tick, by the code; without the code as Dagster has recorded it."""
        data = self.state.instigator_data
        if isinstance(data, SensorInstigatorData):
            every = self.declared.every if self.declared else None
            return every or (timedelta(seconds=data.min_interval) if data.min_interval else None)
        if isinstance(data, ScheduleInstigatorData):
            cron = (self.declared.cron if self.declared else None) or data.cron_schedule
            return cron if isinstance(cron, str) else list(cron)
        return None

    @property
    def is_probably_removed(self) -> bool:
        """Whether it was probably removed from the code, if the code is not available."""
        last_active, cadence, now = self.last_active, self.cadence, self.latest - _CLOCK_TOLERANCE
        if last_active is None or last_active >= now - _REMOVED_AFTER:
            return False
        return cadence is None or now > _expected_by(last_active, cadence, _REMOVED_AFTER_TICKS)


def _expected_by(last_active: datetime, cadence: _Cadence, ticks: int = _MISSED) -> datetime:
    """The time by which this many ticks should have come."""
    if isinstance(cadence, timedelta):
        return last_active + ticks * max(cadence, _MIN_INTERVAL)
    times = schedule_execution_time_iterator(last_active.timestamp() + 1, cadence, "UTC")
    return next(islice(times, ticks - 1, None))


def _cadence_text(cadence: _Cadence) -> str:
    return f"every {format_duration(cadence)}" if isinstance(cadence, timedelta) else f"at {cadence!r}"


def ticks(
    instance: DagsterInstance, code: CodeLocation | None, running_daemons: Collection[str], now: datetime
) -> tuple[list[Tick], list[OverdueTick]]:
    """Sensors and schedules whose last tick failed, and those with three missing ticks.

    Parameters
    ----------
    instance, now
        Dagster's records, and the time.
    code
        The checks and automations in the code. Without it an automation that died cannot be told from one that was
        removed: after two days, and four missing ticks, it counts as removed.
    running_daemons
        Names of Dagster's running daemons. No tick is expected of the others.
    """
    instigators = sorted(_newest_by_name(instance, code, now), key=lambda instigator: instigator.name)
    failing = [
        Tick(name=instigator.name, since_utc=_to_datetime(instigator.last_ended.timestamp), error=instigator.error)
        for instigator in instigators
        if instigator.error and instigator.last_ended
    ]
    overdue = [
        (instigator.error is None, tick)
        for instigator in instigators
        if instigator.daemon in running_daemons and (tick := instigator.overdue(now))
    ]
    if code:
        never = _never_evaluated(instance, code, instigators, running_daemons, now)
        overdue += [(True, tick) for tick in never]
    # Those with an error come first.
    return failing, [tick for _, tick in sorted(overdue, key=lambda pair: pair[0])]


def _never_evaluated(
    instance: DagsterInstance,
    code: CodeLocation,
    instigators: list[_Instigator],
    running_daemons: Collection[str],
    now: datetime,
) -> Iterator[OverdueTick]:
    """Automations in the code without a record: never evaluated, although their daemon was running."""
    recorded = {state.name for state in instance.all_instigator_state()}
    for name, automation in sorted(code.automations.items()):
        cadence = automation.cadence
        if name in recorded or not automation.is_running or automation.daemon not in running_daemons or cadence is None:
            continue
        others = [other for other in instigators if other.daemon == automation.daemon and other.last_active]
        was_running = any(_was_running(instance, other, cadence, now) for other in others)
        created_at = None if others else _databases_created_at(instance)
        if was_running or (created_at is not None and now > _expected_by(created_at, cadence)):
            yield OverdueTick(name=name, sentence=f"expected {_cadence_text(cadence)}, never evaluated")


def _was_running(instance: DagsterInstance, other: _Instigator, cadence: _Cadence, now: datetime) -> bool:
    """Whether another automation of the same daemon already ticked three of these intervals ago, and ticks now."""
    if isinstance(cadence, timedelta):
        before = now - _MISSED * max(cadence, _MIN_INTERVAL)
    else:
        before = now - (_expected_by(now, cadence) - now)
    if other.cadence is None or other.last_ended is None or other.last_ended.timestamp <= before.timestamp():
        return False
    ticked = instance.get_ticks(
        other.state.instigator_origin_id, other.state.selector_id, before=before.timestamp(), limit=1, statuses=_ENDED
    )
    return bool(ticked) and _expected_by(datetime.fromtimestamp(ticked[0].timestamp, UTC), other.cadence) >= before


def _databases_created_at(instance: DagsterInstance) -> datetime | None:
    """When Dagster's databases were created: they record then that they need no migration."""
    storage, table = instance.run_storage, SecondaryIndexMigrationTable
    if not isinstance(storage, SqlRunStorage):
        return None
    with storage.connect() as connection:
        created: datetime | None = connection.execute(sql.select(sql.func.min(table.c.create_timestamp))).scalar()
    return None if created is None else created.replace(tzinfo=UTC)


def _newest_by_name(instance: DagsterInstance, code: CodeLocation | None, now: datetime) -> list[_Instigator]:
    """One per name: the records of a code location that was renamed still exist."""
    newest: dict[str, _Instigator] = {}
    for instigator in _instigators(instance, code, now + _CLOCK_TOLERANCE):
        is_removed = code is None and instigator.is_probably_removed
        other = newest.get(instigator.name)
        if not is_removed and (other is None or _last_active_s(other) < _last_active_s(instigator)):
            newest[instigator.name] = instigator
    return list(newest.values())


def _last_active_s(instigator: _Instigator) -> float:
    return instigator.last_active.timestamp() if instigator.last_active else 0.0


def _instigators(instance: DagsterInstance, code: CodeLocation | None, latest: datetime) -> Iterator[_Instigator]:
    running = {InstigatorStatus.RUNNING, InstigatorStatus.DECLARED_IN_CODE}
    for state in instance.all_instigator_state(instigator_statuses=running):
        declared = code.automations.get(state.name) if code else None
        if code and (declared is None or (state.status is not InstigatorStatus.RUNNING and not declared.is_running)):
            continue  # removed from the code, or switched off in it
        # An unfinished tick has no result yet, and does not hide the result of the last ended tick.
        last_ended = _last_tick(instance, state, _ENDED, latest)
        unfinished = _last_tick(instance, state, [TickStatus.STARTED], latest)
        yield _Instigator(state, declared, last_ended, unfinished, latest)


def _last_tick(
    instance: DagsterInstance, state: InstigatorState, statuses: list[TickStatus], latest: datetime
) -> InstigatorTick | None:
    newest = instance.get_ticks(
        state.instigator_origin_id, state.selector_id, before=latest.timestamp(), limit=1, statuses=statuses
    )
    return newest[0] if newest else None


def _to_datetime(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=0)


def _format_time(seconds: float) -> str:
    return f"{_to_datetime(seconds):%Y-%m-%d %H:%M:%S} UTC"
