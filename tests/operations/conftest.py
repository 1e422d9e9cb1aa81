"""Fixtures of the tests of the operations: a real host of an archive, and a finalized day behind it."""

from collections.abc import Iterator

import pytest

from aurora_simulator.ssh_server import SshServer


@pytest.fixture(scope="session")
def archive_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    """A host that is reached over SSH, for archives and for sources."""
    with SshServer(tmp_path_factory.mktemp("sshd_explain"), address="127.0.0.21") as server:
        yield server
