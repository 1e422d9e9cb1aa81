"""Fixtures of the archive's tests: three real hosts, and a site with its archive behind them."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from aurora_platform.config.hosts import SshHost
from aurora_simulator.ssh_server import SshServer
from tests.archive.parts import Observatory
from tests.mirror.parts import host_of


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[SshServer]]:
    """Three hosts with the same directories."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(SshServer(tmp_path_factory.mktemp(f"sshd{n}"), address=f"127.0.0.{n}"))
            for n in (11, 12, 13)
        ]


@pytest.fixture
def hosts(servers: list[SshServer]) -> tuple[SshHost, ...]:
    return tuple(host_of(server) for server in servers)


@pytest.fixture(scope="session")
def known_hosts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("known") / "known_hosts"


@pytest.fixture
def observatory(tmp_path: Path, hosts: tuple[SshHost, ...], known_hosts: Path) -> Observatory:
    return Observatory(tmp_path, hosts, known_hosts=known_hosts)
