"""Process a day of the sky camera, from a simulated host to every product and the archive. ``make demo`` runs it.

It materializes a day, then its hours, then the day's copy in the archive and its verification, as an operator does in
the Dagster UI. All files are below ``.aurora/``; the log of the runs is ``.aurora/demo.log``.
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

import yaml
from dagster import AssetKey, AssetRecordsFilter, DagsterInstance
from filelock import FileLock
from rich.console import Console
from rich.table import Column, Table

from aurora_platform.layout import WXCAM, ManifestLayout

ROOT = Path(__file__).resolve().parent.parent
STATE = ROOT / ".aurora"
LOG = STATE / "demo.log"
ARCHIVED = "gws/raw/wxcam,gws/wxcam_products,manifests/wxcam"


def main() -> None:
    options = parse_options()
    console = Console()
    started = time.monotonic()
    prepare_dagster_home()
    console.print("[bold]1[/] The camera host writes a day of images and clips")
    simulate(options)
    day = options.day.isoformat()
    hours = {"start": f"{day}-00:00", "end": f"{day}-23:00"}
    LOG.write_bytes(b"")
    run_job(console, 2, "wxcam_day", {"dagster/partition": day})
    run_job(console, 3, "wxcam_hours", {f"dagster/asset_partition_range_{end}": key for end, key in hours.items()})
    archive_day(console, 4, day)
    console.print(summary(options.day))
    print_finalization(console, options.day)
    console.print(
        f"Done in {time.monotonic() - started:.0f} s. Products: .aurora/products/wxcam. Next: [bold]make ui[/]"
    )


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--day", type=date.fromisoformat, default=date(2026, 8, 18), help="default: %(default)s")
    parser.add_argument("--hours", type=int, default=24, help="hours of camera data (default: %(default)s)")
    parser.add_argument("--every", default="15m", help="time between images (default: %(default)s)")
    parser.add_argument("--scale", default="1", help="scale of image width and height (default: real size)")
    parser.add_argument("--faults", help="faults of the camera, or: all")
    return parser.parse_args()


def prepare_dagster_home() -> None:
    """Make the Dagster home of the demo. Ignore exported variables, so that the demo never uses a real site."""
    home = STATE / "dagster"
    os.environ["DAGSTER_HOME"] = str(home)
    os.environ.pop("AURORA_SITE", None)
    home.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(ROOT / "dagster.yaml", home / "dagster.yaml")
    # Two simultaneous first starts would both create the tables and break the database.
    with FileLock(STATE / "first-start.lock"), DagsterInstance.get() as instance:
        instance.get_runs_count()


def simulate(options: argparse.Namespace) -> None:
    values = {"--root": STATE / "camera", "--day": options.day, "--hours": options.hours, "--every": options.every}
    values |= {"--scale": options.scale} | ({"--faults": options.faults} if options.faults else {})
    arguments = [str(part) for pair in values.items() for part in pair]
    process = subprocess.run([sys.executable, "-m", "aurora_simulator", "camera", *arguments], cwd=ROOT, check=False)
    if process.returncode:
        sys.exit(process.returncode)  # it has printed the reason


def run_job(console: Console, number: int, job: str, tags: dict[str, str]) -> None:
    """Execute a job with the dagster command."""
    run_dagster(console, number, job, ["job", "execute", "-j", job, "--tags", json.dumps(tags)])


def archive_day(console: Console, number: int, day: str) -> None:
    """Copy a day to the archive, verify and finalize it there: the jobs push_* and verify_wxcam in one run."""
    (STATE / "archive" / "raw").mkdir(parents=True, exist_ok=True)  # Aurora never makes it: it shows a mounted disk
    command = ["asset", "materialize", "--select", ARCHIVED, "--partition", day]
    run_dagster(console, number, "push and verification", command)


def run_dagster(console: Console, number: int, job: str, arguments: list[str]) -> None:
    """Run a dagster command; write its log to a file and its result to the terminal."""
    command = [sys.executable, "-m", "dagster", *arguments, "-m", "aurora_assets.definitions"]
    started = time.monotonic()
    with LOG.open("ab") as log, console.status(f"{number} Dagster runs {job}"):
        process = subprocess.run(command, cwd=ROOT, stdout=log, stderr=log, check=False)
    if process.returncode:
        lines = LOG.read_text(errors="replace").splitlines()
        causes = [line for line in lines if "Error: " in line and not line.startswith("20")]
        console.print("\n".join(causes[:5] or lines[-25:]), markup=False, highlight=False)
        sys.exit(f"{job} failed. Full log: .aurora/demo.log")
    console.print(f"[bold]{number}[/] Dagster ran {job} in {time.monotonic() - started:.0f} s, including its start")


def summary(day: date) -> Table:
    """Make a table of the results per asset, with its checks, from the records of Dagster."""
    table = Table(
        Column("asset", no_wrap=True), "result", "MB", "s", Column("checks", overflow="fold"), title=f"{day} UTC"
    )
    with DagsterInstance.get() as instance:
        for key in sorted(instance.get_asset_keys(), key=lambda key: key.path):
            metadata = metadata_of(instance, key)
            if metadata:
                size, seconds = (sum(values.get(name, 0) for values in metadata) for name in ("bytes", "seconds"))
                table.add_row(
                    "/".join(key.path),
                    counts_of(metadata),
                    f"{size / 1e6:.1f}",
                    f"{seconds:.2f}",
                    checks_of(instance, key),
                )
    return table


def print_finalization(console: Console, day: date) -> None:
    """Print where the finalization of the day is in the archive, and what it says; or how to see why there is none."""
    file = ManifestLayout(STATE / "archive" / "manifests").finalization(WXCAM, day)
    values = yaml.safe_load(file.read_text()) if file.exists() else {}
    if not values.get("complete"):
        command = f".venv/bin/aurora explain manifests/{WXCAM}/{day}"
        console.print(f"{day} is not finalized: it is not over, or not complete. Why: [bold]{command}[/]")
        return
    files = f"{values['files']} files, each read and identical at the source, local and in the archive"
    console.print(f"[bold]{day} is finalized[/] ({files}):\n  {file.relative_to(ROOT)}", soft_wrap=True)
    console.print("The archive is on the same disk only because this is a demo (docs/archive.md).")


def metadata_of(instance: DagsterInstance, key: AssetKey) -> list[dict[str, Any]]:
    """Return the metadata of the partitions of the newest run of an asset."""
    records = instance.fetch_materializations(AssetRecordsFilter(asset_key=key), limit=24).records
    return [
        {name: value.value for name, value in record.asset_materialization.metadata.items()}
        for record in records
        if record.asset_materialization and record.run_id == records[0].run_id
    ]


def counts_of(metadata: list[dict[str, Any]]) -> str:
    """Sum up the counts of all partitions as text."""
    names = ("seen", "copied", "unsettled", "refused", "images", "clips", "frames", "unreadable", "excluded")
    names += ("days_complete",)
    counts = {name: sum(values.get(name, 0) for values in metadata) for name in names}
    if "made" in metadata[0]:
        counts = {"thumbnails": sum("path" in values for values in metadata), **counts}
    return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items() if count) or "nothing"


def checks_of(instance: DagsterInstance, key: AssetKey) -> str:
    """Return the number of passed checks of an asset, and the names of the failed ones."""
    # Not at the top: it loads the site of AURORA_SITE, which main() must first remove from the environment.
    from aurora_assets.definitions import defs

    keys = list(defs.resolve_asset_graph().get_check_keys_for_assets({key}))
    records = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    evaluations = [record.evaluation for record in records.values() if record.evaluation]
    failed = sorted(evaluation.check_name for evaluation in evaluations if not evaluation.passed)
    passed = len(evaluations) - len(failed)
    return ", ".join([f"{passed} ok"] * bool(passed) + [f"failed: {name}" for name in failed])


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("interrupted; run it again to continue")
