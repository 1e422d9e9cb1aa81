"""Check results stay visible when their asset is materialized again, as the UI queries them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from dagster import AssetCheckEvaluation, AssetCheckKey, AssetKey, DagsterInstance
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecord

from aurora_assets.instance.check_visibility import contradicts, keep_visible, newest_results
from aurora_assets.instance.failed_checks import failed_checks
from tests.daemon import HOUR, Daemon, put
from tests.health.check_results import CATALOG, OF_DAY, Records

RAW = AssetKey(["raw", "met"])
MATCHES, FRESH = AssetCheckKey(RAW, "matches_source"), AssetCheckKey(RAW, "is_fresh")
QUERY = """
query ($key: AssetKeyInput!) {
  assetNodeOrError(assetKey: $key) { ... on AssetNode {
    assetChecksOrError { ... on AssetChecks { checks {
      name
      executionForLatestMaterialization {
        status
        evaluation { severity metadataEntries { label ... on TextMetadataEntry { text } } }
      }
    } } }
  } }
}
"""


class Ui:
    """The checks of an asset as the UI shows them: the same query to the same GraphQL schema."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon

    def executions(self) -> dict[str, dict[str, Any] | None]:
        """The result of each check for the newest materialization; None for "not evaluated"."""
        from dagster_graphql.test.utils import execute_dagster_graphql  # takes a second; not needed for collecting

        context = self.daemon.workspace.create_request_context()
        data = execute_dagster_graphql(context, QUERY, {"key": {"path": RAW.path}}).data
        checks = data["assetNodeOrError"]["assetChecksOrError"]["checks"]
        return {one["name"]: one["executionForLatestMaterialization"] for one in checks}

    def status(self, name: str) -> str | None:
        execution = self.executions()[name]
        return execution and execution["status"]


def rows(instance: DagsterInstance) -> list[AssetCheckExecutionRecord]:
    history = instance.event_log_storage.get_asset_check_execution_history
    return [record for key in (MATCHES, FRESH, OF_DAY) for record in history(key, limit=100)]


def test_failed_checks_stay_visible_after_each_new_materialization_and_passes_do_not(
    daemon: Daemon,
) -> None:
    ui, mirrors = Ui(daemon), daemon.definitions.get_job("check_mirrors")

    def arrives(number: int) -> None:
        put(daemon.directory / "met", age=4 * HOUR + number * timedelta(seconds=1), part=f"_{number}")
        daemon.sense_arrivals()
        daemon.work()

    put(daemon.directory / "met", age=4 * HOUR)
    mirrors.execute_in_process(instance=daemon.instance)
    daemon.sense("freshness")
    arrives(1)
    [before] = failed_checks(daemon.instance, daemon.site, None)[0]
    assert (ui.status("matches_source"), ui.status("nothing_foreign"), ui.status("is_fresh")) == (None, None, None)
    daemon.sense("freshness")
    assert (ui.status("matches_source"), ui.status("is_fresh")) == ("FAILED", "FAILED")
    assert ui.status("nothing_foreign") is None, "it passed, and was not evaluated since"
    repeated = ui.executions()["matches_source"]
    assert repeated is not None
    entries = {entry["label"]: entry.get("text") for entry in repeated["evaluation"]["metadataEntries"]}
    assert before.since_utc is not None
    assert entries["found"] == f"{before.since_utc:%Y-%m-%d %H:%M:%S} UTC"
    assert "has not been evaluated again" in entries["repeated"]
    assert failed_checks(daemon.instance, daemon.site, None)[0] == [before], "the time of the failure is unchanged"
    written = rows(daemon.instance)
    tick = daemon.sense("freshness")
    assert tick.skip_reason.endswith("0 results changed; 0 made visible again")
    assert rows(daemon.instance) == written
    arrives(2)
    daemon.sense("freshness")
    assert (ui.status("matches_source"), ui.status("is_fresh")) == ("FAILED", "FAILED")
    assert len(rows(daemon.instance)) == len(written), "no row is added"
    mirrors.execute_in_process(instance=daemon.instance)
    daemon.sense("freshness")
    assert ui.status("matches_source") == "SUCCEEDED"


@pytest.fixture
def records() -> Iterator[Records]:
    with DagsterInstance.ephemeral() as instance:
        yield Records(instance)


def newest(records: Records) -> AssetCheckExecutionRecord:
    return newest_results(records.instance, [OF_DAY])[OF_DAY]


def target(records: Records) -> int | None:
    evaluation = newest(records).evaluation
    made = evaluation.target_materialization_data if evaluation else None
    return made and made.storage_id


def last_made(records: Records) -> int | None:
    [record] = records.instance.get_asset_records([CATALOG])
    return record.asset_entry.last_materialization_storage_id


def keep(records: Records, evaluated: dict[AssetCheckKey, AssetCheckEvaluation] | None = None) -> int:
    return keep_visible(records.instance, newest_results(records.instance, [OF_DAY]), evaluated or {})


def test_a_failure_belongs_to_the_newest_materialization_of_any_partition(records: Records) -> None:
    records.evaluate(OF_DAY, records.materialize(CATALOG, partition="2026-03-05"), is_error=True)
    assert keep(records) == 0, "Dagster shows the result of the same run"
    records.materialize(CATALOG, partition="2026-03-06")
    assert (keep(records), keep(records)) == (1, 0)
    assert target(records) == last_made(records)
    evaluation = newest(records).evaluation
    assert evaluation is not None
    assert (evaluation.severity.value, evaluation.description) == ("ERROR", "2026-03-05: 3 files missing.")
    assert evaluation.metadata["missing"].value == 3
    found = evaluation.metadata["found"]
    records.materialize(CATALOG, partition="2026-03-07")
    assert keep(records) == 1
    assert newest(records).evaluation.metadata["found"] == found  # type: ignore[union-attr]
    assert len(rows(records.instance)) == 1


@pytest.mark.parametrize("is_same_run", [False, True], ids=["of another run", "of the same run, tried again"])
def test_a_real_evaluation_in_between_is_never_overwritten(records: Records, is_same_run: bool) -> None:
    run = records.run()
    records.evaluate(OF_DAY, run)
    records.materialize(CATALOG)
    results = newest_results(records.instance, [OF_DAY])
    records.evaluate(OF_DAY, run if is_same_run else None, passed=True)
    keep_visible(records.instance, results, {})
    evaluation = newest(records).evaluation
    assert evaluation is not None
    assert evaluation.passed
    assert keep(records) == 0


def test_nothing_is_written_while_a_planned_evaluation_is_open(records: Records) -> None:
    records.evaluate(OF_DAY)
    records.materialize(CATALOG)
    records.plan(records.run(), OF_DAY)
    before = rows(records.instance)
    assert keep(records) == 0
    assert rows(records.instance) == before


def test_a_result_evaluated_now_is_kept_visible_even_if_it_passed(records: Records) -> None:
    records.evaluate(OF_DAY, passed=True, description="fresh: 5 min")
    records.materialize(CATALOG)
    assert keep(records) == 0
    now = AssetCheckEvaluation(asset_key=CATALOG, check_name=OF_DAY.name, passed=True, description="fresh: 9 min")
    assert not contradicts(newest(records), now)
    assert keep(records, {OF_DAY: now}) == 1
    evaluation = newest(records).evaluation
    assert evaluation is not None
    assert (evaluation.description, dict(evaluation.metadata)) == ("fresh: 9 min", {})
    assert target(records) == last_made(records)
    records.evaluate(OF_DAY, passed=False)
    assert contradicts(newest(records), now), "an operator's run of the check had another result"


def test_a_result_that_is_removed_meanwhile_stays_removed(records: Records) -> None:
    records.evaluate(OF_DAY)
    records.materialize(CATALOG)
    results = newest_results(records.instance, [OF_DAY])
    records.instance.wipe_assets([CATALOG])
    records.materialize(CATALOG)
    assert keep_visible(records.instance, results, {}) == 0
    assert rows(records.instance) == []
