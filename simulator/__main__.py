"""The command line of the simulator: `python -m simulator camera --help`."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from simulator.camera import Report, simulate, suggested_workers
from simulator.faults import FAULTS, expand
from simulator.spec import CameraSpec, SpecError

SECONDS_PER_UNIT = {"s": 1, "m": 60, "h": 3600}


def duration(_ctx: click.Context, _param: click.Parameter, value: str) -> timedelta:
    """Parse `30s`, `5m` or `1h`."""
    match = re.fullmatch(r"([1-9]\d*)([smh])", value)
    if match is None:
        raise click.BadParameter(f"{value!r} is not a duration; write 30s, 5m or 1h")
    return timedelta(seconds=int(match[1]) * SECONDS_PER_UNIT[match[2]])


def day(_ctx: click.Context, _param: click.Parameter, value: str) -> date:
    """Parse `YYYY-MM-DD`."""
    try:
        return date.fromisoformat(value)
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is not a day; write YYYY-MM-DD") from error


def fault_names(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> list[str]:
    """Split at commas and check the names."""
    try:
        return expand([name.strip() for value in values for name in value.split(",") if name.strip()])
    except SpecError as error:
        raise click.BadParameter(str(error)) from error


@click.group()
def simulator() -> None:
    """An observatory that anyone can run: its files, on this machine, without its instruments."""


@simulator.command(epilog="\b\nFaults:\n" + "\n".join(f"  {name:<18} {line}" for name, line in FAULTS.items()))
@click.option("--root", type=click.Path(file_okay=False, path_type=Path), required=True, help="Gets FISH/ and PANO/.")
@click.option("--day", metavar="YYYY-MM-DD", callback=day, required=True, help="UTC day of the first image.")
@click.option("--hours", type=click.IntRange(min=1), required=True, help="How many hours to write.")
@click.option(
    "--every",
    metavar="DURATION",
    callback=duration,
    default="5m",
    show_default=True,
    help="Time between images: 30s, 5m, 1h.",
)
@click.option("--start-hour", type=click.IntRange(0, 23), default=0, show_default=True, help="UTC hour to begin with.")
@click.option("--scale", type=float, default=1.0, show_default=True, help="Multiplies width and height; 1 is real.")
@click.option("--codec", type=click.Choice(["h264", "mpeg4"]), default="h264", show_default=True, help="Of the clips.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Another seed, another sky.")
@click.option(
    "--other/--no-other", default=True, help="With or without the small AUTO, LONG and SHORT images; by default with."
)
@click.option(
    "--faults", multiple=True, callback=fault_names, metavar="NAME[,NAME...]", help="Add faults, or `all`; see below."
)
@click.option("--workers", type=click.IntRange(min=1), help="Processes; default 1 for a small job, else one per CPU.")
def camera(faults: list[str], workers: int | None, **options: Any) -> None:
    """Write what the sky camera writes: images, hourly clips, and faults on request.

    The same options give the same bytes, with any number of workers.
    """
    began = time.monotonic()
    try:
        spec = CameraSpec(**options)  # the other options are its fields, by name
        report = with_bar(
            lambda progress: simulate(
                spec,
                faults,
                now=datetime.now(UTC),
                workers=workers or suggested_workers(spec),
                progress=progress,
            )
        )
    except SpecError as error:
        raise click.UsageError(str(error)) from error
    click.echo(summary(report, time.monotonic() - began))


def with_bar(run: Callable[[Callable[[int, int], None]], Report]) -> Report:
    """Run with a progress bar on stderr; without one when that is no terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn("camera"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("hours of a view"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("camera", total=None)
        return run(lambda done, total: bar.update(task, completed=done, total=total))


def summary(report: Report, seconds: float) -> str:
    """One line: files, bytes, seconds."""
    parts = f"{report.images} images, {report.clips} clips, {report.others} other"
    if report.faults:
        parts += f", {sum(len(paths) for paths in report.faults.values())} of {len(report.faults)} faults"
    return f"{report.files} files ({parts}), {report.bytes} bytes ({report.bytes / 1e6:.1f} MB), {seconds:.1f} s"


if __name__ == "__main__":
    simulator(prog_name="python -m simulator")
