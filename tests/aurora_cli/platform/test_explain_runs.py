"""``aurora explain`` shows the run that made a partition, a failed run and a failed check, from Dagster's records."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from dagster import AssetKey, AssetRecordsFilter, DagsterInstance

from aurora_assets.instance.explain_records import DagsterRunRecords
from aurora_platform.operations.explain_answer import DagsterFacts
from aurora_simulator.ssh_server import SshServer
from tests.archive.dagster_site import FILES, Platform
from tests.aurora_cli.parts import parse_json
from tests.daemon import make_home
from tests.mirror.parts import DAY, host_of, write

NAME = "met_20260305_3.csv"


@pytest.fixture(scope="module")
def platform_and_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Platform, Path]]:
    """A site with an archive whose source has all files of the day, and the directory of Dagster's records."""
    home, site = make_home(tmp_path_factory.mktemp("records") / "home"), tmp_path_factory.mktemp("site")
    with (
        SshServer(tmp_path_factory.mktemp("sshd"), address="127.0.0.22") as server,
        DagsterInstance.from_config(str(home)) as instance,
    ):
        platform = Platform(site, (host_of(server),), instance)
        write(platform.home / "instrument", FILES)
        yield platform, home


@pytest.fixture
def platform(platform_and_home: tuple[Platform, Path], monkeypatch: pytest.MonkeyPatch, dagster_home: Path) -> Platform:
    """The site, with DAGSTER_HOME as an operator sets it."""
    monkeypatch.setenv("DAGSTER_HOME", str(platform_and_home[1]))
    return platform_and_home[0]


def flip(place: Path) -> None:
    """Change one byte, but neither size nor mtime."""
    status, content = place.stat(), bytearray(place.read_bytes())
    content[100] ^= 1
    place.write_bytes(content)
    os.utime(place, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_a_run_of_a_range_is_shown_for_each_of_its_days(platform: Platform) -> None:
    done = platform.definitions.resolve_job_def("met_day").execute_in_process(
        instance=platform.instance,
        tags={
            "dagster/asset_partition_range_start": "2026-03-04",
            "dagster/asset_partition_range_end": "2026-03-06",
            "dagster/backfill": "abcdefgh",
        },
    )
    records = DagsterRunRecords(platform.instance, platform.site)
    for day in (date(2026, 3, 4), DAY, date(2026, 3, 6)):
        made_by = records.facts("raw/met", str(day)).made_by
        assert made_by is not None
        assert (made_by.run_id, made_by.started_by) == (done.run_id, "backfill abcdefgh")
    assert records.facts("raw/met", "2026-03-07") == DagsterFacts("raw/met", "2026-03-07")


def test_runs_and_failed_checks_of_a_day_are_those_of_dagsters_records(platform: Platform) -> None:
    mirrored = platform.run("met_day").run_id
    pushed = platform.run("push_met").run_id
    archived = platform.home / "gws/raw/met" / NAME
    flip(archived)
    verified = platform.run("verify_met").run_id

    answer = parse_json(platform.aurora("explain", NAME, "--json", code=1))
    facts = {one["asset"]: one for one in answer["dagster"]}
    made_by = {asset: one["made_by"]["run_id"] for asset, one in facts.items()}
    assert made_by == {"raw/met": mirrored, "gws/raw/met": pushed, "manifests/met": verified}
    assert [facts[asset]["made_by"]["job"] for asset in facts] == ["met_day", "push_met", "verify_met"]
    assert facts["raw/met"]["made_by"]["started_by"] == "an operator"
    wanted = AssetRecordsFilter(asset_key=AssetKey(["raw", "met"]), asset_partitions=[str(DAY)])
    [record] = platform.instance.fetch_materializations(wanted, limit=1).records
    assert record.asset_materialization is not None
    assert facts["raw/met"]["data_version"] == (record.asset_materialization.tags or {})["dagster/data_version"]
    [check] = facts["manifests/met"]["failed_checks"]
    assert (check["name"], check["run_id"]) == ("no_settled_gap", verified)
    assert "1 different checksum" in check["sentence"]
    printed = platform.aurora("explain", f"manifests/met/{DAY}", code=1).output
    assert f"run {verified} of verify_met, success, started by an operator" in printed
    assert "check no_settled_gap FAILED on " in printed

    (platform.home / "instrument").rename(platform.home / "gone")
    failed = platform.run("met_day", ok=False).run_id
    [raw] = parse_json(platform.aurora("explain", f"raw/met/{DAY}", "--json", code=1))["dagster"]
    assert (raw["made_by"]["run_id"], raw["newest_run"]["run_id"]) == (mirrored, failed)
    assert raw["newest_run"]["state"] == "FAILURE"
    assert "instrument: no such directory" in raw["newest_run"]["error"]
