"""The health snapshot of a site whose archive is in directories of this machine."""

import shutil
from pathlib import Path
from typing import Any

from aurora_platform.config.health import Health
from aurora_platform.health.assessment import assess
from aurora_platform.health.models import Level, Snapshot
from aurora_platform.health.page_probe import PageProbe
from aurora_platform.health.snapshot import take_snapshot
from aurora_platform.operations.observe import NoRecords
from tests.archive.places import Observatory


def snapshot_of(home: Path, **host: Any) -> Snapshot:
    site = Observatory(home, archive={"hosts": [{"kind": "local", **host}]}).site

    def no_host(*_: object) -> str:
        raise AssertionError("no host of this site is reached over SSH")

    return take_snapshot(
        site, run_on_host=no_host, orchestrator=NoRecords("none"), fetch=PageProbe(1), dagster_version="1"
    )


def test_the_disks_of_the_archive_are_among_those_of_the_site(tmp_path: Path) -> None:
    snapshot = snapshot_of(tmp_path, same_disk=True)
    by_name = {disk.name: disk for disk in snapshot.filesystems}
    archived = by_name["archive this machine raw"]
    assert (archived.path, archived.total_bytes) == (f"{tmp_path}/far/raw", by_name["raw"].total_bytes)
    assert by_name["archive this machine products"].error is None
    [host] = snapshot.hosts
    assert (host.name, host.reachable, host.error) == ("archive this machine", True, None)
    assert level_of_archive(snapshot) is Level.GREEN


def level_of_archive(snapshot: Snapshot) -> Level:
    checks = assess(snapshot, Health(), {}).checks
    return next(check.level for check in checks if check.component == "host archive this machine")


def test_an_archive_that_must_not_be_used_is_amber_with_its_reason(tmp_path: Path) -> None:
    shared = snapshot_of(tmp_path)
    assert "is on the same file system as the local copies in" in str(shared.hosts[0].error)
    assert level_of_archive(shared) is Level.AMBER
    site = Observatory(tmp_path, archive={"hosts": [{"kind": "local", "same_disk": True}]})
    shutil.rmtree(site.home / "far")
    unmounted = take_snapshot(
        site.site, run_on_host=lambda *_: "", orchestrator=NoRecords("none"), fetch=PageProbe(1), dagster_version="1"
    )
    assert "the archive's disk may not be mounted" in str(unmounted.hosts[0].error)
    assert {disk.error for disk in unmounted.filesystems if disk.name.startswith("archive ")} == {
        "its host does not answer"
    }
