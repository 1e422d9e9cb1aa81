"""Overdue ticks: of a dead code server or a hanging sensor, but not of automations that are off, removed or new."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sql
from click.testing import CliRunner
from dagster import DagsterInstance
from dagster._core.remote_origin import (
    InProcessCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    ScheduleInstigatorData,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster._core.storage.runs.schema import SecondaryIndexMigrationTable as Migrations
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from aurora_assets.definitions import build
from aurora_assets.instance.code_location import Automation, CodeLocation, code_location_of
from aurora_assets.instance.records import DagsterRecords
from aurora_assets.instance.ticks import ticks
from aurora_cli.main import main
from aurora_platform.config.health import Health
from aurora_platform.config.site import load_site
from aurora_platform.health.alert_rules import SnapshotFile, Verdict, evaluate_conditions
from aurora_platform.health.assessment import assess
from aurora_platform.health.models import Assessment, Level, OverdueTick, Platform
from aurora_platform.health.models import Daemon as DaemonState
from aurora_platform.health.report import as_markdown, publish_health
from tests.daemon import Daemon, make_home
from tests.health.host.test_alerts import Site as Alerted
from tests.health.relay import Relay
from tests.health.site_observation import observe_site
from tests.health.snapshots import MINUTES, START, healthy_snapshot, settings
from tests.site_files import write_site

DAEMONS = {"sensor", "scheduler", "asset"}
DAYS = timedelta(days=1)
EVERY, DAILY = Automation(True, every=2 * MINUTES), Automation(True, cron="50 3 * * *")
CODE = CodeLocation(frozenset(), {"arrivals": EVERY, "health": Automation(True, cron="*/5 * * * *"), "daily": DAILY})


@dataclass
class Records:
    """Writes records of sensors, schedules and ticks like Dagster's daemon."""

    instance: DagsterInstance

    def state(
        self,
        name: str,
        began: datetime = START,
        status: InstigatorStatus = InstigatorStatus.DECLARED_IN_CODE,
        location: str = "aurora",
    ) -> InstigatorState:
        target = LoadableTargetOrigin(module_name="aurora_assets.definitions")
        place = InProcessCodeLocationOrigin(target, location_name=location)
        origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(place, "__repository__"), name)
        cron = CODE.automations[name].cron if name in CODE.automations else None
        if cron:
            data = ScheduleInstigatorData(cron, start_timestamp=began.timestamp())
            state = InstigatorState(origin, InstigatorType.SCHEDULE, status, data)
        else:
            sensor = SensorInstigatorData(min_interval=120, last_sensor_start_timestamp=began.timestamp())
            state = InstigatorState(origin, InstigatorType.SENSOR, status, sensor)
        return self.instance.add_instigator_state(state) or state

    def tick(self, state: InstigatorState, when: datetime, status: TickStatus = TickStatus.SKIPPED) -> None:
        self.instance.create_tick(
            TickData(
                instigator_origin_id=state.instigator_origin_id,
                instigator_name=state.name,
                instigator_type=state.instigator_type,
                status=status,
                timestamp=when.timestamp(),
                selector_id=state.selector_id,
            )
        )

    def overdue(
        self, now: datetime, code: CodeLocation | None = CODE, running: set[str] = DAEMONS
    ) -> dict[str, OverdueTick]:
        return {one.name: one for one in ticks(self.instance, code, running, now)[1]}


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    with DagsterInstance.from_config(str(make_home(tmp_path / "home"))) as instance:
        yield Records(instance)


def test_a_real_sensor_is_overdue_if_it_was_not_evaluated_for_three_intervals(daemon: Daemon) -> None:
    code, name = code_location_of(build(daemon.site)), "arrivals_met"
    daemon.sense("freshness")
    (daemon.directory / "met").rmdir()
    tick = daemon.sense_arrivals()
    last = datetime.fromtimestamp(tick.end_timestamp or tick.timestamp, UTC)

    def overdue(now: datetime) -> list[OverdueTick]:
        return ticks(daemon.instance, code, {"sensor"}, now)[1]  # no other daemon has evaluated anything

    assert name not in [one.name for one in overdue(last + 5.9 * MINUTES)]
    found = overdue(last + 7 * MINUTES)
    assert [tick.name for tick in found] == [name, "freshness"], "the tick with an error comes first"
    assert found[0].sentence.startswith("expected every 2m, last tick 20")
    assert "; it failed: " in found[0].sentence
    assert "no such directory" in found[0].sentence
    platform = DagsterRecords(daemon.instance, daemon.site, code).platform(last + 7 * MINUTES)
    assert [one.healthy for one in platform.daemons if one.name == "sensor"] == [False]
    assert platform.overdue_ticks == [], "the stopped daemon has its own line"


def test_a_sensor_is_overdue_from_three_intervals_on_without_an_end(records: Records) -> None:
    state = records.state("arrivals")
    records.tick(state, START)
    assert records.overdue(START + 6 * MINUTES) == {}
    assert list(records.overdue(START + 6.1 * MINUTES)) == ["arrivals"]
    assert list(records.overdue(START + 30 * DAYS)) == ["arrivals"], "it is dead but not removed"
    records.tick(state, START + 30 * DAYS)
    assert records.overdue(START + 30 * DAYS + 6 * MINUTES) == {}


@pytest.mark.parametrize(("name", "interval"), [("health", 5 * MINUTES), ("daily", DAYS)])
def test_a_schedule_is_overdue_after_three_missing_ticks(records: Records, name: str, interval: timedelta) -> None:
    last = START.replace(hour=3, minute=50)
    records.tick(records.state(name), last)
    code = replace(CODE, automations={name: CODE.automations[name]})
    assert records.overdue(last + 2.9 * interval, code) == {}
    assert list(records.overdue(last + 3.1 * interval, code)) == [name]
    assert list(records.overdue(last + 30 * interval, code)) == [name]


def test_a_tick_that_never_ends_makes_its_sensor_overdue(records: Records) -> None:
    state = records.state("arrivals")
    records.tick(state, START)
    records.tick(state, START + 2 * MINUTES, TickStatus.STARTED)
    assert records.overdue(START + 8 * MINUTES) == {}
    found = records.overdue(START + 9 * MINUTES)["arrivals"]
    assert found.sentence.endswith(
        "last tick 2026-03-02 00:00:00 UTC; a tick that began 2026-03-02 00:02:00 UTC has not ended"
    )


def test_a_platform_that_was_just_started_has_no_overdue_ticks(records: Records) -> None:
    for name in CODE.automations:
        records.state(name)
    assert records.overdue(START + 5 * MINUTES) == {}
    assert list(records.overdue(START + 16 * MINUTES)) == ["arrivals", "health"]
    assert (
        records.overdue(START + 16 * MINUTES)["arrivals"].sentence
        == "expected every 2m, no tick since 2026-03-02 00:00:00 UTC"
    )


def test_an_automation_that_is_off_removed_or_without_a_daemon_is_not_overdue(records: Records) -> None:
    records.tick(records.state("arrivals"), START)
    records.tick(records.state("of_last_year"), START)
    records.tick(records.state("daily", status=InstigatorStatus.STOPPED), START)
    later = START + 9 * DAYS
    assert list(records.overdue(later)) == ["arrivals"]
    assert records.overdue(later, running={"scheduler"}) == {}
    off = replace(CODE, automations={"arrivals": replace(EVERY, is_running=False)})
    assert records.overdue(later, off) == {}, "live.running is false now"
    assert records.overdue(later, None) == {}, "without the code it counts as removed after two days"
    assert list(records.overdue(START + DAYS, None)) == ["arrivals", "of_last_year"]


def test_an_automation_that_ticks_in_a_renamed_code_location_is_not_overdue(records: Records) -> None:
    records.tick(records.state("arrivals", location="as_it_was_called"), START)
    records.tick(records.state("arrivals"), START + DAYS)
    assert records.overdue(START + DAYS + MINUTES) == {}


def test_an_automation_without_a_record_is_overdue_three_intervals_after_the_first_start(
    records: Records,
) -> None:
    with records.instance.run_storage.connect() as connection:
        connection.execute(sql.update(Migrations).values(create_timestamp=START.replace(tzinfo=None)))
    assert records.overdue(START + 6 * MINUTES) == {}, "it was just started"
    assert list(records.overdue(START + 16 * MINUTES)) == ["arrivals", "health"]
    found = records.overdue(START + 5 * DAYS)
    assert {name: one.sentence for name, one in found.items()} == {
        "arrivals": "expected every 2m, never evaluated",
        "daily": "expected at '50 3 * * *', never evaluated",
        "health": "expected at '*/5 * * * *', never evaluated",
    }
    assert list(records.overdue(START + 5 * DAYS, running={"sensor"})) == ["arrivals"]
    records.state("arrivals", status=InstigatorStatus.STOPPED)
    assert list(records.overdue(START + 5 * DAYS, running={"sensor"})) == [], "somebody has turned it off"


def test_a_new_automation_is_overdue_only_after_its_daemon_has_ticked_for_three_intervals(
    records: Records,
) -> None:
    other = replace(EVERY, every=MINUTES)
    code, later = replace(CODE, automations={"arrivals": EVERY, "other": other}), START + 30 * DAYS
    state = records.state("other")
    records.tick(state, START)
    records.tick(state, later)
    assert records.overdue(later + MINUTES, code) == {}, "it was off for a month"
    for minutes in range(1, 9):
        records.tick(state, later + minutes * MINUTES)
    assert records.overdue(later + 5 * MINUTES, code) == {}
    assert list(records.overdue(later + 8 * MINUTES, code)) == ["arrivals"]


def test_a_tick_with_a_date_in_the_future_is_ignored(records: Records) -> None:
    state = records.state("arrivals")
    records.tick(state, START)
    records.tick(state, START + 10 * DAYS)
    records.tick(state, START + 10 * DAYS, TickStatus.STARTED)
    assert list(records.overdue(START + MINUTES)) == []
    assert list(records.overdue(START + DAYS)) == ["arrivals"], "the clock was ahead, and was set back"


def test_without_the_code_a_schedule_is_overdue_after_three_ticks_and_removed_after_four(records: Records) -> None:
    last = START.replace(hour=3, minute=50)
    records.tick(records.state("daily"), last)
    records.tick(records.state("arrivals"), last)
    found = [list(records.overdue(last + days * DAYS, None)) for days in (1.9, 2.1, 3.1, 4.1)]
    assert found == [["arrivals"], [], ["daily"], []]


SENTENCE = "expected every 2m, last tick 2026-03-01 12:00:00 UTC"
LATE = [OverdueTick(name=f"arrivals_{n}", sentence=SENTENCE) for n in range(30)]


def test_thirty_overdue_ticks_are_one_red_line_at_the_top() -> None:
    snapshot = healthy_snapshot(START, platform=Platform(overdue_ticks=LATE))
    assessment = assess(snapshot, Health(), {})
    assert assessment.overall_level is Level.RED
    [line] = [one for one in as_markdown(snapshot, assessment).splitlines() if "**RED**" in one]
    assert line.startswith("- **RED** ticks overdue: 30: arrivals\\_0, arrivals\\_1,")
    assert line.endswith(f"arrivals\\_4, and 25 more. arrivals\\_0: {SENTENCE}")


class TestMails:
    """Overdue ticks are one mail, however many they are."""

    def test_one_mail_for_all_and_one_when_they_tick_again(self, tmp_path: Path) -> None:
        relay = Relay().start()
        site = Alerted(tmp_path, relay)
        for minutes in (0, 5, 10, 15):
            site.at(START + minutes * MINUTES, platform=Platform(overdue_ticks=LATE[: 10 + minutes]))
        site.at(START + 20 * MINUTES)
        relay.stop()
        assert relay.subjects == ["[demo] 1 new: ticks overdue", "[demo] 1 resolved: ticks overdue"]

    def test_the_verdict_stays_open_while_a_daemon_is_dead(self) -> None:
        def verdict(*, healthy: bool) -> Verdict:
            platform = Platform(daemons=[DaemonState(name="sensor", healthy=healthy)])
            file = SnapshotFile("", healthy_snapshot(START, platform=platform))
            return evaluate_conditions(file, settings(), START, START, ["ticks overdue"])["ticks overdue"].verdict

        assert (verdict(healthy=False), verdict(healthy=True)) == (Verdict.OPEN, Verdict.WELL)


@pytest.mark.parametrize(("minutes", "level"), [(10, Level.GREEN), (16, Level.RED), (None, Level.GRAY)])
def test_the_command_shows_the_age_of_the_last_health_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, minutes: int | None, level: Level
) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    file = write_site(tmp_path)
    if minutes is not None:
        site = load_site(file)
        snapshot, assessment = observe_site(site, "none")
        before = datetime.now(UTC) - minutes * MINUTES
        publish_health(site, snapshot.model_copy(update={"generated_at_utc": before}), assessment)
    done = CliRunner().invoke(main, ["--site", str(file), "health", "--json"])
    found = {one.component: one for one in Assessment.model_validate_json(done.output).checks}
    assert found["collector"].level is level
