"""Runs a golden day through Dagster: eight streams and an archive on a real sshd, with a stopped clock.

``make`` runs it with the current code. ``home.tar.xz`` and ``graph.json`` next to this file are the results of the code
before the packages were reorganized (0.1.1), to compare any later code with. ``python -m tests.baseline.golden`` writes
both again: do this only if their content is meant to change. With ``--graph`` it writes only ``graph.json``: do this
after adding an asset, a check, a job, a schedule or a sensor.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from fcntl import LOCK_EX, flock
from pathlib import Path
from typing import Any

import time_machine
import yaml
from dagster import DagsterInstance, Definitions
from dagster._core.instance.ref import InstanceRef

from aurora_assets.definitions import build
from aurora_platform.archive.stores import Records
from aurora_platform.archive.verify_and_publish import publish
from aurora_platform.config.site import load_site
from aurora_simulator import FAULTS, CameraSpec, InstrumentSpec, simulate, simulate_instruments
from aurora_simulator.ssh_server import SshServer

ROOT = Path(__file__).resolve().parents[2]
DIRECTORY = Path(__file__).resolve().parent
HOME_ARCHIVE, GRAPH = DIRECTORY / "home.tar.xz", DIRECTORY / "graph.json"

HOME = Path("/tmp/aurora-golden")
"""Always the same directory: the ledger and the records of Dagster contain absolute paths of the archive."""
DAY = date(2026, 3, 5)
NOW = datetime(2026, 3, 6, 12, tzinfo=UTC)
HOURS = {"first": f"{DAY}-10:00", "last": f"{DAY}-11:00"}
SMALL_STREAMS = ("cl61", "radar", "hatpro", "vaisalamet", "asfs_logger", "asfs_fast_sonic", "power")


@contextmanager
def golden_home() -> Iterator[Path]:
    """Provide the empty directory of the golden day, locked against other processes."""
    with HOME.with_suffix(".lock").open("w") as lock:
        flock(lock, LOCK_EX)
        shutil.rmtree(HOME, ignore_errors=True)
        try:
            yield HOME
        finally:
            shutil.rmtree(HOME, ignore_errors=True)


def write_site(home: Path, server: SshServer | None = None) -> Path:
    """Write the site of the golden day: the eight streams as local directories, and an archive over SSH.

    Without a ``server`` the archive host does not exist, which is enough to read the graph.
    """
    data = yaml.safe_load((ROOT / "sites/instruments.yaml").read_text())
    data["name"] = "golden"
    data["paths"] = {name: name for name in data["paths"]}
    for stream in data["streams"].values():
        stream["path"] = stream["path"].removeprefix("../.aurora/instruments/")
        stream["start"] = date(2026, 3, 1)
    host: dict[str, Any] = {"kind": "ssh", "address": "127.0.0.2", "user": "nobody", "auth": "none"}
    if server is not None:
        host |= {"address": server.address, "port": server.port, "user": server.user}
        host |= {"auth": "key", "identity": str(server.identity)}
    data["archive"] = {"hosts": [host], **{name: str(home / "gws" / name) for name in ("raw", "products")}}
    file = home / "site.yaml"
    file.write_text(yaml.safe_dump(data))
    return file


def simulate_sources(home: Path) -> None:
    """Write the files of the instrument hosts: a day of seven instruments, two hours of a camera with all faults."""
    hosts = home / "hosts"
    camera = CameraSpec(hosts / "wxcam", DAY, hours=2, every=timedelta(minutes=20), start_hour=10, scale=0.05)
    # One fault writes a file that is newer than the stopped clock; it stays unsettled for ever.
    simulate(camera, FAULTS)
    simulate_instruments(InstrumentSpec(hosts, DAY, scale=0.0001, unexpected=True))


def materialize(home: Path, site_file: Path) -> None:
    """Mirror every stream, make every product of the day, copy all to the archive, and verify it there."""
    definitions = build(load_site(site_file))
    with open_instance(home) as instance:
        for job, keys in jobs():
            if job == "health":
                _publish(site_file)  # by a stopped clock the manifests never get old enough
            run(definitions, instance, job, keys)


def _publish(site_file: Path) -> None:
    records = Records(load_site(site_file))
    with records.evidence() as evidence:
        publish(records, evidence)


def jobs() -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the jobs of a day in order, each with the tags of its partition."""
    day = {"dagster/partition": DAY.isoformat()}
    hours = {f"dagster/asset_partition_range_{end}": HOURS[key] for end, key in (("start", "first"), ("end", "last"))}
    for stream in (*SMALL_STREAMS, "wxcam"):
        yield f"{stream}_day", day
    yield "wxcam_hours", hours
    for name in (*SMALL_STREAMS, "wxcam", "wxcam_products"):
        yield f"push_{name}", day
    for stream in (*SMALL_STREAMS, "wxcam"):
        yield f"verify_{stream}", day
    yield "health", {}
    yield "push_core_products", {}


def run(definitions: Definitions, instance: DagsterInstance, job: str, tags: dict[str, str]) -> None:
    quiet = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}
    definition = definitions.resolve_job_def(job)
    result = definition.execute_in_process(instance=instance, tags=tags, run_config=quiet, raise_on_error=True)
    assert result.success, job


@contextmanager
def open_instance(home: Path) -> Iterator[DagsterInstance]:
    """Open the Dagster instance below a home, with our settings."""
    directory = home / "dagster"
    directory.mkdir(exist_ok=True)
    if not (directory / "dagster.yaml").exists():
        shutil.copyfile(ROOT / "dagster.yaml", directory / "dagster.yaml")
    with DagsterInstance.from_ref(InstanceRef.from_dir(str(directory))) as instance:
        yield instance


@contextmanager
def clock() -> Iterator[None]:
    """Stop the clock of this process at ``NOW``; ``time.monotonic`` keeps running."""
    with time_machine.travel(NOW, tick=False):
        yield


def make(home: Path, server: SshServer) -> Path:
    """Run the golden day below ``home``; return its site file."""
    with clock():
        simulate_sources(home)
        site_file = write_site(home, server)
        materialize(home, site_file)
    return site_file


def graph(definitions: Definitions) -> dict[str, Any]:
    """Return the names that others rely on: assets with their dependencies, checks, jobs, schedules, sensors."""
    repository = definitions.get_repository_def()
    assets = definitions.resolve_asset_graph()
    return {
        "assets": {
            key.to_user_string(): {
                "partitions": str(assets.get(key).partitions_def),
                "depends_on": sorted(parent.to_user_string() for parent in assets.get(key).parent_keys),
                "is_external": assets.get(key).is_external,
                "pools": sorted(assets.get(key).pools or ()),
                "code_version": assets.get(key).code_version,
                "group": assets.get(key).group_name,
            }
            for key in sorted(assets.get_all_asset_keys())
        },
        "checks": sorted(f"{key.asset_key.to_user_string()}:{key.name}" for key in assets.asset_check_keys),
        "jobs": {
            job.name: sorted(key.to_user_string() for key in job.asset_layer.selected_asset_keys)
            for job in sorted(repository.get_all_jobs(), key=lambda job: job.name)
            if not job.name.startswith("__")
        },
        "schedules": {
            schedule.name: {
                "cron": schedule.cron_schedule,
                "job": schedule.job_name,
                "status": schedule.default_status.value,
            }
            for schedule in sorted(repository.schedule_defs, key=lambda schedule: schedule.name)
        },
        "sensors": {
            sensor.name: {
                "type": sensor.sensor_type.value,
                "jobs": sorted(target.job_name for target in sensor.targets),
                "every_s": sensor.minimum_interval_seconds,
                "status": sensor.default_status.value,
            }
            for sensor in sorted(repository.sensor_defs, key=lambda sensor: sensor.name)
        },
    }


def unpack(home: Path, server: SshServer) -> Path:
    """Unpack the stored home below ``home``, with another archive server; return its site file."""
    subprocess.run(["tar", "-xJf", str(HOME_ARCHIVE), "-C", str(home)], check=True)
    return write_site(home, server)


def pack(home: Path) -> None:
    # GNU tar with --format=posix keeps mtimes to the ns; Python's tarfile does not.
    command = ["tar", "--format=posix", "--sort=name", "--owner=0", "--group=0", "--numeric-owner", "-C", str(home)]
    excludes = ("--exclude=./sshd", "--exclude=./state/known_hosts", "--exclude=*.lock")
    subprocess.run([*command, *excludes, "-I", "xz -9e", "-cf", str(HOME_ARCHIVE), "."], check=True)


def write_graph(site_file: Path) -> None:
    GRAPH.write_text(json.dumps(graph(build(load_site(site_file))), indent=1, sort_keys=True) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--graph", action="store_true", help="write only graph.json")
    if parser.parse_args().graph:
        with tempfile.TemporaryDirectory() as directory:
            write_graph(write_site(Path(directory)))
        return
    with golden_home() as home, SshServer(home.with_name(f"{home.name}-sshd")) as server:
        home.mkdir()
        file = make(home, server)
        pack(home)
        write_graph(file)
    print(f"{HOME_ARCHIVE.stat().st_size / 1e6:.2f} MB", file=sys.stderr)


if __name__ == "__main__":
    main()
