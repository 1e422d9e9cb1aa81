"""``aurora demo``: create a demo site, which is a site file and a day of a simulated camera. It needs no checkout."""

import json
import shlex
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from aurora_cli.console import print_line
from aurora_cli.context import describe_error
from aurora_platform.config.package_files import DAGSTER_YAML, DEMO_DIRECTORY, DEMO_MARK, demo_site_text
from aurora_platform.config.site import Site, load_site, site_of_text
from aurora_platform.config.types import format_duration, parse_duration
from aurora_platform.errors import SiteError
from aurora_platform.fs.atomic import publish_file
from aurora_platform.layout import WXCAM, Layout
from aurora_platform.text import counted
from aurora_simulator import CameraSpec, SpecError, simulate, suggested_workers
from aurora_simulator.terminal import summary, with_bar

_SITE_FILE, _STAGED = "site.yaml", ".site.yaml"


def _parse_interval(_ctx: click.Context, _param: click.Parameter, value: str) -> timedelta:
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
    help="UTC day of the camera data.",
)
@click.option("--hours", type=click.IntRange(min=1), default=24, show_default=True, help="Hours of camera data.")
@click.option(
    "--every",
    callback=_parse_interval,
    metavar="DURATION",
    default="15m",
    show_default=True,
    help="Time between images.",
)
@click.option(
    "--scale", type=float, default=1.0, show_default=True, help="Scale of the image width and height; 1 is full size."
)
@click.option("--dry-run", "-n", is_flag=True, help="Show what would be written; write nothing.")
def demo(directory: Path, day: datetime, hours: int, every: timedelta, scale: float, dry_run: bool) -> None:
    """Create a demo site in DIR (./aurora-demo): a site file, Dagster's settings, and a day of a simulated camera.

    DIR must be new, empty, or a demo that this command made. In such a demo the site file and the settings stay as they
    are, and the camera's files are written again. Writes below DIR alone; also the site's archive is in it, on the same
    disk, because it is only a demo. At the end it prints the commands to type next.

    \b
    Exit codes: 0 done; 1 DIR cannot be used or written; 2 a wrong argument.
    Example: aurora demo /tmp/demo --hours 2 --scale 0.25
    """
    directory, began = directory.absolute(), time.monotonic()
    _require_empty_or_demo(directory)
    stream = _demo_site(directory).streams[WXCAM]
    if day.date() < stream.start:
        raise click.UsageError(f"--day {day.date()} is before the first day of the demo's camera ({stream.start})")
    try:
        spec = CameraSpec(Path(stream.path), day.date(), hours, every, scale=scale)
    except SpecError as error:
        raise click.UsageError(str(error)) from None
    if dry_run:
        print_line(f"would write below {directory} (dry run):")
        print_line(f"  {_SITE_FILE} and dagster/{DAGSTER_YAML.name}, if they do not exist yet")
        images = sum(len(spec.image_times(hour)) for hour in spec.hour_starts())
        files = f"{counted(images, 'image')} and {counted(hours, 'clip')}"
        content = f"{files} of each of two views, one image every {format_duration(every)}"
        print_line("  archive/raw/: an empty directory, for the archive")
        print_line(f"  {spec.root.name}/: {day.date()}, {hours} h: {content}")
        return
    try:
        _write_settings(directory)
        if has_archive := _has_archive(directory / _SITE_FILE):
            _make_archive(_demo_site(directory))
        report = with_bar(lambda progress: simulate(spec, workers=suggested_workers(spec), progress=progress))
    except OSError as error:
        raise click.ClickException(describe_error(error)) from None
    print_line(f"{spec.root}: {summary(report, time.monotonic() - began)}")
    _print_next_steps(directory, day, has_archive=has_archive)


def _require_empty_or_demo(directory: Path) -> None:
    """End the command if the directory holds files that are not of a demo."""
    try:
        names = {path.name for path in directory.iterdir()} - {_STAGED}
        if not names:
            return
        if _SITE_FILE in names and (directory / _SITE_FILE).read_text(errors="replace").startswith(DEMO_MARK):
            return
    except FileNotFoundError:
        return
    except OSError as error:
        raise click.ClickException(describe_error(error)) from None
    raise click.ClickException(f"{directory} is not empty and is not a demo: name an empty or a new directory")


def _demo_site(directory: Path) -> Site:
    """Return the demo's site without later edits of its file, so that the camera writes below the directory.

    Ends the command if the name of the directory cannot stand in a site file.
    """
    try:
        return site_of_text(demo_site_text(), directory / _SITE_FILE, directory)
    except SiteError as error:
        raise click.ClickException(str(error)) from None


def _write_settings(directory: Path) -> None:
    """Write the site file first: it marks the directory as a demo, even if the rest is interrupted."""
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


def _has_archive(file: Path) -> bool:
    """Whether the demo's site file has an archive; that of an earlier version has none, and anybody may edit it."""
    try:
        return load_site(file).archive is not None
    except SiteError:
        return False


def _make_archive(site: Site) -> None:
    """Make the directory of the demo's archive that Aurora never makes, as an operator does on a mounted disk."""
    assert site.archive is not None  # the demo has one
    Path(site.archive.raw).mkdir(parents=True, exist_ok=True)


def _print_next_steps(directory: Path, day: datetime, *, has_archive: bool) -> None:
    file, home = (shlex.quote(str(directory / name)) for name in (_SITE_FILE, "dagster"))
    day_tags = {"dagster/partition": f"{day.date()}"}
    last = min(day.replace(hour=23, tzinfo=UTC), datetime.now(UTC))  # of a day that is not over: the hour of now
    hours = {"start": f"{day.date()}-00:00", "end": f"{last:%Y-%m-%d-%H:00}"}
    hour_tags = {f"dagster/asset_partition_range_{end}": hour for end, hour in hours.items()}
    execute = "dagster job execute -m aurora_assets.definitions -j"
    print_line("Next, in this shell:")
    print_line(f"    export AURORA_SITE={file} DAGSTER_HOME={home}")
    print_line(f"    aurora sync {WXCAM} --day {day.date()}   # copies the files; makes no products")
    print_line(
        f"    {execute} {WXCAM}_day --tags {shlex.quote(json.dumps(day_tags))}   # makes the products of the day"
    )
    print_line(
        f"    {execute} {WXCAM}_hours --tags {shlex.quote(json.dumps(hour_tags))}   # makes the products of its hours"
    )
    if has_archive:
        for job, effect in (
            (f"push_{WXCAM}", "copies the files of the day to the archive"),
            (f"verify_{WXCAM}", "compares each file with its copies, and finalizes the day"),
        ):
            print_line(f"    {execute} {job} --tags {shlex.quote(json.dumps(day_tags))}   # {effect}")
        finalization = Layout.of(_demo_site(directory)).finalizations.finalization(WXCAM, day.date())
        print_line(f"    cat {shlex.quote(str(finalization))}   # the finalization, also in archive/manifests")
    print_line("    aurora ui   # the UI: http://127.0.0.1:3000")
