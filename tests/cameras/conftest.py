"""Fixtures: an empty raw tree, and simulated hours that are rendered once."""

import os
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import av
import pytest

from aurora_simulator import CameraSpec, Report, simulate
from tests.cameras.sample_media import DAY, NOW, SETTLED, Sky

av.logging.set_level(None)  # no FFmpeg messages about media that are broken on purpose


@pytest.fixture
def sky(tmp_path: Path) -> Sky:
    """An empty raw tree and its layout."""
    return Sky(tmp_path)


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three hours of both cameras, with an image every ten minutes."""
    root = tmp_path_factory.mktemp("rendered")
    simulate(CameraSpec(root, DAY, hours=3, every=timedelta(minutes=10), start_hour=10, scale=0.05, other=False))
    return root


@pytest.fixture(scope="session")
def rendered_with_faults(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report]:
    """An hour of both cameras with every fault of the simulator; files in flight were written at ``NOW``."""
    root = tmp_path_factory.mktemp("faulty")
    spec = CameraSpec(root, DAY, hours=1, every=timedelta(minutes=10), start_hour=10, scale=0.05, other=False)
    report = simulate(spec, ["all"], now=NOW)
    for path in report.faults["symlink-out"]:  # links have the time of this machine's clock
        os.utime(root / path, (SETTLED.timestamp(), SETTLED.timestamp()), follow_symlinks=False)
    return root, report


@pytest.fixture
def filled(sky: Sky, rendered: Path) -> Sky:
    """A copy of the simulated hours for one test."""
    shutil.copytree(rendered, sky.layout.raw, symlinks=True)
    return sky


@pytest.fixture
def faulty(sky: Sky, rendered_with_faults: tuple[Path, Report]) -> tuple[Sky, Callable[[str], list[str]]]:
    """A copy of the tree with every fault for one test, and the relative paths of the files with each fault."""
    root, report = rendered_with_faults
    shutil.copytree(root, sky.layout.raw, symlinks=True)
    return sky, lambda name: report.faults[name]


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three images per camera at 75 % of the true size, with the camera's grain."""
    root = tmp_path_factory.mktemp("large")
    simulate(CameraSpec(root, DAY, hours=1, every=timedelta(minutes=20), start_hour=10, scale=0.75, other=False))
    return root
