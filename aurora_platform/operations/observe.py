"""Observes a whole site once: takes the health snapshot, with the connections that it needs, and assesses it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from aurora_platform import health
from aurora_platform.concurrency import run_concurrently
from aurora_platform.config.site import Site
from aurora_platform.health.assessment import assess
from aurora_platform.health.models import Assessment, Check, Level, Platform, Snapshot
from aurora_platform.health.snapshot import HostCommand, Orchestrator, take_snapshot
from aurora_platform.layout import Layout
from aurora_platform.operations.audit_databases import database_checks
from aurora_platform.transport.connections import Connections
from aurora_platform.transport.known_hosts_copy import copied_known_hosts


class NoRecords:
    """Stands in for Dagster's records if there are none: that part of a snapshot is unknown."""

    def __init__(self, why: str) -> None:
        self.why = why

    def platform(self) -> Platform:
        return Platform(error=self.why)

    def newest_of_products(self) -> dict[str, datetime | None]:
        return {}


def observe(
    site: Site, records: Orchestrator, known_hosts: Path | None = None, extra_checks: Sequence[Check] = ()
) -> tuple[Snapshot, Assessment]:
    """Take a snapshot of a site and assess it.

    Parameters
    ----------
    site
        The site.
    records
        Dagster's records, or :class:`NoRecords`.
    known_hosts
        The caller's copy of the host keys; without it, a temporary copy. Observing adds no key to the site's own file:
        the key of a new host is accepted in the copy only.
    extra_checks
        Checks that the caller has made itself.
    """
    with nullcontext(known_hosts) if known_hosts else copied_known_hosts(Layout.of(site).known_hosts) as copy:
        snapshot = take_snapshot(
            site,
            run_on_host=_host_command(site, copy),
            orchestrator=records,
            fetch=health.page_probe.PageProbe(site.health.within.total_seconds() / 3),
            dagster_version=_dagster_version(),
        )
    return snapshot, assess(snapshot, site.health, site.endpoints, [*extra_checks, *_database_checks(site)])


def _database_checks(site: Site) -> list[Check]:
    """The checks of the databases; one that says why, where they could not be looked at in time."""
    found = run_concurrently({"databases": lambda: list(database_checks(site))}, site.health.within.total_seconds() / 3)
    checks = found["databases"]
    if isinstance(checks, Exception):
        return [Check(level=Level.GRAY, component="databases", message=f"not looked at: {checks}")]
    return checks


def _dagster_version() -> str:
    try:
        return version("dagster")
    except PackageNotFoundError:
        return "not installed"


def _host_command(site: Site, known_hosts: Path) -> HostCommand:
    """Return the function that runs a program on a host. Each step may take a third of the snapshot's time limit."""
    step = site.health.within.total_seconds() / 3
    connections = Connections.of(site, known_hosts)
    bounds = connections.bounds
    return connections.but(
        connect_seconds=min(bounds.connect_seconds, step), listing_seconds=min(bounds.listing_seconds, step)
    ).ask
