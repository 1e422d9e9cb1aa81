"""A failed check is in the snapshot, the report, ``aurora health`` and the mails, with the next step."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sql
from click.testing import CliRunner
from dagster import AssetCheckKey, AssetKey, DagsterInstance
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable
from sqlalchemy import Connection

from aurora_assets.definitions import build
from aurora_assets.instance import failed_checks
from aurora_assets.instance.check_results import open_failures
from aurora_assets.instance.code_location import CodeLocation, code_location_of
from aurora_assets.instance.records import DagsterRecords
from aurora_cli.main import main
from aurora_platform.config.health import Alerts, Health
from aurora_platform.config.site import Site, load_site
from aurora_platform.health.alert_rules import SnapshotFile, Verdict, evaluate_conditions
from aurora_platform.health.assessment import assess
from aurora_platform.health.models import Assessment, FailedCheck, Level, Platform, Snapshot
from aurora_platform.health.next_steps import NEXT_STEPS, failed_check_details, failed_check_message
from aurora_platform.health.report import as_markdown
from tests.daemon import MET, Daemon, make_home, put
from tests.health.check_results import CATALOG, MATCHES, OF_DAY, RAW, Records
from tests.health.host.test_alerts import Site as Alerted
from tests.health.relay import Relay, text_of
from tests.health.snapshots import HOURS, MINUTES, START, fresh, healthy_snapshot, manifest, offline, settings, stale
from tests.site_files import write_site

RUNBOOK = (Path(__file__).resolve().parents[3] / "docs/operating.md").read_text().partition("## Runbook, by symptom")[2]
NAME = "check raw/cl61:matches_source"


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def records(instance: DagsterInstance) -> Records:
    return Records(instance)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return load_site(write_site(tmp_path, lambda data: data["streams"].update(met=dict(MET))))


def found(instance: DagsterInstance, site: Site, code: CodeLocation | None = None) -> dict[str, FailedCheck]:
    listed, _ = failed_checks.failed_checks(instance, site, code.checks if code else None)
    return {f"{check.asset}:{check.name}": check for check in listed}


def test_a_mirror_s_check_that_fails_is_in_the_snapshot_until_it_passes(daemon: Daemon) -> None:
    put(daemon.directory / "met")
    job, code = daemon.definitions.get_job("check_mirrors"), code_location_of(build(daemon.site))
    assert job.execute_in_process(instance=daemon.instance).success
    failed = found(daemon.instance, daemon.site, code)
    assert list(failed) == ["raw/met:matches_source"]
    platform = DagsterRecords(daemon.instance, daemon.site, code).platform()
    assert (platform.failed_checks, platform.failed_checks_count) == (list(failed.values()), 1)
    check = failed["raw/met:matches_source"]
    assert (check.level, check.stream, check.is_evaluated) == (Level.AMBER, "met", True)
    file = next(path.name for path in (daemon.directory / "met").iterdir())
    assert check.sentence.startswith("local copy compared with the host: 1 settled on the host, missing or different")
    assert check.sentence.endswith(f": {file}).")
    daemon.sense_arrivals()
    daemon.work()
    assert job.execute_in_process(instance=daemon.instance).success
    assert found(daemon.instance, daemon.site, code) == {}


def test_a_failed_check_has_its_partition_and_since_when_it_fails(records: Records, site: Site) -> None:
    for passed in (False, True, False, False):
        run = records.run(**{"dagster/partition": "2026-03-05"})
        records.evaluate(OF_DAY, run, passed=passed, is_error=True)
    history = records.instance.event_log_storage.get_asset_check_execution_history(OF_DAY, limit=4)
    evaluated = [record.event.timestamp for record in history if record.event]
    check = found(records.instance, site)["wxcam/catalog:matches_raw_day"]
    assert (check.level, check.partition, check.stream) == (Level.RED, "2026-03-05", "wxcam")
    assert check.since_utc == datetime.fromtimestamp(evaluated[1], UTC).replace(microsecond=0)
    days = {"dagster/asset_partition_range_start": "2026-03-01", "dagster/asset_partition_range_end": "2026-03-04"}
    records.evaluate(OF_DAY, records.run(**DAY_5), passed=True)
    records.evaluate(OF_DAY, records.run(**days))
    check = found(records.instance, site)["wxcam/catalog:matches_raw_day"]
    assert (check.level, check.partition) == (Level.AMBER, "2026-03-01 to 2026-03-04")


PARTITION = "dagster/partition"
FIRST, LAST = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
DAY_5 = {PARTITION: "2026-03-05"}


def test_a_day_that_stays_broken_stays_bad_while_other_days_pass(records: Records, site: Site) -> None:
    broken = records.run(**{PARTITION: "2026-03-01"})
    records.evaluate(OF_DAY, broken, is_error=True, description="2026-03-01: 300 files are wrong")
    first = found(records.instance, site)
    for _ in range(3):
        records.evaluate(OF_DAY, records.run(**DAY_5), passed=True)
        assert found(records.instance, site) == first
    records.evaluate(OF_DAY, passed=True)
    assert found(records.instance, site) == first, "executed by itself, a check covers the newest days only"
    records.evaluate(OF_DAY, records.run(**{PARTITION: "2026-03-01"}), passed=True)
    assert found(records.instance, site) == {}


def test_a_check_that_fails_for_many_days_is_one_line_with_the_first_few_and_their_number(
    records: Records, site: Site
) -> None:
    for day in range(1, 6):
        run = records.run(**{PARTITION: f"2026-03-0{day}"})
        records.evaluate(OF_DAY, run, is_error=day == 2, description=f"2026-03-0{day}: files missing")
    [(name, check)] = found(records.instance, site).items()
    assert (name, check.level, check.partitions_count) == ("wxcam/catalog:matches_raw_day", Level.RED, 5)
    assert (check.partition, check.sentence) == (
        "2026-03-01, 2026-03-02, 2026-03-03 and 2 more",
        "2026-03-02: files missing",
    )
    assert ", 5 partitions (2026-03-01, 2026-03-02, 2026-03-03 and 2 more): 2026-03-02: files" in failed_check_message(
        check
    )


@pytest.mark.parametrize(
    ("bad", "passed"),
    [
        ({FIRST: "2026-03-01", LAST: "2026-03-03"}, [{PARTITION: f"2026-03-0{day}"} for day in (3, 1, 2)]),
        ({FIRST: "2026-03-01", LAST: "2026-03-03"}, [{FIRST: "2026-02-20", LAST: "2026-03-10"}]),
        ({PARTITION: "2026-03-02"}, [{FIRST: "2026-03-01", LAST: "2026-03-03"}]),
        (
            {FIRST: "2026-03-01-23:00", LAST: "2026-03-02-01:00"},
            [{FIRST: "2026-03-02-00:00", LAST: "2026-03-02-05:00"}, {PARTITION: "2026-03-01-23:00"}],
        ),
        ({PARTITION: "of another kind"}, [{PARTITION: "of another kind"}]),
        ({}, [{}]),
    ],
    ids=["each day", "a wider range", "a day in a range", "hours", "other keys", "no partition"],
)
def test_a_bad_range_stands_until_all_of_it_has_passed(
    records: Records, site: Site, bad: dict[str, str], passed: list[dict[str, str]]
) -> None:
    records.evaluate(OF_DAY, records.run(**bad))
    before = found(records.instance, site)
    for tags in ({PARTITION: "2026-03-09-00:00"}, {FIRST: "2026-04-01", LAST: "2026-04-09"}, *passed):
        assert found(records.instance, site) == before != {}
        records.evaluate(OF_DAY, records.run(**tags), passed=True)
    assert found(records.instance, site) == {}


def test_a_check_that_fails_again_is_bad_since_its_first_failure(records: Records, site: Site) -> None:
    for tags in (DAY_5, DAY_5 | {PARTITION: "2026-03-04"}):
        records.evaluate(OF_DAY, records.run(**tags), passed=True)
    records.evaluate(OF_DAY, records.run(**DAY_5))
    since = found(records.instance, site)["wxcam/catalog:matches_raw_day"].since_utc
    history = records.instance.event_log_storage.get_asset_check_execution_history(OF_DAY, limit=1)
    assert history[0].event is not None
    assert since == datetime.fromtimestamp(history[0].event.timestamp, UTC).replace(microsecond=0)
    move_results(records.instance, hours=-2)
    records.evaluate(OF_DAY, records.run(**DAY_5 | {PARTITION: "2026-03-04"}), passed=True)
    records.evaluate(OF_DAY, records.run(**DAY_5))
    [check] = found(records.instance, site).values()
    assert (check.since_utc, check.partitions_count) == (since - 2 * HOURS, 1)


def move_results(instance: DagsterInstance, hours: float) -> None:
    """Move all results to another time."""
    table = AssetCheckExecutionsTable
    with instance.event_log_storage.index_connection() as connection:
        rows = connection.execute(sql.select(table.c.id, table.c.evaluation_event_timestamp)).all()
        for number, at in rows:
            values = {"evaluation_event_timestamp": at + timedelta(hours=hours)}
            connection.execute(sql.update(table).where(table.c.id == number).values(values))


def test_after_two_weeks_only_the_newest_result_of_a_check_counts(records: Records, site: Site) -> None:
    records.evaluate(OF_DAY, records.run(**DAY_5))
    move_results(records.instance, hours=-24 * 15)
    [check] = found(records.instance, site).values()
    assert (check.partition, check.partitions_count) == ("2026-03-05", 1)
    records.evaluate(OF_DAY, records.run(**{PARTITION: "2026-03-06"}), passed=True)
    assert found(records.instance, site) == {}


def test_the_result_of_a_deleted_run_no_longer_counts(records: Records, site: Site) -> None:
    broken = records.run(**DAY_5)
    records.evaluate(OF_DAY, broken)
    records.evaluate(OF_DAY, records.run(**DAY_5), passed=True)
    records.instance.delete_run(broken.run_id)
    assert found(records.instance, site) == {}


def test_ten_thousand_results_are_read_with_a_few_bounded_queries(
    records: Records, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    execute = Connection.execute

    def counted(self: Connection, query, *args, **kwargs):
        if isinstance(query, sql.Select):
            asked.append(str(query.compile(self.engine, compile_kwargs={"literal_binds": True})))
        return execute(self, query, *args, **kwargs)

    def queries() -> int:
        with monkeypatch.context() as patched:
            patched.setattr(Connection, "execute", counted)
            asked.clear()
            assert list(found(records.instance, site)) == ["wxcam/catalog:matches_raw_day"]
            return len(asked)

    records.evaluate(OF_DAY, records.run(**DAY_5))
    other = records.run(**{PARTITION: "2026-03-06"})
    records.evaluate(OF_DAY, other, passed=True)
    few = queries()
    table = AssetCheckExecutionsTable
    with records.instance.event_log_storage.index_connection() as connection:
        row = dict(connection.execute(sql.select(table).where(table.c.run_id == other.run_id)).mappings().one())
        del row["id"]
        connection.execute(sql.insert(table), [row | {"evaluation_event_storage_id": n} for n in range(10_000)])
    assert queries() == few
    with records.instance.event_log_storage.index_connection() as connection:
        for text in asked:
            if "FROM asset_check_executions" in text:
                plan = connection.execute(sql.text(f"EXPLAIN QUERY PLAN {text}".replace(":", "\\:"))).all()
                read = [row[3] for row in plan if row[3].startswith("SCAN asset_check_executions")]
                assert all("USING" in step for step in read), f"reads the whole table: {text}: {plan}"
    ago = datetime.now(UTC) - timedelta(days=1)
    assert list(open_failures(records.instance, [OF_DAY], ago)) == [OF_DAY]
    few_read = open_failures(records.instance, [OF_DAY], ago, most=100)
    assert few_read == {}, "results that old are not read: they are forgotten, not bad"


def test_is_fresh_and_nothing_is_red_are_not_listed_as_failed_checks(records: Records, site: Site) -> None:
    records.evaluate(AssetCheckKey(RAW, "is_fresh"), is_error=True)
    records.evaluate(AssetCheckKey(AssetKey(["ops", "health"]), "nothing_is_red"))
    assert found(records.instance, site) == {}


def test_a_run_that_has_yet_to_evaluate_a_check_hides_no_failure(records: Records, site: Site) -> None:
    records.evaluate(MATCHES)
    records.plan(records.run(), MATCHES)
    assert list(found(records.instance, site)) == ["raw/met:matches_source"]
    records.evaluate(MATCHES, passed=True)
    records.plan(records.run(), MATCHES)
    assert found(records.instance, site) == {}


def test_a_check_whose_run_failed_before_it_could_not_be_evaluated(records: Records, site: Site) -> None:
    records.evaluate(MATCHES, passed=True)
    run = records.run(**{"dagster/partition": "2026-03-05"})
    records.plan(run, MATCHES)
    records.end(run, is_failed=True)
    check = found(records.instance, site)["raw/met:matches_source"]
    assert (check.level, check.is_evaluated, check.partition) == (Level.AMBER, False, "2026-03-05")
    assert check.sentence == "could not be evaluated: its run failed"
    skipped = records.run()
    records.plan(skipped, OF_DAY)
    records.end(skipped, is_failed=False)
    assert list(found(records.instance, site)) == ["raw/met:matches_source"]


def test_a_check_that_is_no_longer_in_the_code_is_not_listed(records: Records, site: Site) -> None:
    records.evaluate(AssetCheckKey(RAW, "of_last_year"))
    records.evaluate(MATCHES)
    assert list(found(records.instance, site, code_location_of(build(site)))) == ["raw/met:matches_source"]


def test_of_many_failed_checks_the_worst_are_listed_and_all_are_counted(records: Records, site: Site) -> None:
    for name in ("a", "b", "c"):
        records.evaluate(AssetCheckKey(RAW, name), is_error=name == "c")
    listed, count = failed_checks.failed_checks(records.instance, site, None, most=2)
    assert ([check.name for check in listed], count) == (["c", "a"], 3)
    platform = Platform(failed_checks=listed, failed_checks_count=count)
    [line] = [
        c
        for c in assess(healthy_snapshot(START, platform=platform), Health(), {}).checks
        if c.component == "checks failed"
    ]
    assert (line.level, line.message) == (Level.AMBER, "1: 1 more than the 2 listed")
    assert re.search(r"\*\*`checks failed`, `N more than the \d+ listed`\.\*\*", RUNBOOK)
    assert "published N files that had arrived complete before the transfer ended`" in RUNBOOK


def test_many_checks_take_as_many_queries_as_one_check(
    records: Records, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    execute = Connection.execute
    monkeypatch.setattr(Connection, "execute", lambda *a, **k: (asked.append(str(a[1])), execute(*a, **k))[1])

    def queries(names: list[str]) -> int:
        for name in names:
            records.evaluate(AssetCheckKey(RAW, name), passed=True)
        asked.clear()
        assert found(records.instance, site) == {}
        return len(asked)

    assert queries(["a"]) == queries([f"b{n}" for n in range(50)]) > 0


def a_check(name: str = "matches_source", asset: str = "raw/cl61", level: Level = Level.AMBER, **more) -> FailedCheck:
    fields = {"stream": "cl61", "partition": "2026-03-01", "sentence": "cl61: 3 files missing.", "since_utc": START}
    return FailedCheck(asset=asset, name=name, level=level, **fields | more)


def checks(*failed: FailedCheck, count: int | None = None) -> Platform:
    return Platform(failed_checks=list(failed), failed_checks_count=len(failed) if count is None else count)


def lines(snapshot: Snapshot) -> dict[str, str]:
    return {f"{c.level} {c.component}": c.message for c in assess(snapshot, Health(), {}).checks}


def test_a_failed_check_is_a_line_of_the_report_with_the_next_step() -> None:
    snapshot = healthy_snapshot(START, platform=checks(a_check(level=Level.RED, sentence="*3* files\nmissing")))
    assessment = assess(snapshot, Health(), {})
    assert assessment.overall_level is Level.RED
    text = as_markdown(snapshot, assessment)
    assert f"- **RED** {NAME.replace('_', chr(92) + '_')}: failed since 2026-03-02 00:00:00 UTC" in text
    assert "partition 2026-03-01: \\*3\\* files" in text
    assert "aurora sync cl61 to copy the missing files" in text


def test_missing_files_have_one_line_and_all_checks_that_were_not_evaluated_have_one_line() -> None:
    gaps = a_check("no_settled_gap", "manifests/cl61", Level.RED)
    unknown = [a_check("plays", f"wxcam/{n}", is_evaluated=False) for n in ("a", "b")]
    bad = lines(healthy_snapshot(START, platform=checks(gaps, *unknown), manifests=[manifest("cl61", missing=3)]))
    assert "red check manifests/cl61:no_settled_gap" not in bad
    assert bad["amber checks not evaluated"] == "2: wxcam/a: plays; wxcam/b: plays"
    assert "red check manifests/cl61:no_settled_gap" in lines(healthy_snapshot(START, platform=checks(gaps)))


def test_the_command_shows_a_failed_check_and_the_next_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = make_home(tmp_path / "home")
    with DagsterInstance.from_config(str(home)) as instance:
        Records(instance).evaluate(OF_DAY, is_error=True)
        Records(instance).evaluate(AssetCheckKey(CATALOG, "of_last_year"))
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    done = CliRunner().invoke(main, ["--site", str(write_site(tmp_path)), "health", "--json"])
    by_name = {c.component: c for c in Assessment.model_validate_json(done.output).checks}
    check = by_name["check wxcam/catalog:matches_raw_day"]
    assert check.level is Level.RED
    assert "materialize wxcam/catalog for that day" in check.details
    assert "check wxcam/catalog:of_last_year" not in by_name


class TestMails:
    """A failed check is mailed when it has failed for half an hour."""

    @pytest.fixture
    def site(self, tmp_path: Path, relay: Relay) -> Alerted:
        return Alerted(tmp_path, relay)

    def test_one_mail_after_half_an_hour_and_one_when_it_passes(self, site: Alerted, relay: Relay) -> None:
        for minutes in range(0, 30, 5):
            site.at(START + minutes * MINUTES, platform=checks(a_check()))
        assert relay.mails == []
        site.at(START + 30 * MINUTES, platform=checks(a_check()))
        site.at(START + 35 * MINUTES, platform=checks(a_check()))
        site.at(START + 40 * MINUTES)
        assert relay.subjects == [f"[demo] 1 new: {NAME}", f"[demo] 1 resolved: {NAME}"]
        assert "cl61: 3 files missing" in text_of(relay.mails[0])
        assert "aurora sync cl61" in text_of(relay.mails[0])

    def test_a_check_that_a_cut_list_leaves_out_is_not_over(self, site: Alerted, relay: Relay) -> None:
        for minutes in (0, 30):
            site.at(START + minutes * MINUTES, platform=checks(a_check()))
        others = checks(a_check("plays", "wxcam/a"), count=9)
        site.at(START + 35 * MINUTES, platform=others)
        site.at(START + 40 * MINUTES, platform=Platform(error="a database is locked"))
        assert relay.subjects == [f"[demo] 1 new: {NAME}"]
        site.at(START + 45 * MINUTES)
        assert relay.subjects[1:] == [f"[demo] 1 resolved: {NAME}"]

    @pytest.mark.parametrize(
        ("check", "changes"),
        [
            (a_check(), {"freshness": [*offline("cl61"), fresh("wxcam", "source", Level.GREEN)]}),
            (a_check(), {"freshness": stale("cl61")}),
            (a_check("no_settled_gap", "manifests/cl61"), {"manifests": [manifest("cl61", missing=3)]}),
            (a_check(is_evaluated=False), {}),
            (a_check("mail_can_leave", "ops/alerts", stream=None), {}),
        ],
        ids=["planned offline", "source stale", "manifests", "its run is mailed", "mails cannot leave"],
    )
    def test_a_check_that_is_mailed_as_something_else_or_is_off_is_not_mailed(
        self, check: FailedCheck, changes: dict
    ) -> None:
        snapshot = healthy_snapshot(START, platform=checks(check), **changes)
        conditions = evaluate_conditions(SnapshotFile("latest.json", snapshot), settings(), START, START)
        bad = [
            key
            for key, condition in conditions.items()
            if condition.verdict is Verdict.BAD and key.startswith("check ")
        ]
        assert bad == []

    def test_the_hold_time_is_a_key_of_the_site_file(self) -> None:
        given = settings(checks_after="2h")
        snapshot = healthy_snapshot(START, platform=checks(a_check()))
        assert evaluate_conditions(SnapshotFile("latest.json", snapshot), given, START, START)[NAME].hold == 2 * HOURS
        assert Alerts.model_fields["checks_after"].default == timedelta(minutes=30)


@pytest.mark.parametrize("name", ["gamb2le", "demo"])
def test_every_check_of_a_site_has_its_next_step_and_its_entry_in_the_runbook(name: str) -> None:
    site = load_site(Path(__file__).resolve().parents[3] / f"sites/{name}.yaml")
    if site.archive:
        mail = settings()
        site = site.model_copy(update={"alerts": mail})
    for key in code_location_of(build(site)).checks:
        assert key.name in NEXT_STEPS, f"{key.name}: say what to do in aurora_platform/health/next_steps.py"
        assert re.search(rf"`{key.name}`[^\n]* fails?\b", RUNBOOK), f"{key.name}: no entry in docs/operating.md"
        failed_check_details(a_check(key.name))
