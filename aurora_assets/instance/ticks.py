"""The ticks of sensors and schedules, as Dagster's records show them: those that fail, and those that do not come."""

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

# Where nobody says what is in the code, what has not ticked for longer, and missed more ticks, is taken for gone.
_FORGOTTEN, _FORGOTTEN_TICKS = timedelta(days=2), 4
_MISSED = 3  # ticks
_AHEAD = timedelta(minutes=1)  # of the time that a look began at
# A sensor that is due more often waits for a place among the others.
_SHORTEST = timedelta(minutes=1)
_ENDED = [TickStatus.SUCCESS, TickStatus.SKIPPED, TickStatus.FAILURE]


type _Due = timedelta | str | list[str]
"""A time between two ticks, or the lines of a schedule."""


@dataclass(frozen=True)
class _Instigator:
    """A sensor or schedule that should be running, with its newest ticks."""

    state: InstigatorState
    declared: Automation | None
    ended: InstigatorTick | None
    going: InstigatorTick | None
    latest: datetime
    """What is dated later was written while the clock was wrong, and says nothing of now."""

    @property
    def name(self) -> str:
        return self.state.name

    @property
    def seen_at(self) -> datetime | None:
        """When it ticked last, or when Dagster began to look at it."""
        data, times = self.state.instigator_data, []
        if isinstance(data, SensorInstigatorData):
            times = [data.last_sensor_start_timestamp]
        elif isinstance(data, ScheduleInstigatorData):
            times = [data.start_timestamp, data.last_iteration_timestamp]
        times += [tick.timestamp for tick in (self.ended, self.going) if tick]
        times += [self.ended.end_timestamp] if self.ended else []
        seen = [datetime.fromtimestamp(time, UTC) for time in times if time]
        return max((at for at in seen if at <= self.latest), default=None)

    @property
    def daemon(self) -> str:
        """Which daemon of Dagster's evaluates it, by its name in small letters."""
        data = self.state.instigator_data
        if isinstance(data, ScheduleInstigatorData):
            return "scheduler"
        kind = data.sensor_type if isinstance(data, SensorInstigatorData) else None
        return "asset" if kind is not None and kind.is_handled_by_asset_daemon else "sensor"

    @property
    def error(self) -> str | None:
        """Why its last tick failed, where it did."""
        if self.ended is None or self.ended.status is not TickStatus.FAILURE or self.ended.error is None:
            return None
        cause = self.ended.error.cause or self.ended.error  # ours is below Dagster's own
        return " ".join(cause.message.split())[:300]

    def overdue(self, now: datetime) -> OverdueTick | None:
        """Whether three of its ticks have not come; one that goes on for that long counts as none."""
        seen_at, due = self.seen_at, self.due
        if seen_at is None or due is None or now <= _after(seen_at, due):
            return None
        last = self.ended.timestamp if self.ended else None
        said = f"last tick {_time(last)}" if last else f"no tick since {seen_at:%Y-%m-%d %H:%M:%S} UTC"
        if self.going and (last is None or self.going.timestamp > last):
            said += f"; one that began {_time(self.going.timestamp)} has not ended"
        return OverdueTick(
            name=self.name,
            last_tick_utc=datetime.fromtimestamp(last, UTC).replace(microsecond=0) if last else None,
            sentence=f"due {_often(due)}, {said}" + (f"; it failed: {self.error}" if self.error else ""),
        )

    @property
    def due(self) -> _Due | None:
        """How often, by the code; else as Dagster has recorded it."""
        data = self.state.instigator_data
        if isinstance(data, SensorInstigatorData):
            said = self.declared.every if self.declared else None
            return said or (timedelta(seconds=data.min_interval) if data.min_interval else None)
        if isinstance(data, ScheduleInstigatorData):
            cron = (self.declared.cron if self.declared else None) or data.cron_schedule
            return cron if isinstance(cron, str) else list(cron)
        return None

    @property
    def is_gone(self) -> bool:
        """Whether it may well be in the code no more, where nobody says what is."""
        seen_at, due, now = self.seen_at, self.due, self.latest - _AHEAD
        if seen_at is None or seen_at >= now - _FORGOTTEN:
            return False
        return due is None or now > _after(seen_at, due, _FORGOTTEN_TICKS)


def _after(seen_at: datetime, due: _Due, ticks: int = _MISSED) -> datetime:
    """When so many ticks should have come."""
    if isinstance(due, timedelta):
        return seen_at + ticks * max(due, _SHORTEST)
    times = schedule_execution_time_iterator(seen_at.timestamp() + 1, due, "UTC")
    return next(islice(times, ticks - 1, None))


def _often(due: _Due) -> str:
    return f"every {format_duration(due)}" if isinstance(due, timedelta) else f"at {due!r}"


def ticks(
    instance: DagsterInstance, code: CodeLocation | None, running_daemons: Collection[str], now: datetime
) -> tuple[list[Tick], list[OverdueTick]]:
    """Sensors and schedules whose last tick failed, and those of which three ticks have not come.

    Parameters
    ----------
    instance, now
        Dagster's records, and the time.
    code
        What is in the code. Without it nobody can tell what is dead from what is gone: after two days, and four ticks
        that did not come, it is gone.
    running_daemons
        Names of Dagster's daemons that run. Of the others no tick is expected.
    """
    found = sorted(_newest_of_each(instance, code, now), key=lambda one: one.name)
    failing = [
        Tick(name=one.name, since_utc=_at(one.ended.timestamp), error=one.error)
        for one in found
        if one.error and one.ended
    ]
    expected = [(one, one.overdue(now)) for one in found if one.daemon in running_daemons]
    overdue = [(one.error is None, tick) for one, tick in expected if tick]
    overdue += [(True, tick) for tick in _never(instance, code, found, running_daemons, now)] if code else []
    # One that says why comes first.
    return failing, [tick for _, tick in sorted(overdue, key=lambda pair: pair[0])]


def _never(
    instance: DagsterInstance, code: CodeLocation, found: list[_Instigator], running: Collection[str], now: datetime
) -> Iterator[OverdueTick]:
    """What the code has and Dagster has no record of: it was never evaluated, though its daemon was there."""
    known = {state.name for state in instance.all_instigator_state()}
    for name, one in sorted(code.automations.items()):
        due = one.due
        if name in known or not one.is_running or one.daemon not in running or due is None:
            continue
        others = [other for other in found if other.daemon == one.daemon and other.seen_at]
        was_up = any(_was_up(instance, other, due, now) for other in others)
        made_at = None if others else _made_at(instance)
        if was_up or (made_at is not None and now > _after(made_at, due)):
            yield OverdueTick(name=name, sentence=f"due {_often(due)}, never evaluated")


def _was_up(instance: DagsterInstance, other: _Instigator, due: _Due, now: datetime) -> bool:
    """Whether another one of the same daemon ticked three of these intervals ago already, and does now."""
    length = _MISSED * max(due, _SHORTEST) if isinstance(due, timedelta) else _after(now, due) - now
    before = now - length
    if other.due is None or other.ended is None or other.ended.timestamp <= before.timestamp():
        return False
    ticked = instance.get_ticks(
        other.state.instigator_origin_id, other.state.selector_id, before=before.timestamp(), limit=1, statuses=_ENDED
    )
    return bool(ticked) and _after(datetime.fromtimestamp(ticked[0].timestamp, UTC), other.due) >= before


def _made_at(instance: DagsterInstance) -> datetime | None:
    """When Dagster's databases were made: they note then that they need no migration."""
    storage, table = instance.run_storage, SecondaryIndexMigrationTable
    if not isinstance(storage, SqlRunStorage):
        return None
    with storage.connect() as connection:
        made: datetime | None = connection.execute(sql.select(sql.func.min(table.c.create_timestamp))).scalar()
    return None if made is None else made.replace(tzinfo=UTC)


def _newest_of_each(instance: DagsterInstance, code: CodeLocation | None, now: datetime) -> list[_Instigator]:
    """One for each name: of a code location that was called otherwise, the records are still there."""
    found: dict[str, _Instigator] = {}
    for one in _instigators(instance, code, now + _AHEAD):
        is_gone = code is None and one.is_gone
        before = found.get(one.name)
        if not is_gone and (before is None or _newness(before) < _newness(one)):
            found[one.name] = one
    return list(found.values())


def _newness(one: _Instigator) -> float:
    return one.seen_at.timestamp() if one.seen_at else 0.0


def _instigators(instance: DagsterInstance, code: CodeLocation | None, latest: datetime) -> Iterator[_Instigator]:
    running = {InstigatorStatus.RUNNING, InstigatorStatus.DECLARED_IN_CODE}
    for state in instance.all_instigator_state(instigator_statuses=running):
        declared = code.automations.get(state.name) if code else None
        if code and (declared is None or (state.status is not InstigatorStatus.RUNNING and not declared.is_running)):
            continue  # in the code no more, or turned off there
        # One that is going on says nothing yet, and does not hide what the last one said.
        ended, going = (_last(instance, state, some, latest) for some in (_ENDED, [TickStatus.STARTED]))
        yield _Instigator(state, declared, ended, going, latest)


def _last(
    instance: DagsterInstance, state: InstigatorState, statuses: list[TickStatus], latest: datetime
) -> InstigatorTick | None:
    newest = instance.get_ticks(
        state.instigator_origin_id, state.selector_id, before=latest.timestamp(), limit=1, statuses=statuses
    )
    return newest[0] if newest else None


def _at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=0)


def _time(seconds: float) -> str:
    return f"{_at(seconds):%Y-%m-%d %H:%M:%S} UTC"
