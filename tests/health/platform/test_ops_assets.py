"""Health and alerts as Dagster runs them: the job, the schedule, and the sensor for runs that fail."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from dagster import DagsterInstance, DagsterRunStatus

from aurora_assets.definitions import build
from aurora_platform.config.site import Site, load_site
from tests.daemon import Daemon, daemon_of
from tests.health.relay import Relay
from tests.patience import in_site_file
from tests.site_files import write_site


def with_mail(relay: Relay):
    def change(data: dict) -> None:
        data["alerts"] = {
            "to": ["ops@example.org"],
            "sender": "aurora@example.org",
            "transport": "smtp",
            "smtp": {"port": relay.port},
            "within": in_site_file(5),
            "disk_percent": 1,  # causes an alert on a disk in use
        }

    return change


@pytest.fixture
def mailing(disk_path: Path, relay: Relay) -> Site:
    return load_site(write_site(disk_path, with_mail(relay)))


def test_the_health_job_observes_writes_and_mails_once_and_reports_a_mail_that_cannot_be_sent(
    mailing: Site, relay: Relay
) -> None:
    job = build(mailing).resolve_job_def("health")
    with DagsterInstance.ephemeral() as instance:
        relay.stop()
        done = job.execute_in_process(instance=instance)
        checks = {check.check_name: check for check in done.get_asset_check_evaluations()}
        assert done.success
        assert not checks["mail_can_leave"].passed
        assert not checks["nothing_is_red"].passed
        relay.start()
        done = job.execute_in_process(instance=instance)
        job.execute_in_process(instance=instance)
    checks = {check.check_name: check for check in done.get_asset_check_evaluations()}
    assert checks["mail_can_leave"].passed
    [mail] = relay.mails
    assert "disk raw" in mail.get_body(("plain",)).get_content()


def test_a_site_without_alerts_has_health_and_sends_nothing(site: Site) -> None:
    definitions = build(site)
    keys = {key.to_user_string() for key in definitions.resolve_asset_graph().get_all_asset_keys()}
    assert "ops/health" in keys
    assert "ops/alerts" not in keys


@pytest.fixture
def platform(tmp_path: Path, relay: Relay) -> Iterator[Daemon]:
    with daemon_of(tmp_path, with_mail(relay)) as daemon:
        yield daemon


def test_a_run_that_fails_is_mailed_at_once_and_once(platform: Daemon, relay: Relay) -> None:
    platform.sense("failed_runs")  # it handles runs that fail after its first tick
    source = Path(platform.site.streams["met"].path)
    day = datetime.now(UTC)
    (source / f"met_{day:%Y%m%d}.txt").write_text("data")
    os.utime(source / f"met_{day:%Y%m%d}.txt", (day.timestamp() - 3600,) * 2)
    platform.sense_arrivals()
    source.rename(source.with_name("gone"))
    [run] = platform.work()
    assert run.status is DagsterRunStatus.FAILURE
    tick = platform.sense("failed_runs")
    assert tick.error is None
    [mail] = relay.mails
    text = mail.get_body(("plain",)).get_content()
    assert "met_day" in text
    assert "no such directory" in text or run.run_id[:8] in text
    platform.sense("failed_runs")
    assert len(relay.mails) == 1


def test_the_schedule_requests_a_run_of_health(platform: Daemon) -> None:
    tick = platform.tick("health")
    assert tick.run_ids
    runs = [platform.instance.get_run_by_id(run_id) for run_id in tick.run_ids]
    assert [run and run.status for run in runs] == [DagsterRunStatus.QUEUED]
