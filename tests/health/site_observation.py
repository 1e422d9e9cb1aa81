"""Observes a site for a test, with Dagster's records or without them."""

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
    extra_checks: Sequence[Check] = (),
) -> tuple[Snapshot, Assessment]:
    """Take a snapshot of a site and assess it; see :func:`aurora_platform.operations.observe.observe`.

    Parameters
    ----------
    instance
        Dagster's records, or the reason why there are none.
    code
        The code location; without it, everything in Dagster's records counts.
    """
    if isinstance(instance, str):
        return operations.observe.observe(site, operations.observe.NoRecords(instance), known_hosts, extra_checks)
    records = dagster_instance.records.DagsterRecords(instance, site, code)
    return operations.observe.observe(site, records, known_hosts, extra_checks)
