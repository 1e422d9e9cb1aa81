"""``aurora sync`` copies the same files as the asset ``raw/<stream>``."""

from pathlib import Path

from dagster import DagsterInstance, materialize

from aurora_assets.mirror.assets import raw_assets
from aurora_platform.config.site import load_site
from aurora_platform.layout import Layout
from aurora_platform.streams.state import read_days_at_source
from resources.hosts import HostsResource
from tests.aurora_cli.parts import FILES, SECOND, Observatory, run_aurora
from tests.mirror.parts import differences


def test_sync_and_asset_copy_a_day_to_the_same_result(observatory: Observatory, tmp_path: Path) -> None:
    sites = []
    for name in ("shell", "dagster"):
        (tmp_path / name).mkdir()
        sites.append(load_site(observatory.write_site(tmp_path / name)))
    shell, dagster = sites
    assert run_aurora(tmp_path / "shell" / "site.yaml", "sync", "hatpro", "--day", str(SECOND)).exit_code == 0
    hatpro = next(asset for asset in raw_assets(dagster) if asset.key.path == ["raw", "hatpro"])
    with DagsterInstance.ephemeral() as instance:
        resources = {"hosts": HostsResource.of(dagster)}
        assert materialize([hatpro], partition_key=str(SECOND), resources=resources, instance=instance).success
    assert len([path for path in shell.paths.raw.rglob("*") if path.is_file()]) == FILES["hatpro"]
    assert differences(shell.paths.raw, dagster.paths.raw) == []
    of_shell, of_dagster = (read_days_at_source(Layout.of(site).days_at_source("hatpro")) for site in sites)
    assert of_shell.keys() == of_dagster.keys() == {SECOND}
    assert (
        (of_shell[SECOND].missing, of_shell[SECOND].unsettled)
        == (of_dagster[SECOND].missing, of_dagster[SECOND].unsettled)
        == (0, 0)
    )
