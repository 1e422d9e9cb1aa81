"""The current code makes the same golden day as the code of 0.1.1, and continues with its files unchanged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import AssetRecordsFilter, DagsterInstance

from aurora_simulator.ssh_server import SshServer
from tests.baseline import comparing, golden


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    with SshServer(tmp_path_factory.mktemp("golden") / "sshd") as server:
        yield server


def test_a_new_golden_day_is_byte_for_byte_the_stored_one(server: SshServer, tmp_path: Path) -> None:
    golden.unpack(tmp_path, server)
    with golden.golden_home() as home:
        home.mkdir()
        golden.make(home, server)
        new, stored = comparing.files_of(home), comparing.files_of(tmp_path)
        assert len(stored) > 1000
        assert {name for name in stored | new if stored.get(name) != new.get(name)} == set()
        assert comparing.reports_of(home) == comparing.reports_of(tmp_path)
        for name in comparing.DATABASES:
            assert comparing.schema_of(home / name) == comparing.schema_of(tmp_path / name), name
            assert comparing.rows_of(home / name) == comparing.rows_of(tmp_path / name), name
            versions = (comparing.version_of(tmp_path / name), comparing.version_of(home / name))
            assert versions == (0, {comparing.EVIDENCE: 5, comparing.LEDGER: 3}.get(name, 1)), name
        assert json.loads((home / comparing.LAYOUT_VERSION).read_text()) == {"layout": 1}
        assert not (tmp_path / comparing.LAYOUT_VERSION).exists()


def test_a_home_of_0_1_1_is_used_unchanged_and_nothing_is_made_again(server: SshServer) -> None:
    with golden.golden_home() as home:
        home.mkdir()
        file = golden.unpack(home, server)
        files = comparing.file_states_of(home)
        rows = {name: comparing.rows_of(home / name) for name in comparing.DATABASES}
        schemas = {name: comparing.schema_of(home / name) for name in comparing.DATABASES}
        with golden.open_instance(home) as instance:
            versions = _data_versions(instance)
        assert len(files) > 900
        assert len([name for name in files if "manifests/finalized/" in name]) == 28
        assert len(versions) > 30
        with golden.clock():
            golden.materialize(home, file)
        after = comparing.file_states_of(home)
        assert {name for name in files | after if files.get(name) != after.get(name)} == set()
        assert {name: comparing.rows_of(home / name) for name in comparing.DATABASES} == rows
        assert {name: comparing.schema_of(home / name) for name in comparing.DATABASES} == schemas
        # A missing version number alone must not cause a rewrite and a copy of the catalogue.
        assert {name: comparing.version_of(home / name) for name in comparing.DATABASES} == {
            comparing.CATALOG: 0,
            f"gws/{comparing.CATALOG}": 0,
            comparing.LEDGER: 3,
            comparing.EVIDENCE: 5,
        }
        with golden.open_instance(home) as instance:
            assert _data_versions(instance) == versions
            assert _copied(instance) == 0


def _data_versions(instance: DagsterInstance) -> dict[str, str]:
    """Return the data version of the newest materialization of each partition."""
    versions: dict[str, str] = {}
    for key in instance.get_asset_keys():
        if key.path in (["gws", "core_products"], ["ops", "health"]):
            continue  # the health reports, which change each time
        if comparing.is_new(key.to_user_string()):
            continue
        for record in instance.fetch_materializations(AssetRecordsFilter(asset_key=key), limit=1000).records:
            materialization = record.asset_materialization
            assert materialization is not None
            name = f"{key.to_user_string()} {materialization.partition}"
            versions.setdefault(name, (materialization.tags or {}).get("dagster/data_version", ""))
    return versions


def _copied(instance: DagsterInstance) -> int:
    """Return the number of files that the newest runs of the mirrors copied."""
    total = 0
    for key in instance.get_asset_keys():
        if key.path[0] == "raw":
            (record,) = instance.fetch_materializations(AssetRecordsFilter(asset_key=key), limit=1).records
            assert record.asset_materialization is not None
            total += int(record.asset_materialization.metadata["copied"].value)  # type: ignore[arg-type]
    return total
