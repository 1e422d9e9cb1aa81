"""``aurora health``: the table of everything that was looked at, now, in a terminal. It writes nothing."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from importlib.metadata import entry_points
from pathlib import Path

import click
from rich.text import Text

from aurora_cli.console import console, say, show_json, show_table
from aurora_cli.context import read_only_connections, site_of
from aurora_platform.config.site import Site
from aurora_platform.health.alert_rules import collector_check
from aurora_platform.health.assessment import sorted_by_level
from aurora_platform.health.models import Assessment, Check, Level, Snapshot
from aurora_platform.health.snapshot import Orchestrator
from aurora_platform.layout import Layout
from aurora_platform.operations.observe import NoRecords, observe

RECORDS = "aurora.records"
"""The entry point of who has the records of a platform; see :mod:`aurora_assets.command_records`."""

type OpenRecords = Callable[[Site], AbstractContextManager[tuple[Orchestrator, list[Check]]]]

_STYLES = {Level.GREEN: "green", Level.AMBER: "yellow", Level.RED: "red bold", Level.GRAY: "bright_black"}
_CODES = {Level.GREEN: 0, Level.GRAY: 0, Level.AMBER: 1, Level.RED: 2}


@click.command()
@click.option("--watch", is_flag=True, help="Look again and again until Ctrl-C.")
@click.option("--every", type=click.IntRange(5, 3600), default=60, show_default=True, help="Seconds between two looks.")
@click.option("--all", "is_all", is_flag=True, help="Also what is green.")
@click.option("--json", "as_json", is_flag=True, help="The assessment as JSON (docs/schemas/latest_health.json).")
@click.pass_obj
def health(file: Path | None, watch: bool, every: int, is_all: bool, as_json: bool) -> None:
    """Say what is wrong, since when, where, and what to look at next. Writes nothing.

    Exit code 0: green (or nothing is known to be bad), 1: amber, 2: red.
    """
    site = site_of(file)
    # One copy of the host keys for all looks: a session with a host is kept by it, and is there for the next.
    with read_only_connections(site) as (_, copy):
        while True:
            snapshot, assessment = _look(site, copy)
            if as_json:
                show_json(assessment.model_dump(mode="json"))
            else:
                if watch:
                    console().clear()
                _show(snapshot, assessment, is_all)
            if not watch:
                raise click.exceptions.Exit(_CODES[assessment.overall_level])
            time.sleep(every)


def _look(site: Site, copy: Path) -> tuple[Snapshot, Assessment]:
    more = [collector_check(Layout.of(site).health.snapshot, datetime.now(UTC))]
    with _records(site) as (records, broken):
        return observe(site, records, copy, [*more, *broken])


@contextmanager
def _records(site: Site) -> Iterator[tuple[Orchestrator, list[Check]]]:
    """Dagster's records, where there are any, and what else is wrong with the platform."""
    home = os.environ.get("DAGSTER_HOME")
    if not home or not Path(home).is_dir():
        yield NoRecords("DAGSTER_HOME is not set, or no directory"), []
    elif not Path(home, "history").is_dir():
        # Dagster would make its databases there.
        yield NoRecords("there are no records in DAGSTER_HOME: was the platform ever started there?"), []
    elif (open_records := _door()) is None:
        yield NoRecords("Dagster is not installed here: pip install 'aurora-platform[server]'"), []
    else:
        with open_records(site) as found:
            yield found


def _door() -> OpenRecords | None:
    """What opens Dagster's records of a site; None where Dagster is not installed."""
    for door in entry_points(group=RECORDS):
        try:
            opened: OpenRecords = door.load()
        except ModuleNotFoundError as error:
            if (error.name or "").split(".")[0] != "dagster":
                raise
        else:
            return opened
    return None


def _show(snapshot: Snapshot, assessment: Assessment, is_all: bool) -> None:
    summary = assessment.summary
    rows: list[list[str | Text]] = [
        [Text(check.level.upper(), _STYLES[check.level]), check.component, check.message, check.details]
        for check in sorted_by_level(assessment.checks)
        if is_all or check.level is not Level.GREEN
    ]
    show_table(
        f"{snapshot.site}: {assessment.overall_level.upper()} at {snapshot.generated_at_utc:%Y-%m-%d %H:%M:%S} UTC",
        ["", "what", "how it stands", "look at"],
        rows,
    )
    say(
        f"{summary.checks} checks: {summary.red} red, {summary.amber} amber, {summary.gray} gray, {summary.green} green"
        + ("" if is_all else " (--all shows the green ones)"),
        "dim",
    )
