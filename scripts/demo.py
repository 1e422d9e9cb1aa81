"""A day of the sky camera, from a simulated camera host to every product: what ``make demo`` runs.

It does what an operator would do in the Dagster UI: materialize a day, then its hours. Everything lies below
``.aurora/``; the whole log of the runs is ``.aurora/demo.log``.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

from dagster import AssetKey, AssetRecordsFilter, DagsterInstance
from filelock import FileLock
from rich.console import Console
from rich.table import Column, Table

ROOT = Path(__file__).resolve().parent.parent
STATE = ROOT / ".aurora"
LOG = STATE / "demo.log"


def main() -> None:
    options = parse_options()
    console = Console()
    started = time.monotonic()
    prepare_dagster_home()
    console.print("[bold]1[/] the camera host writes a day of images and clips")
    simulate(options)
    day = options.day.isoformat()
    hours = {"start": f"{day}-00:00", "end": f"{day}-23:00"}
    LOG.write_bytes(b"")
    run_job(console, 2, "wxcam_day", {"dagster/partition": day})
    run_job(console, 3, "wxcam_hours", {f"dagster/asset_partition_range_{end}": key for end, key in hours.items()})
    console.print(summary(options.day))
    console.print(
        f"{time.monotonic() - started:.0f} s. Products: .aurora/products/wxcam. See them all: [bold]make ui[/]"
    )


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--day", type=date.fromisoformat, default=date(2026, 8, 18), help="default: %(default)s")
    parser.add_argument("--hours", type=int, default=24, help="of camera data (default: %(default)s)")
    parser.add_argument("--every", default="15m", help="time between images (default: %(default)s)")
    parser.add_argument("--scale", default="1", help="of the images' width and height (default: real size)")
    parser.add_argument("--faults", help="faults for the camera to have, or: all")
    return parser.parse_args()


def prepare_dagster_home() -> None:
    """The demo never runs on a real site, nor writes into its Dagster's history, whatever the shell has exported."""
    home = STATE / "dagster"
    os.environ["DAGSTER_HOME"] = str(home)
    os.environ.pop("AURORA_SITE", None)
    home.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(ROOT / "dagster.yaml", home / "dagster.yaml")
    # Two first starts at once would both make the database's tables, and break it.
    with FileLock(STATE / "first-start.lock"), DagsterInstance.get() as instance:
        instance.get_runs_count()


def simulate(options: argparse.Namespace) -> None:
    values = {"--root": STATE / "camera", "--day": options.day, "--hours": options.hours, "--every": options.every}
    values |= {"--scale": options.scale} | ({"--faults": options.faults} if options.faults else {})
    arguments = [str(part) for pair in values.items() for part in pair]
    done = subprocess.run([sys.executable, "-m", "aurora_simulator", "camera", *arguments], cwd=ROOT, check=False)
    if done.returncode:
        sys.exit(done.returncode)  # it has said why


def run_job(console: Console, number: int, job: str, tags: dict[str, str]) -> None:
    """Execute a job with Dagster's own command line; its log goes to a file, its end to the terminal."""
    command = [sys.executable, "-m", "dagster", "job", "execute", "-m", "aurora_assets.definitions", "-j", job]
    started = time.monotonic()
    with LOG.open("ab") as log, console.status(f"{number} Dagster runs {job}"):
        done = subprocess.run([*command, "--tags", json.dumps(tags)], cwd=ROOT, stdout=log, stderr=log, check=False)
    if done.returncode:
        lines = LOG.read_text(errors="replace").splitlines()
        causes = [line for line in lines if "Error: " in line and not line.startswith("20")]
        console.print("\n".join(causes[:5] or lines[-25:]), markup=False, highlight=False)
        sys.exit(f"{job} failed. The whole log: .aurora/demo.log")
    console.print(f"[bold]{number}[/] Dagster ran {job} in {time.monotonic() - started:.0f} s, its own start included")


def summary(day: date) -> Table:
    """What the runs say of each asset and each check, from Dagster's own records."""
    table = Table(Column("asset", no_wrap=True), "what", "MB", "s", "checks", title=f"{day} UTC")
    with DagsterInstance.get() as instance:
        for key in sorted(instance.get_asset_keys(), key=lambda key: key.path):
            found = metadata_of(instance, key)
            if found:
                size, seconds = (sum(values.get(name, 0) for values in found) for name in ("bytes", "seconds"))
                table.add_row(
                    "/".join(key.path), what(found), f"{size / 1e6:.1f}", f"{seconds:.2f}", checks_of(instance, key)
                )
    return table


def metadata_of(instance: DagsterInstance, key: AssetKey) -> list[dict[str, Any]]:
    """The metadata of the partitions of an asset's newest run."""
    records = instance.fetch_materializations(AssetRecordsFilter(asset_key=key), limit=24).records
    return [
        {name: value.value for name, value in record.asset_materialization.metadata.items()}
        for record in records
        if record.asset_materialization and record.run_id == records[0].run_id
    ]


def what(found: list[dict[str, Any]]) -> str:
    names = ("seen", "copied", "unsettled", "refused", "images", "clips", "frames", "unreadable", "excluded")
    counts = {name: sum(values[name] for values in found) for name in names if name in found[0]}
    if "made" in found[0]:
        counts = {"thumbnails": sum("file" in values for values in found), **counts}
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "nothing"


def checks_of(instance: DagsterInstance, key: AssetKey) -> str:
    """How many of an asset's checks passed, and the names of the others."""
    # Not at the top: it is loaded for the site of AURORA_SITE, which main() takes out of the environment first.
    from aurora_assets.definitions import defs

    keys = list(defs.resolve_asset_graph().get_check_keys_for_assets({key}))
    records = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    evaluations = [record.evaluation for record in records.values() if record.evaluation]
    failed = sorted(evaluation.check_name for evaluation in evaluations if not evaluation.passed)
    passed = len(evaluations) - len(failed)
    return ", ".join([f"{passed} ok"] * bool(passed) + [f"look: {name}" for name in failed])


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("interrupted; run it again to go on")
