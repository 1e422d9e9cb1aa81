"""Make a site of eight streams with an archive, as a picture of a real one: what ``make screenshots`` shows.

The simulator writes two days of all instruments and some hours of the camera; the archive is a directory behind an sshd
on a loopback address, which ends with the block. Everything is below ``.aurora/eight``, or the directory
``AURORA_EIGHT`` of the environment; a second start goes on with it.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from dagster import DagsterInstance

from aurora_assets.definitions import build
from aurora_platform.config.site import load_site
from aurora_simulator import CameraSpec, InstrumentSpec, simulate, simulate_instruments
from aurora_simulator.ssh_server import SshServer

ROOT = Path(__file__).resolve().parent.parent
HOME = Path(os.environ.get("AURORA_EIGHT", ROOT / ".aurora" / "eight"))
_SETTLED = timedelta(minutes=20)
_CAMERA_HOURS = 3


@contextmanager
def eight_streams() -> Iterator[Path]:
    """Yield the site file while the archive host runs; the environment is that of the site's Dagster."""
    HOME.mkdir(parents=True, exist_ok=True)
    with SshServer(HOME / "archive_host", address="127.0.0.31") as server:
        yield _write_site(server)


def _write_site(server: SshServer) -> Path:
    data: dict[str, Any] = yaml.safe_load((ROOT / "sites" / "instruments.yaml").read_text())
    data["name"], data["contact"] = "aurora", "team:observatory"
    data["paths"] = {name: str(HOME / name) for name in data["paths"]}
    data["hosts"] = {"station": {"kind": "local"}}
    for stream in data["streams"].values():
        stream["host"] = "station"
        stream["path"] = str(HOME / "hosts" / Path(stream["path"]).relative_to("../.aurora/instruments/hosts"))
    login = {"address": server.address, "port": server.port, "user": server.user, "auth": "key"}
    data["archive"] = {
        "hosts": [login | {"identity": str(server.identity)}],
        "raw": str(HOME / "archive" / "raw"),
        "products": str(HOME / "archive" / "products"),
    }
    data["alerts"] = {"to": ["observer@example.org"], "sender": "aurora@example.org"}
    data["alerts"] |= {"transport": "file", "file": str(HOME / "mails.txt")}
    file = HOME / "site.yaml"
    file.write_text(yaml.safe_dump(data, sort_keys=False))
    return file


def fill(file: Path, instance: DagsterInstance) -> None:
    """Simulate yesterday and today, and run every job of the site for them."""
    now = datetime.now(UTC)
    until, yesterday = now - _SETTLED, (now - timedelta(days=1)).date()
    simulate_instruments(InstrumentSpec(HOME / "hosts", yesterday, days=2, scale=0.01), until)
    for day in (yesterday, now.date()):
        hours = _CAMERA_HOURS if day == yesterday else min(until.hour, _CAMERA_HOURS)
        if hours:
            simulate(CameraSpec(HOME / "hosts" / "wxcam", day, hours, timedelta(minutes=10), scale=0.2), workers=2)
    site = load_site(file)
    definitions = build(site)
    jobs = [*(f"{name}_day" for name in site.streams), "wxcam_hours", *(f"push_{name}" for name in site.streams)]
    jobs += ["push_wxcam_products", *(f"verify_{name}" for name in site.streams)]
    for day in (yesterday, now.date()):
        for job in jobs:
            key = f"{day}-00:00" if job == "wxcam_hours" else str(day)
            print(f"{job} {key}", flush=True)
            definitions.resolve_job_def(job).execute_in_process(instance=instance, partition_key=key)
    for job in ("push_core_products", "check_mirrors", "health"):
        print(job, flush=True)
        definitions.resolve_job_def(job).execute_in_process(instance=instance)
