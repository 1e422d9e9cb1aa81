"""What all tests share: a site of their own below a temporary directory."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from aurora_assets.site import DEFAULT_SITE, Site, load_site


@pytest.fixture
def site_file(tmp_path: Path) -> Path:
    """The demo's site file, moved to a temporary directory: the camera is ``camera/``, all else is beside it."""
    return write_site(tmp_path)


@pytest.fixture
def site(site_file: Path) -> Site:
    return load_site(site_file)


def write_site(directory: Path, change: Callable[[dict], None] = lambda data: None) -> Path:
    """Write a site file into ``directory``; ``change`` may alter its keys first."""
    data = yaml.safe_load(DEFAULT_SITE.read_text())
    data["paths"] = {name: name for name in data["paths"]}
    data["streams"]["wxcam"]["path"] = "camera"
    change(data)
    file = directory / "site.yaml"
    file.write_text(yaml.safe_dump(data))
    return file
