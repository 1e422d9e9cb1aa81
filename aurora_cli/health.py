"""``aurora health``: observe the site now and show the checks in a terminal. It writes nothing."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.text import Text

from aurora_cli.console import console, print_json, print_line, print_table
from aurora_cli.context import load_site_or_exit, read_only_connections
from aurora_cli.dagster_records import find_opener
from aurora_platform.config.site import Site
from aurora_platform.health.alert_rules import collector_check
from aurora_platform.health.assessment import sorted_by_level
from aurora_platform.health.models import Assessment, Check, Level, Snapshot
from aurora_platform.health.snapshot import Orchestrator
from aurora_platform.layout import Layout
from aurora_platform.operations.observe import NoRecords, observe

RECORDS = "aurora.records"
"""Group of the entry point that opens Dagster's records of a site; see :mod:`aurora_assets.command_records`."""

type OpenRecords = Callable[[Site], AbstractContextManager[tuple[Orchestrator, list[Check]]]]

_STYLES = {Level.GREEN: "green", Level.AMBER: "yellow", Level.RED: "red bold", Level.GRAY: "bright_black"}
_REINSTALL = "Stage: platform. Next: `make setup` installs it again"
_EXIT_CODES = {Level.GREEN: 0, Level.GRAY: 0, Level.AMBER: 1, Level.RED: 2}


@click.command()
@click.option("--watch", is_flag=True, help="Refresh until Ctrl-C.")
@click.option("--every", type=click.IntRange(5, 3600), default=60, show_default=True, help="Seconds between refreshes.")
@click.option("--all", "is_all", is_flag=True, help="Show green checks too.")
@click.option("--json", "as_json", is_flag=True, help="Print the assessment as JSON (docs/schemas/latest_health.json).")
@click.pass_obj
def health(file: Path | None, watch: bool, every: int, is_all: bool, as_json: bool) -> None:
    """Show what is wrong at the site, since when, and what to do next.

    Observes the hosts, disks, streams, archive and, with DAGSTER_HOME set, Dagster's runs and daemons. Writes nothing.

    \b
    Exit codes: 0 green, or gray (unknown); 1 amber, or an error (see the last
    line); 2 red.
    Example: aurora health --watch --every 30
    """
    site = load_site_or_exit(file)
    # One copy of the host keys for all refreshes: the session pool is found by it, so sessions are used again.
    with read_only_connections(site) as (_, copy):
        while True:
            snapshot, assessment = _observe(site, copy)
            if as_json:
                print_json(assessment.model_dump(mode="json"))
            else:
                if watch:
                    console().clear()
                _show(snapshot, assessment, is_all)
            if not watch:
                raise click.exceptions.Exit(_EXIT_CODES[assessment.overall_level])
            time.sleep(every)


def _observe(site: Site, copy: Path) -> tuple[Snapshot, Assessment]:
    checks = [collector_check(Layout.of(site).health.snapshot, datetime.now(UTC))]
    with _open_records(site) as (records, platform_checks):
        return observe(site, records, copy, [*checks, *platform_checks])


@contextmanager
def _open_records(site: Site) -> Iterator[tuple[Orchestrator, list[Check]]]:
    """Open Dagster's records, if there are any; yields them and more checks of the platform."""
    try:
        opener: OpenRecords | str = find_opener(RECORDS)
    except Exception as error:  # a damaged installation: every other check is shown
        why = f"Dagster cannot be loaded: {type(error).__name__}: {error}"
        broken = Check(level=Level.RED, component="dagster installation", message=why, details=_REINSTALL)
        yield NoRecords(why), [broken]
        return
    if isinstance(opener, str):
        yield NoRecords(opener), []
    else:
        with opener(site) as opened:
            yield opened


def _show(snapshot: Snapshot, assessment: Assessment, is_all: bool) -> None:
    summary = assessment.summary
    rows: list[list[str | Text]] = [
        [Text(check.level.upper(), _STYLES[check.level]), check.component, check.message, check.details]
        for check in sorted_by_level(assessment.checks)
        if is_all or check.level is not Level.GREEN
    ]
    print_table(
        f"{snapshot.site}: {assessment.overall_level.upper()} at {snapshot.generated_at_utc:%Y-%m-%d %H:%M:%S} UTC",
        ["level", "component", "message", "details"],
        rows,
    )
    print_line(
        f"{summary.checks} checks: {summary.red} red, {summary.amber} amber, {summary.gray} gray, {summary.green} green"
        + ("" if is_all else " (--all shows green checks too)"),
        "dim",
    )
