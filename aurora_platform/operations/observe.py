"""Observe a whole site once: the health snapshot, with the connections and records that it needs, and what it means."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from aurora_platform import health
from aurora_platform.config.site import Site
from aurora_platform.health.assessment import assess
from aurora_platform.health.models import Assessment, Check, Platform, Snapshot
from aurora_platform.health.snapshot import HostCommand, Orchestrator, take_snapshot
from aurora_platform.layout import Layout
from aurora_platform.transport.connections import Connections


class NoRecords:
    """Where there is no Dagster home: its part of a snapshot is not known."""

    def __init__(self, why: str) -> None:
        self.why = why

    def platform(self) -> Platform:
        return Platform(error=self.why)

    def newest_of_products(self) -> dict[str, datetime | None]:
        return {}


def observe(
    site: Site, records: Orchestrator, known_hosts: Path | None = None, more: Sequence[Check] = ()
) -> tuple[Snapshot, Assessment]:
    """Look at a site and say what it means.

    Parameters
    ----------
    site
        The site.
    records
        What Dagster has recorded, or :class:`NoRecords`.
    known_hosts
        A copy of the host keys that is the caller's; without it, one that is thrown away. A look adds no key to the
        site's own, and accepts a host that is not among them for itself alone.
    more
        What else the caller has looked at.
    """
    with nullcontext(known_hosts) if known_hosts else _copy_of(Layout.of(site).known_hosts) as known:
        snapshot = take_snapshot(
            site,
            ask=_asker(site, known),
            orchestrator=records,
            fetch=health.page_probe.Pages(site.health.within.total_seconds() / 3),
            dagster_version=_dagster_version(),
        )
    return snapshot, assess(snapshot, site.health, site.endpoints, more)


def _dagster_version() -> str:
    try:
        return version("dagster")
    except PackageNotFoundError:
        return "not installed"


@contextmanager
def _copy_of(known_hosts: Path) -> Iterator[Path]:
    # Whoever has not answered in time may still write there.
    with tempfile.TemporaryDirectory(prefix="aurora-", ignore_cleanup_errors=True) as directory:
        known = Path(directory) / "known_hosts"
        try:
            with suppress(FileNotFoundError):
                shutil.copyfile(known_hosts, known)
        except (PermissionError, IsADirectoryError, shutil.SpecialFileError):
            known = known_hosts  # it cannot be read, which each host that is asked says of it
        yield known


def _asker(site: Site, known_hosts: Path) -> HostCommand:
    """Asks a host, within a third of the snapshot's bound for each step: there are others to be looked at."""
    step = site.health.within.total_seconds() / 3
    connections = Connections.of(site, known_hosts)
    bounds = connections.bounds
    return connections.but(
        connect_seconds=min(bounds.connect_seconds, step), listing_seconds=min(bounds.listing_seconds, step)
    ).ask
