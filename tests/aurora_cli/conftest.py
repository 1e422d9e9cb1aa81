"""Fixtures of the command's tests: an observatory with two hosts, and a site file for it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from aurora_platform.config.package_files import DAGSTER_YAML
from aurora_simulator import InstrumentSpec, simulate_instruments
from aurora_simulator.ssh_server import SshServer, readable_directory, why_no_sshd
from tests.aurora_cli.parts import FIRST, Observatory


@pytest.fixture(scope="session")
def observatory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observatory]:
    """Two days of seven instruments on two hosts: one with auth `key`, the other with `none` where that is possible."""
    auth = "key" if why_no_sshd("none") else "none"
    with (
        readable_directory() as source,
        SshServer(tmp_path_factory.mktemp("ass")) as ass,
        SshServer(tmp_path_factory.mktemp("aps"), address="127.0.0.4", auth=auth) as aps,
    ):
        simulate_instruments(InstrumentSpec(source, FIRST, days=2, scale=0.001))
        yield Observatory(source, ass, aps)


@pytest.fixture
def site_file(observatory: Observatory, tmp_path: Path) -> Path:
    return observatory.write_site(tmp_path)


@pytest.fixture(autouse=True)
def dagster_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Dagster home as `make ui` creates it."""
    home = tmp_path_factory.mktemp("dagster_home")
    (home / "dagster.yaml").write_bytes(DAGSTER_YAML.read_bytes())
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    return home
