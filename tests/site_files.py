"""Writes the site file of a test: that of the demo without its archive, all paths below a temporary directory."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from aurora_platform.config.site import DEFAULT_SITE


def write_site(directory: Path, change: Callable[[dict], None] = lambda data: None) -> Path:
    """Write a site file into ``directory``; ``change`` may alter its keys first, or add an archive."""
    data = read_yaml(DEFAULT_SITE)
    del data["archive"]
    data["paths"] = {name: name for name in data["paths"]}
    data["streams"]["wxcam"]["path"] = "camera"
    change(data)
    file = directory / "site.yaml"
    write_yaml(file, data)
    return file


def read_yaml(file: Path) -> dict[str, Any]:
    """Return a copy of the content of a YAML file of the checkout; the file is read once."""
    return deepcopy(_read(file))


def write_yaml(file: Path, data: dict[str, Any]) -> None:
    """Write a site file and keep the order of its keys; libyaml takes a tenth of the time."""
    file.write_text(yaml.dump(data, Dumper=yaml.CSafeDumper, sort_keys=False))


@cache
def _read(file: Path) -> dict[str, Any]:
    return yaml.load(file.read_text(), yaml.CSafeLoader)
