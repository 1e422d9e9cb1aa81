"""``aurora demo``: a site to try, which is a site file and a day of a simulated camera. It needs no checkout."""

import json
import shlex
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from aurora_cli.console import say
from aurora_cli.context import message_of
from aurora_platform.config.package_files import DAGSTER_YAML, DEMO_DIRECTORY, DEMO_MARK, demo_site_text
from aurora_platform.config.site import Site, site_of_text
from aurora_platform.config.types import format_duration, parse_duration
from aurora_platform.errors import SiteError
from aurora_platform.fs.atomic import publish_file
from aurora_platform.layout import WXCAM
from aurora_platform.text import counted
from aurora_simulator import CameraSpec, SpecError, simulate, suggested_workers
from aurora_simulator.terminal import summary, with_bar

_SITE_FILE, _STAGED = "site.yaml", ".site.yaml"


def _interval(_ctx: click.Context, _param: click.Parameter, value: str) -> timedelta:
    try:
        return parse_duration(value)
    except ValueError as error:
        raise click.BadParameter(f"{value!r}: {error}") from None


@click.command()
@click.argument("directory", metavar="[DIR]", default=DEMO_DIRECTORY, type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--day",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="YYYY-MM-DD",
    default="2026-08-18",
    show_default=True,
    help="UTC day that the camera writes.",
)
@click.option("--hours", type=click.IntRange(min=1), default=24, show_default=True, help="Hours of camera data.")
@click.option(
    "--every", callback=_interval, metavar="DURATION", default="15m", show_default=True, help="Time between images."
)
@click.option("--scale", type=float, default=1.0, show_default=True, help="Of the images' sides; 1 is real.")
@click.option("--dry-run", "-n", is_flag=True, help="Say what would be written, and write nothing.")
def demo(directory: Path, day: datetime, hours: int, every: timedelta, scale: float, dry_run: bool) -> None:
    """Write a site to try below DIR (./aurora-demo): a site file, Dagster's settings, and a day of a simulated camera.

    DIR is new, empty, or a demo that this command made: then the site file and the settings stay as they are, and the
    camera's files are written anew. Nothing is written anywhere else. It ends with what to type next.
    """
    directory, began = directory.absolute(), time.monotonic()
    _refuse_what_is_no_demo(directory)
    stream = _site_in(directory).streams[WXCAM]
    if day.date() < stream.start:
        raise click.UsageError(f"--day {day.date()} is before the demo's camera begins ({stream.start})")
    try:
        spec = CameraSpec(Path(stream.path), day.date(), hours, every, scale=scale)
    except SpecError as error:
        raise click.UsageError(str(error)) from None
    if dry_run:
        say(f"would write below {directory} (dry run):")
        say(f"  {_SITE_FILE} and dagster/{DAGSTER_YAML.name}, where they are not there yet")
        images = sum(len(spec.image_times(hour)) for hour in spec.hour_starts())
        files = f"{counted(images, 'image')} and {counted(hours, 'clip')}"
        said = f"{files} of each of two views, one image every {format_duration(every)}"
        say(f"  {spec.root.name}/: {day.date()}, {hours} h: {said}")
        return
    try:
        _write_settings(directory)
        report = with_bar(lambda progress: simulate(spec, workers=suggested_workers(spec), progress=progress))
    except OSError as error:
        raise click.ClickException(message_of(error)) from None
    say(f"{spec.root}: {summary(report, time.monotonic() - began)}")
    _say_what_next(directory, day)


def _refuse_what_is_no_demo(directory: Path) -> None:
    """End the command where something lies in the directory that this command did not write."""
    try:
        names = {path.name for path in directory.iterdir()} - {_STAGED}
        if not names:
            return
        if _SITE_FILE in names and (directory / _SITE_FILE).read_text(errors="replace").startswith(DEMO_MARK):
            return
    except FileNotFoundError:
        return
    except OSError as error:
        raise click.ClickException(message_of(error)) from None
    raise click.ClickException(f"{directory} is not empty, and no demo: name an empty directory, or one to be made")


def _site_in(directory: Path) -> Site:
    """The site as it is written there, whatever was edited since: the camera never leaves the directory.

    A directory whose name no site file may hold ends the command.
    """
    try:
        return site_of_text(demo_site_text(), directory / _SITE_FILE, directory)
    except SiteError as error:
        raise click.ClickException(str(error)) from None


def _write_settings(directory: Path) -> None:
    """The site file first: with it the directory is known as a demo, should the rest be interrupted."""
    home = directory / "dagster"
    for target, text in (
        (directory / _SITE_FILE, demo_site_text()),
        (home / DAGSTER_YAML.name, DAGSTER_YAML.read_text()),
    ):
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            staged = directory / _STAGED
            staged.write_text(text)
            publish_file(staged, target)


def _say_what_next(directory: Path, day: datetime) -> None:
    file, home = (shlex.quote(str(directory / name)) for name in (_SITE_FILE, "dagster"))
    of_day = {"dagster/partition": f"{day.date()}"}
    last = min(
        day.replace(hour=23, tzinfo=UTC), datetime.now(UTC)
    )  # the hours of a day that is not over end with this one
    hours = {"start": f"{day.date()}-00:00", "end": f"{last:%Y-%m-%d-%H:00}"}
    of_hours = {f"dagster/asset_partition_range_{end}": hour for end, hour in hours.items()}
    execute = "dagster job execute -m aurora_assets.definitions -j"
    say("Next, in this shell:")
    say(f"    export AURORA_SITE={file} DAGSTER_HOME={home}")
    say(f"    aurora sync {WXCAM} --day {day.date()}   # brings the files over; makes no products")
    say(f"    {execute} {WXCAM}_day --tags {shlex.quote(json.dumps(of_day))}   # the products of the day")
    say(f"    {execute} {WXCAM}_hours --tags {shlex.quote(json.dumps(of_hours))}   # and of its hours")
    say("    dagster dev -m aurora_assets.definitions   # the UI: http://127.0.0.1:3000")
