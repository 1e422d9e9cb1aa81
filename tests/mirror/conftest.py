"""Fixtures of the mirror's tests: a world-readable directory, a simulated camera, and hosts with a real sshd."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from aurora_simulator import CameraSpec, Report, simulate
from aurora_simulator.ssh_server import Auth, SshServer, readable_directory
from tests.mirror.parts import ANYTHING, DAY, Mirror, auths, host_of, stream_of

# Some examples start a process, so fewer of them are run.
settings.register_profile(
    "mirror", settings.get_profile("aurora"), max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)


@pytest.fixture(scope="session")
def _readable() -> Iterator[Path]:
    with readable_directory() as directory:
        yield directory


@pytest.fixture
def source_root(_readable: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """An empty directory that every user may read: the source on the host."""
    with readable_directory() as directory:
        yield directory


@pytest.fixture(scope="session")
def camera(_readable: Path) -> tuple[Path, Report]:
    """A camera's tree with two undamaged hours, an image every 20 minutes, at 5 % of the real size."""
    root = _readable / "camera"
    return root, simulate(CameraSpec(root, DAY, hours=2, every=timedelta(minutes=20), start_hour=10, scale=0.05))


@pytest.fixture(scope="session")
def damaged_camera(_readable: Path) -> tuple[Path, Report]:
    """The same tree with every fault that the simulator can make."""
    root = _readable / "damaged"
    spec = CameraSpec(root, DAY, hours=2, every=timedelta(minutes=20), start_hour=10, scale=0.05)
    return root, simulate(spec, ["all"], now=datetime.now(UTC))


@pytest.fixture(scope="module", params=auths())
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    """A host; the test runs once per login method."""
    auth: Auth = request.param
    with SshServer(tmp_path_factory.mktemp(f"sshd_{auth}"), auth=auth) as server:
        yield server


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[SshServer]:
    """A host of one test, which may stop it or change its key."""
    with SshServer(tmp_path / "sshd") as server:
        yield server


@pytest.fixture
def local(camera: tuple[Path, Report], tmp_path: Path) -> Mirror:
    """The mirror of a camera in a directory of this machine."""
    return Mirror(stream_of(camera[0]), tmp_path)


@pytest.fixture
def remote(camera: tuple[Path, Report], tmp_path: Path, server: SshServer) -> Mirror:
    """The mirror of a camera behind SSH."""
    return Mirror(stream_of(camera[0]), tmp_path, host_of(server))


@pytest.fixture(scope="module")
def key_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    """A host that accepts a key."""
    with SshServer(tmp_path_factory.mktemp("key_server")) as server:
        yield server


@pytest.fixture(params=["local", "ssh"])
def either(request: pytest.FixtureRequest, source_root: Path, tmp_path: Path) -> Mirror:
    """A mirror of an empty source that includes every name, on this machine and behind SSH."""
    host = host_of(request.getfixturevalue("key_server")) if request.param == "ssh" else None
    mirror = Mirror(stream_of(source_root, ANYTHING), tmp_path)
    return mirror.but(host=host) if host else mirror
