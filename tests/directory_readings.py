"""Counts which directories this process reads, by Python's audit events."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_HOOKED = ("os.scandir", "os.listdir")
_open_blocks: list[list[str]] = []
"""The directories that were read during each block; an audit hook cannot be removed."""


def _record(event: str, arguments: tuple[Any, ...]) -> None:
    if _open_blocks and event in _HOOKED and isinstance(arguments[0], str | bytes):
        for block in _open_blocks:
            block.append(os.fsdecode(arguments[0]))


sys.addaudithook(_record)


def pass_a_clock_tick() -> None:
    """Wait until the kernel gives a change another mtime than it gave before: it counts in ticks of up to 10 ms."""
    time.sleep(0.02)


@contextmanager
def readings(root: Path) -> Iterator[list[str]]:
    """Yield a list that has, at the end, the directories below ``root`` that this process has read in the block."""
    found: list[str] = []
    block: list[str] = []
    _open_blocks.append(block)
    try:
        yield found
    finally:
        _open_blocks[:] = [other for other in _open_blocks if other is not block]
    found += [os.path.relpath(path, root) for path in block if Path(path).is_relative_to(root)]
