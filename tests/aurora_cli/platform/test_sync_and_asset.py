"""``aurora sync`` brings what the asset ``raw/<stream>`` brings."""

from pathlib import Path

from dagster import DagsterInstance, materialize

from aurora_assets.mirror.assets import raw_assets
from aurora_platform.config.site import load_site
from aurora_platform.layout import Layout
from aurora_platform.streams.state import days_at_source
from resources.hosts import HostsResource
from tests.aurora_cli.parts import (
    FILES,
    SECOND,
    Observatory,
    aurora,
)
from tests.mirror.parts import differences


def test_a_day_is_what_the_asset_makes_of_it(observatory: Observatory, tmp_path: Path) -> None:
    sites = []
    for name in ("shell", "dagster"):
        (tmp_path / name).mkdir()
        sites.append(load_site(observatory.write_site(tmp_path / name)))
    shell, dagster = sites
    assert aurora(tmp_path / "shell" / "site.yaml", "sync", "hatpro", "--day", str(SECOND)).exit_code == 0
    hatpro = next(one for one in raw_assets(dagster) if one.key.path == ["raw", "hatpro"])
    with DagsterInstance.ephemeral() as instance:
        resources = {"hosts": HostsResource.of(dagster)}
        assert materialize([hatpro], partition_key=str(SECOND), resources=resources, instance=instance).success
    assert len([path for path in shell.paths.raw.rglob("*") if path.is_file()]) == FILES["hatpro"]
    assert differences(shell.paths.raw, dagster.paths.raw) == []
    ours, theirs = (days_at_source(Layout.of(site).days_at_source("hatpro")) for site in sites)
    assert ours.keys() == theirs.keys() == {SECOND}
    assert (
        (ours[SECOND].missing, ours[SECOND].unsettled) == (theirs[SECOND].missing, theirs[SECOND].unsettled) == (0, 0)
    )
