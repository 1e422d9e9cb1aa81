"""Writes results of asset checks to Dagster's records, as runs and sensors do."""

from __future__ import annotations

from dataclasses import dataclass

from dagster import (
    AssetCheckEvaluation,
    AssetCheckKey,
    AssetCheckSeverity,
    AssetKey,
    AssetMaterialization,
    DagsterEvent,
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
)
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationPlanned
from dagster._core.events import StepMaterializationData

JOB = "met_day"
RAW, CATALOG = AssetKey(["raw", "met"]), AssetKey(["wxcam", "catalog"])
MATCHES, OF_DAY = AssetCheckKey(RAW, "matches_source"), AssetCheckKey(CATALOG, "matches_raw_day")


@dataclass
class Records:
    """Writes the records of a run without running anything."""

    instance: DagsterInstance

    def run(self, **tags: str) -> DagsterRun:
        return self.instance.add_run(DagsterRun(job_name=JOB, status=DagsterRunStatus.STARTED, tags=tags))

    def plan(self, run: DagsterRun, key: AssetCheckKey) -> None:
        planned = AssetCheckEvaluationPlanned(asset_key=key.asset_key, check_name=key.name)
        self._report(run, DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED, planned)

    def evaluate(
        self, key: AssetCheckKey, run: DagsterRun | None = None, *, passed: bool = False, is_error: bool = False, **more
    ) -> AssetCheckEvaluation:
        """Write a result of a check, in a new run by default."""
        evaluation = AssetCheckEvaluation(
            asset_key=key.asset_key,
            check_name=key.name,
            passed=passed,
            severity=AssetCheckSeverity.ERROR if is_error else AssetCheckSeverity.WARN,
            **{"description": "2026-03-05: 3 files missing.", "metadata": {"missing": 3}} | more,
        )
        self._report(run or self.run(), DagsterEventType.ASSET_CHECK_EVALUATION, evaluation)
        return evaluation

    def materialize(self, key: AssetKey, run: DagsterRun | None = None, partition: str | None = None) -> DagsterRun:
        run = run or self.run()
        made = StepMaterializationData(AssetMaterialization(key, partition=partition))
        self._report(run, DagsterEventType.ASSET_MATERIALIZATION, made)
        return run

    def end(self, run: DagsterRun, *, is_failed: bool) -> None:
        kind = DagsterEventType.RUN_FAILURE if is_failed else DagsterEventType.RUN_SUCCESS
        self._report(run, kind, None)

    def _report(self, run: DagsterRun, kind: DagsterEventType, data) -> None:
        event = DagsterEvent(kind.value, JOB, step_key="step", event_specific_data=data)
        self.instance.report_dagster_event(event, run.run_id)
