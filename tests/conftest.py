"""Fixtures and hooks of all tests: a temporary site, a host, markers and time limits."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path

import pytest
from hypothesis import settings

from aurora_platform.config.site import Site, load_site
from aurora_simulator import CameraSpec, simulate
from aurora_simulator.ssh_server import SshServer
from tests import disks, patience
from tests.site_files import write_site

# No deadline, because other tests run at the same time. A failure in CI can be repeated with the printed blob.
settings.register_profile("aurora", deadline=None, print_blob=True)
settings.load_profile("aurora")

# The longest files start first, so that no worker runs one of them alone at the end (pyproject.toml has
# --no-loadscope-reorder; without it the files with the fewest tests would be last).
_FIRST = (
    *("test_ui.py", "test_disk_errors.py", "test_late_days.py"),
    *("test_killed_runs.py", "test_subjects.py", "test_archive_assets.py", "test_status.py", "test_newer_state.py"),
    *(
        "test_hosts.py",
        "schedules/platform/test_thumbnails.py",
        "test_scan.py",
        "test_launcher.py",
    ),
    *(
        "test_hostile_listings.py",
        "test_platform.py",
        "test_golden_day.py",
        "test_failing_hosts.py",
    ),
    *("test_arrivals.py", "test_ssh_checksums.py", "host/test_ssh.py", "mirror/host/test_sync.py"),
)
_KINDS = frozenset({"unit", "host", "platform", "kill", "soak"})
_TESTS = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Measure how busy this machine is, and extend the time limit of every test by that factor.

    A worker of xdist reads the command line itself, and inherits the measured factor.
    """
    patience.measure()
    if not {"kill", "soak"} & set(config.option.markexpr.split(" or ")) and (memory := disks.in_memory()):
        os.environ["PYTEST_DEBUG_TEMPROOT"] = str(memory)  # workers inherit it
    if config.getoption("timeout", None):  # pytest-timeout's
        config.option.timeout = patience.patient(config.option.timeout)


@pytest.hookimpl(tryfirst=True)  # before xdist starts its workers, and before anything is collected
def pytest_sessionstart(session: pytest.Session) -> None:
    """Wait until after midnight (UTC) if the run would pass midnight."""
    if hasattr(session.config, "workerinput") or session.config.option.markexpr == "unit":
        return
    wait = patience.over_midnight(datetime.now(UTC), patience.LASTS * patience.factor())
    if wait:
        message = f"waiting {wait:.0f} s for midnight (UTC): tests of today's files need the same date in the whole run"
        session.config.get_terminal_writer().line(message)
        time.sleep(wait)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.write_line(f"time limits were {patience.factor()} times those of a quiet machine")


@cache
def kind_of(path: Path) -> str:
    """Return the marker of all tests of a file: the name of its folder or of a parent folder."""
    for name in reversed(path.relative_to(_TESTS).parts[:-1]):
        if name in _KINDS:
            return name
    raise pytest.UsageError(f"{path}: move the test to a folder named after its kind: {', '.join(sorted(_KINDS))}")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not import test files of other kinds than the selected ones, so that ``-m unit`` does not import Dagster."""
    selected = set(config.option.markexpr.split(" or "))
    is_test = collection_path.name.startswith("test_") and collection_path.suffix == ".py"
    return True if is_test and selected <= _KINDS and kind_of(collection_path) not in selected else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with its kind, and put the tests of the longest files first."""

    for item in items:
        item.add_marker(kind_of(item.path))
    items.sort(key=lambda item: _position_of(item.path))


@cache
def _position_of(path: Path) -> int:
    return next((n for n, name in enumerate(_FIRST) if path.as_posix().endswith(f"/{name}")), len(_FIRST))


@pytest.fixture
def disk_path() -> Iterator[Path]:
    """A temporary directory on the disk; that of ``tmp_path`` may be in memory."""
    with tempfile.TemporaryDirectory(prefix="aurora-test-") as name:
        yield Path(name)


@pytest.fixture
def site_file(tmp_path: Path) -> Path:
    """The site file of the demo in a temporary directory: the camera is ``camera/``, all else is next to it."""
    return write_site(tmp_path)


@pytest.fixture
def site(site_file: Path) -> Site:
    return load_site(site_file)


@pytest.fixture
def film(tmp_path: Path) -> Callable[..., None]:
    """Return a function that writes some hours of a day into the tree of the camera, or into another root."""

    def write(day: date, hours: int, first: int = 0, root: Path = tmp_path / "camera") -> None:
        every = timedelta(minutes=20)
        simulate(CameraSpec(root, day, hours=hours, every=every, start_hour=first, scale=0.05, other=False), [])

    return write


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SshServer]:
    """A host for a single test, which may stop it, change its key or replace its answers."""
    with SshServer(tmp_path / "sshd") as server:
        yield server
