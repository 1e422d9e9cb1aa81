"""Pushes in Dagster's queue, and automatic pushes of old days: the daemon's own steps, with a real host."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from dagster import AssetKey, DagsterRunStatus
from dagster._core.scheduler.instigation import TickStatus

from aurora_assets import run_tags
from aurora_platform.config.hosts import SshHost
from tests.daemon import SUCCESS, TODAY, Daemon, daemon_of, put

OLD = TODAY - timedelta(days=40)


@pytest.fixture
def daemon(tmp_path: Path, hosts: tuple[SshHost, ...]) -> Iterator[Daemon]:
    def change(data: dict) -> None:
        host = hosts[0].model_dump(mode="json", exclude_none=True)
        data["archive"] = {"hosts": [host], **{name: str(tmp_path / "gws" / name) for name in ("raw", "products")}}

    with daemon_of(tmp_path, change) as daemon:
        yield daemon


def test_small_products_are_sent_while_the_maximum_of_large_pushes_is_running(daemon: Daemon) -> None:
    for number in range(3):
        tags = run_tags.archive(run_tags.PUSH, f"large{number}", "met")
        daemon.record("push_met", DagsterRunStatus.STARTED, **tags)
    waiting = daemon.record("push_met", DagsterRunStatus.QUEUED, **run_tags.archive(run_tags.PUSH, "met/raw", "met"))
    page = daemon.site.paths.products / "plots" / "today.png"
    page.parent.mkdir(parents=True)
    page.write_bytes(b"picture")
    assert daemon.tick("push_core_products").status == TickStatus.SUCCESS
    list(daemon.queue.run_iteration(daemon.workspace))
    assert (daemon.directory / "gws/products/plots/today.png").read_bytes() == b"picture"
    assert daemon.runs(DagsterRunStatus.QUEUED) == [waiting]


def test_an_old_day_that_was_mirrored_late_is_pushed_and_proved_automatically(daemon: Daemon) -> None:
    assert daemon.follow().status == TickStatus.SKIPPED
    place = put(daemon.directory / "met", OLD, "late")
    daemon.make(str(OLD), AssetKey(["raw", "met"]))
    assert daemon.follow().status == TickStatus.SUCCESS
    (run,) = daemon.work()
    assert run.status == SUCCESS
    assert run.asset_selection == {AssetKey(["gws", "raw", "met"]), AssetKey(["manifests", "met"])}
    assert (daemon.directory / "gws/raw/met" / place.name).read_text() == "late"
    finalization = daemon.directory / f"gws/manifests/finalized/met/{OLD}_met_finalized.yaml"
    assert "complete: true" in finalization.read_text()
