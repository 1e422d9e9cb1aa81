"""Counts which directories this process reads, by Python's audit events."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_readings: list[str] = []
_HOOKED = ("os.scandir", "os.listdir")


def _record(event: str, arguments: tuple[Any, ...]) -> None:
    if event in _HOOKED:
        _readings.append(os.fsdecode(arguments[0]) if isinstance(arguments[0], str | bytes) else "")


sys.addaudithook(_record)


@contextmanager
def readings(root: Path) -> Iterator[list[str]]:
    """Yield a list that has, at the end, the directories below ``root`` that this process has read in the block."""
    _readings.clear()
    found: list[str] = []
    yield found
    found += [os.path.relpath(path, root) for path in _readings if path.startswith(str(root))]
