"""A look at a site by Dagster's records, or without any."""

from collections.abc import Sequence
from pathlib import Path

from dagster import DagsterInstance

from aurora_assets import instance as dagster_instance
from aurora_assets.instance.code_location import CodeLocation
from aurora_platform import operations
from aurora_platform.config.site import Site
from aurora_platform.health.models import Assessment, Check, Snapshot


def observe_site(
    site: Site,
    instance: DagsterInstance | str,
    known_hosts: Path | None = None,
    code: CodeLocation | None = None,
    more: Sequence[Check] = (),
) -> tuple[Snapshot, Assessment]:
    """Look at a site and say what it means; see :func:`aurora_platform.operations.observe.observe`.

    Parameters
    ----------
    instance
        Dagster's records, or why there are none.
    code
        What the code location has; without it, everything of which Dagster has a record counts.
    """
    if isinstance(instance, str):
        return operations.observe.observe(site, operations.observe.NoRecords(instance), known_hosts, more)
    records = dagster_instance.records.DagsterRecords(instance, site, code)
    return operations.observe.observe(site, records, known_hosts, more)
