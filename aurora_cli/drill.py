"""``aurora drill``: restore a finalized day from the archive into a private directory, and compare it."""

import logging
from datetime import date, datetime
from pathlib import Path

import click

from aurora_cli.console import print_line
from aurora_cli.context import describe_error, load_site_or_exit, open_state_or_exit, require_archive
from aurora_cli.verified_day import require_day
from aurora_platform.archive.restore_drill import drill, read_history
from aurora_platform.archive.stores import Records
from aurora_platform.config.site import Site
from aurora_platform.errors import AuroraError
from aurora_platform.layout import WXCAM, WXCAM_PRODUCTS
from aurora_platform.transport.connections import Connections

_LOG = logging.getLogger("aurora.drill")


@click.command(name="drill")
@click.argument("stream", required=False, metavar="[STREAM --day YYYY-MM-DD]")
@click.option("--day", type=click.DateTime(["%Y-%m-%d"]), metavar="YYYY-MM-DD", help="UTC day of STREAM.")
@click.pass_obj
def drill_command(file: Path | None, stream: str | None, day: datetime | None) -> None:
    """Restore a finalized day from the archive as a test: fetch it, and compare every file with its manifest.

    Without STREAM and --day a random finalized day is chosen, as the schedule `restore_drill` does. STREAM may be
    `wxcam_products`, whose videos and thumbnails are finalized by day as well. The files are fetched into `.outgoing`
    in `paths.raw`, a part at a time, and deleted again. Changes neither the local copies nor the archive. To put back
    what was lost, use `aurora repair`.

    \b
    Exit codes: 0 restored as finalized; 1 not, or an error (see the last line); 2 a
    wrong argument.
    Example: aurora drill wxcam --day 2026-08-18
    """
    site = load_site_or_exit(file)
    archive = require_archive(site)
    if (stream is None) != (day is None):
        raise click.UsageError("give STREAM and --day, or neither")
    only = None if stream is None or day is None else (stream, _day_of(site, stream, day))
    open_state_or_exit(site)
    records = Records(site)
    before = read_history(records.layout.restore_drill).last_success
    print_line(f"last success: {before.at}, {before.summary()}" if before else "last success: never", "dim")
    try:
        hosts = Connections.of(site).archive_hosts(archive, _LOG)
        report = drill(records, hosts, only=only, log=lambda text: print_line(text, "dim"))
    except AuroraError as error:
        raise click.ClickException(describe_error(error)) from None
    print_line(report.summary(), "green" if report.is_success else "red")
    for name in report.wrong.first:
        print_line(f"  {name}", "red")
    if report.stream is not None and not report.is_success:
        print_line(f"next: aurora repair {report.target}")
    raise click.exceptions.Exit(0 if report.is_success else 1)


def _day_of(site: Site, stream: str, day: datetime) -> date:
    if stream == WXCAM_PRODUCTS and WXCAM in site.streams:
        return day.date()
    if stream not in site.streams:
        names = [*site.streams, *([WXCAM_PRODUCTS] if WXCAM in site.streams else [])]
        raise click.UsageError(f"{stream!r} has no finalized days; choose one of {', '.join(names)}")
    return require_day(site, stream, day)
