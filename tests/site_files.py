"""A site file for a test: the demo's, with everything below a temporary directory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import yaml

from aurora_platform.config.site import DEFAULT_SITE


def write_site(directory: Path, change: Callable[[dict], None] = lambda data: None) -> Path:
    """Write a site file into ``directory``; ``change`` may alter its keys first."""
    data = yaml.safe_load(DEFAULT_SITE.read_text())
    data["paths"] = {name: name for name in data["paths"]}
    data["streams"]["wxcam"]["path"] = "camera"
    change(data)
    file = directory / "site.yaml"
    file.write_text(yaml.safe_dump(data))
    return file
