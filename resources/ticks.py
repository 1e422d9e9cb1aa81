"""The ticks of sensors and schedules, as Dagster's records show them: those that fail, and those that do not come."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice

from dagster import DagsterInstance
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorTick,
    ScheduleInstigatorData,
    SensorInstigatorData,
    TickStatus,
)
from dagster._utils.schedules import schedule_execution_time_iterator

from aurora_assets.health.model import OverdueTick, Tick
from aurora_assets.values import format_duration
from resources.code_location import Automation, CodeLocation

# Where nobody says what is in the code, what has not ticked for longer is taken for gone. Every sensor and schedule
# ticks at least once a day.
_FORGOTTEN = timedelta(days=2)
_MISSED = 3  # ticks
# A sensor that is due more often waits for a place among the others.
_SHORTEST = timedelta(minutes=1)
_ENDED = [TickStatus.SUCCESS, TickStatus.SKIPPED, TickStatus.FAILURE]


@dataclass(frozen=True)
class _Instigator:
    """A sensor or schedule that should be running, with its newest ticks."""

    state: InstigatorState
    declared: Automation | None
    ended: InstigatorTick | None
    going: InstigatorTick | None

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
        return max((datetime.fromtimestamp(time, UTC) for time in times if time), default=None)

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
        seen_at, due = self.seen_at, self._due()
        if seen_at is None or due is None or now <= self._third_after(seen_at, due):
            return None
        last = self.ended.timestamp if self.ended else None
        said = f"last tick {_time(last)}" if last else f"no tick since {seen_at:%Y-%m-%d %H:%M:%S} UTC"
        if self.going and (last is None or self.going.timestamp > last):
            said += f"; one that began {_time(self.going.timestamp)} has not ended"
        every = f"every {format_duration(due)}" if isinstance(due, timedelta) else f"at {due!r}"
        return OverdueTick(
            name=self.name,
            last_tick_utc=datetime.fromtimestamp(last, UTC).replace(microsecond=0) if last else None,
            sentence=f"due {every}, {said}" + (f"; it failed: {self.error}" if self.error else ""),
        )

    def _due(self) -> timedelta | str | list[str] | None:
        """How often: a time between two ticks, or the lines of a schedule."""
        data = self.state.instigator_data
        if isinstance(data, SensorInstigatorData):
            said = self.declared.every if self.declared else None
            return said or (timedelta(seconds=data.min_interval) if data.min_interval else None)
        if isinstance(data, ScheduleInstigatorData):
            cron = (self.declared.cron if self.declared else None) or data.cron_schedule
            return cron if isinstance(cron, str) else list(cron)
        return None

    def _third_after(self, seen_at: datetime, due: timedelta | str | list[str]) -> datetime:
        if isinstance(due, timedelta):
            return seen_at + _MISSED * max(due, _SHORTEST)
        times = schedule_execution_time_iterator(seen_at.timestamp() + 1, due, "UTC")
        return next(islice(times, _MISSED - 1, None))


def ticks(
    instance: DagsterInstance, code: CodeLocation | None, running_daemons: Collection[str], now: datetime
) -> tuple[list[Tick], list[OverdueTick]]:
    """Sensors and schedules whose last tick failed, and those of which three ticks have not come.

    Parameters
    ----------
    instance, now
        Dagster's records, and the time.
    code
        What is in the code. Without it nobody can tell what is dead from what is gone: after two days it is gone.
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
    # One that says why comes first.
    return failing, [tick for _, tick in sorted(overdue, key=lambda pair: pair[0])]


def _newest_of_each(instance: DagsterInstance, code: CodeLocation | None, now: datetime) -> list[_Instigator]:
    """One for each name: of a code location that was called otherwise, the records are still there."""
    found: dict[str, _Instigator] = {}
    for one in _instigators(instance, code):
        is_gone = code is None and one.seen_at is not None and one.seen_at < now - _FORGOTTEN
        before = found.get(one.name)
        if not is_gone and (before is None or _newness(before) < _newness(one)):
            found[one.name] = one
    return list(found.values())


def _newness(one: _Instigator) -> float:
    return one.seen_at.timestamp() if one.seen_at else 0.0


def _instigators(instance: DagsterInstance, code: CodeLocation | None) -> Iterator[_Instigator]:
    running = {InstigatorStatus.RUNNING, InstigatorStatus.DECLARED_IN_CODE}
    for state in instance.all_instigator_state(instigator_statuses=running):
        declared = code.automations.get(state.name) if code else None
        if code and (declared is None or (state.status is not InstigatorStatus.RUNNING and not declared.is_running)):
            continue  # in the code no more, or turned off there
        # One that is going on says nothing yet, and does not hide what the last one said.
        ended, going = (_last(instance, state, statuses) for statuses in (_ENDED, [TickStatus.STARTED]))
        yield _Instigator(state, declared, ended, going)


def _last(instance: DagsterInstance, state: InstigatorState, statuses: list[TickStatus]) -> InstigatorTick | None:
    newest = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1, statuses=statuses)
    return newest[0] if newest else None


def _at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=0)


def _time(seconds: float) -> str:
    return f"{_at(seconds):%Y-%m-%d %H:%M:%S} UTC"
