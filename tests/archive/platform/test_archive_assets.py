"""The archive in Dagster: pushes, evidence, checks and schedules.

The archive is three real hosts over one directory where a test asks for it, otherwise a directory of this machine.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster import (
    AssetCheckSeverity,
    AssetKey,
    DagsterInstance,
    ExecuteInProcessResult,
    RunRequest,
)

from aurora_assets.definitions import build
from aurora_platform.archive.stores import Records
from aurora_platform.config.hosts import SshHost
from aurora_platform.config.site import Site
from tests.archive.dagster_site import FILES, Platform, checks
from tests.archive.pushed import hosts_of_kind
from tests.daemon import make_home
from tests.mirror.parts import DAY, write


@pytest.fixture
def platform(request: pytest.FixtureRequest, tmp_path: Path, hosts: tuple[SshHost, ...]) -> Iterator[Platform]:
    home = make_home(tmp_path / "dagster")  # a tick needs an instance with a directory on disk
    with DagsterInstance.from_config(str(home)) as instance:
        yield Platform(tmp_path, hosts_of_kind(getattr(request, "param", "local"), hosts), instance)


@pytest.fixture
def filled(platform: Platform) -> Platform:
    write(platform.home / "instrument", FILES)
    platform.run("met_day")
    return platform


def metadata(done: ExecuteInProcessResult, *key: str) -> dict[str, Any]:
    [event] = [e for e in done.get_asset_materialization_events() if e.asset_key == AssetKey(list(key))]
    return {name: value.value for name, value in event.materialization.metadata.items()}


@pytest.mark.parametrize("platform", ["ssh"], indirect=True)
def test_a_day_is_pushed_proved_and_finalized_locally_and_in_the_archive(filled: Platform) -> None:
    done = filled.run("push_met")
    values = metadata(done, "gws", "raw", "met")
    assert (values["files"], values["copied"], values["queued"], values["host"]) == (5, 5, 0, values["host"])
    assert values["host"].startswith("127.0.0.11")
    assert re.fullmatch(r"[0-9.]+ [kMG]?B/s", values["rate"])
    assert checks(done)["nothing_parked"].passed
    archived = filled.home / "gws/raw/met"
    assert {path.name: path.read_bytes() for path in archived.iterdir()} == FILES
    done = filled.run("verify_met")
    assert checks(done)["no_settled_gap"].passed
    assert checks(done)["every_place_was_seen"].passed
    values = metadata(done, "manifests", "met")
    assert values["is_final"] is True
    assert "refused" not in values, "a rare count is shown only where there is one"
    finalized = filled.home / "gws/manifests/finalized/met"
    values = yaml.safe_load((finalized / f"{DAY}_met_finalized.yaml").read_text())
    assert (values["complete"], values["files"]) == (True, 5)
    assert hashlib.sha256((finalized / values["manifest"]).read_bytes()).hexdigest() == values["manifest_sha256"]
    local = filled.site.paths.manifests / "finalized/met"
    assert {p.name: p.read_bytes() for p in finalized.iterdir()} == {p.name: p.read_bytes() for p in local.iterdir()}


def test_a_second_push_and_verification_find_no_work_and_have_the_same_data_version(
    filled: Platform,
) -> None:
    filled.run("push_met")
    filled.run("verify_met")
    keys = [AssetKey(["gws", "raw", "met"]), AssetKey(["manifests", "met"])]
    before = [version(filled, key) for key in keys]
    again = metadata(filled.run("push_met"), "gws", "raw", "met")
    counts = "seen 5 = copied 0 + unchanged 5 + unsettled 0 + failed 0 + parked 0 + refused 0"
    assert again["summary"].split(";")[0] == counts
    assert "host" not in again, "no host was needed"
    values = metadata(filled.run("verify_met"), "manifests", "met")
    assert values["summary"].endswith("read: none")
    assert "days_finalized_or_withdrawn" not in values
    assert before == [version(filled, key) for key in keys]


def version(platform: Platform, key: AssetKey) -> str:
    event = platform.instance.get_latest_data_version_record(key, partition_key=str(DAY))
    assert event is not None
    assert event.asset_materialization is not None
    return event.asset_materialization.tags["dagster/data_version"]


def test_a_flipped_byte_in_the_archive_is_red_and_its_finalization_is_withdrawn_there_too(filled: Platform) -> None:
    filled.run("push_met")
    filled.run("verify_met")
    place = filled.home / "gws/raw/met/met_20260305_3.csv"
    status, content = place.stat(), bytearray(place.read_bytes())
    content[7] ^= 1
    place.write_bytes(content)
    os.utime(place, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert checks(filled.run("verify_met"))["no_settled_gap"].passed, "a listing shows no change"
    config = {"ops": {"manifests__met": {"config": {"full": True}}}}
    done = filled.run("verify_met", config=config)
    check = checks(done)["no_settled_gap"]
    assert (check.passed, check.severity) == (False, AssetCheckSeverity.ERROR)
    assert [row["gap"] for row in rows(check)] == ["met_20260305_3.csv: different checksum in the archive"]
    finalization = yaml.safe_load((filled.home / f"gws/manifests/finalized/met/{DAY}_met_finalized.yaml").read_text())
    assert finalization["complete"] is False
    assert isinstance(filled.tick("push_met"), str), "no run is requested"
    assert place.read_bytes() == content, "nothing is repaired without a request"


def test_a_rewritten_finalized_file_warns_for_days_and_names_where_the_earlier_version_is(
    filled: Platform,
) -> None:
    assert checks(filled.run("push_met"))["finalized_files_stay"].passed
    filled.run("verify_met")
    name = "met_20260305_2.csv"
    write(filled.home / "instrument", {name: b"anew"})
    filled.run("met_day")
    done = filled.run("push_met")
    values = metadata(done, "gws", "raw", "met")
    assert "copied 1 + unchanged 4" in values["summary"]
    assert (values["replaced"], values["versions_kept"]) == (1, 1)
    assert values["versions_kept_bytes"] == len(FILES[name])
    assert "held_back" not in values
    assert Path(values["replaced_kept_in"], "met", name).read_bytes() == FILES[name]
    for again in (done, filled.run("push_met")):
        check = checks(again)["finalized_files_stay"]
        assert (check.passed, check.severity) == (False, AssetCheckSeverity.WARN)
        assert values["replaced_kept_in"] in check.description
    assert (filled.home / "gws/raw/met" / name).read_bytes() == b"anew"


def test_a_finalization_that_cannot_be_copied_to_the_archive_is_reported_and_never_parked(filled: Platform) -> None:
    filled.run("push_met")
    place = filled.home / f"gws/manifests/finalized/met/{DAY}_met_finalized.yaml"
    place.mkdir(parents=True)
    (place / "in the way").touch()
    check = checks(filled.run("verify_met"))["every_place_was_seen"]
    assert not check.passed
    assert "1 finalizations could not be copied to it" in check.description
    with Records(filled.site).ledger() as ledger:
        assert ledger.mark_failed("gws", [(str(place), "no")], 1) == [str(place)]
    (place / "in the way").unlink()
    place.rmdir()
    assert checks(filled.run("verify_met"))["every_place_was_seen"].passed
    assert "complete: true" in place.read_text()


def rows(check: Any) -> list[dict[str, Any]]:
    return [dict(record.data) for record in check.metadata["first"].value.records]


def test_with_all_hosts_down_a_verification_names_each_and_reports_no_missing_files(
    tmp_path: Path, hosts: tuple[SshHost, ...]
) -> None:
    dead = tuple(host.model_copy(update={"port": 1}) for host in hosts)
    with DagsterInstance.ephemeral() as instance:
        platform = Platform(tmp_path, dead, instance)
        write(platform.home / "instrument", FILES)
        platform.run("met_day")
        done = platform.run("verify_met")
        check = checks(done)["every_place_was_seen"]
        assert not check.passed
        assert all(host.address in check.description for host in dead)
        assert checks(done)["no_settled_gap"].passed


class TestSchedules:
    """Ticks read only local state, and request a run where there is work."""

    @pytest.fixture
    def today(self, platform: Platform) -> date:
        today = datetime.now(UTC).date()
        write(
            platform.home / "instrument",
            {f"met_{today:%Y%m%d}_{n}.csv": b"now\n" for n in range(3)},
            at=datetime.now(UTC) - timedelta(hours=2),
        )
        platform.run("met_day", today)
        return today

    def test_a_push_is_requested_once_for_new_files(self, platform: Platform, today: date) -> None:
        [request] = platform.tick("push_met")
        assert isinstance(request, RunRequest)
        assert request.partition_key == str(today)
        platform.run("push_met", today)
        assert "is copied" in platform.tick("push_met")

    def test_a_verification_is_requested_until_every_day_was_verified(self, platform: Platform, today: date) -> None:
        platform.alter_stream(start=today - timedelta(days=20))  # a fixed start would add a day of work every day
        platform.run("push_met", today)
        requests = platform.tick("verify_met")
        assert [request.tags["aurora/lane"] for request in requests] == ["evidence", "evidence_history"]
        for request in requests:
            platform.definitions.resolve_job_def("verify_met").execute_in_process(
                instance=platform.instance, partition_key=request.partition_key, tags=request.tags
            )
        assert "nothing is pending, and nothing was copied since" in platform.tick("verify_met")

    def test_a_stream_that_is_planned_offline_is_verified_once_a_day(self, platform: Platform) -> None:
        platform.alter_stream(enabled=False)
        [request] = platform.tick("verify_met")
        assert request.tags["aurora/lane"] == "evidence_history"

    def test_a_file_that_the_archive_lost_is_pushed_again_after_the_next_verification(
        self, platform: Platform, today: date
    ) -> None:
        platform.run("push_met", today)
        lost = platform.home / f"gws/raw/met/met_{today:%Y%m%d}_1.csv"
        lost.unlink()
        assert "is copied" in platform.tick("push_met")
        platform.run("verify_met", today)
        [request] = platform.tick("push_met")
        platform.run("push_met", today)
        assert (request.partition_key, lost.read_bytes()) == (str(today), b"now\n")

    def test_a_push_of_small_products_is_requested_when_one_has_changed(self, platform: Platform) -> None:
        assert platform.tick("push_core_products") == "all small products are copied"
        page = platform.site.paths.products / "plots" / "today.png"
        page.parent.mkdir(parents=True)
        page.write_bytes(b"picture")
        assert len(platform.tick("push_core_products")) == 1
        platform.run("push_core_products", None)
        assert (platform.home / "gws/products/plots/today.png").read_bytes() == b"picture"
        assert platform.tick("push_core_products") == "all small products are copied"

    def test_products_are_verified_by_a_run_and_one_that_was_deleted_is_red(self, platform: Platform) -> None:
        assert platform.tick("verify_products") == "no product was copied yet"
        page = platform.site.paths.products / "plots" / "old.png"
        page.parent.mkdir(parents=True)
        page.write_bytes(b"picture")
        os.utime(page, (1_700_000_000, 1_700_000_000))
        platform.run("push_core_products", None)
        assert len(platform.tick("verify_products")) == 1
        done = platform.run("verify_products", None)
        assert [check.passed for check in checks(done).values()] == [True, True]
        shown = metadata(done, "manifests", "products")
        assert (shown["core_products_proved"], shown["core_products_gaps"], shown["core_products_listed"]) == (1, 0, 1)
        page.unlink()
        (page.parent / "new.png").write_bytes(b"picture")
        check = checks(platform.run("verify_products", None))["products_are_proved"]
        assert (check.passed, check.severity) == (False, AssetCheckSeverity.ERROR)
        assert "plots/old.png: missing locally" in str(check.description)


def test_a_site_without_an_archive_has_no_archive_assets(site: Site) -> None:
    definitions = build(site)
    keys = {key.path[0] for key in definitions.resolve_asset_graph().get_all_asset_keys()}
    assert not keys & {"gws", "manifests"}
    assert not [schedule.name for schedule in definitions.schedules or () if "push" in schedule.name]


def test_an_old_file_without_a_ledger_row_is_pushed_after_a_verification_found_it_missing(filled: Platform) -> None:
    assert "is copied" in filled.tick("push_met"), "an old day is not scanned, and no run was requested"
    filled.run("verify_met")
    [request] = filled.tick("push_met")
    assert request.partition_key == str(DAY)
    filled.run("push_met")
    archived = filled.home / "gws/raw/met"
    assert {path.name: path.read_bytes() for path in archived.iterdir()} == FILES
    assert "is copied" in filled.tick("push_met")
