"""Whoever may start a run cannot choose which host is believed, nor on which disk the local copies are."""

from __future__ import annotations

from pathlib import Path

import pytest
from dagster import DagsterInstance

from aurora_assets.definitions import build
from aurora_platform.config.site import load_site
from resources.hosts import HostsResource
from tests.faults.steps import DAY, make_site


@pytest.mark.parametrize("field", ["known_hosts", "local_copies"])
def test_run_configuration_that_replaces_host_keys_or_local_copies_fails_the_run(tmp_path: Path, field: str) -> None:
    make_site(tmp_path / "site")
    site = load_site(tmp_path / "site" / "site.yaml")
    definitions, hosts = build(site), HostsResource.of(site)
    values = {name: getattr(hosts, name) for name in type(hosts).model_fields}
    other = {"known_hosts": str(tmp_path / "of_somebody_else"), "local_copies": [str(tmp_path)]}
    job = definitions.resolve_job_def("met_day")
    with DagsterInstance.ephemeral() as instance:
        tampered = {"resources": {"hosts": {"config": values | {field: other[field]}}}}
        result = job.execute_in_process(
            run_config=tampered, instance=instance, partition_key=str(DAY), raise_on_error=False
        )
        assert not result.success
        message = "\n".join(str(event.message) + str(event.event_specific_data) for event in result.all_events)
        assert "run configuration may not replace the host keys or the local copies" in message
        assert job.execute_in_process(instance=instance, partition_key=str(DAY)).success
    assert not (tmp_path / "of_somebody_else").exists()
