"""Watches the file accesses of other programs with inotify."""

from __future__ import annotations

import ctypes
import os
import select
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.patience import patient

_IN_ACCESS, _IN_OPEN, _IN_ISDIR = 0x1, 0x20, 0x40000000
_HEADER = struct.Struct("iIII")  # watch, mask, cookie, length of the name


@contextmanager
def opened_below(root: Path) -> Iterator[Callable[[], list[str]]]:
    """Record the names of files below ``root`` that any program opens during the block."""
    names: list[str] = []
    with _watching((Path(directory) for directory, _, _ in os.walk(root)), _IN_OPEN) as fd:

        def read() -> list[str]:
            names.extend(_file_names(fd))
            return names

        yield read


@contextmanager
def watch_reads(path: Path) -> Iterator[Callable[[], None]]:
    """Provide a function that waits until any program has read from a file; it counts every read in the block."""
    with _watching([path], _IN_ACCESS) as fd:

        def wait() -> None:
            assert select.select([fd], [], [], patient(60))[0], f"nobody read {path}"

        yield wait


@contextmanager
def _watching(paths: Iterable[Path], mask: int) -> Iterator[int]:
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.inotify_init1(os.O_NONBLOCK)
    assert fd >= 0
    try:
        for path in paths:
            assert libc.inotify_add_watch(fd, os.fsencode(path), mask) >= 0
        yield fd
    finally:
        os.close(fd)


def _file_names(fd: int) -> Iterator[str]:
    while True:
        try:
            events = os.read(fd, 1 << 16)
        except BlockingIOError:
            return
        position = 0
        while position < len(events):
            _, mask, _, length = _HEADER.unpack_from(events, position)
            position += _HEADER.size
            name = events[position : position + length].rstrip(b"\0").decode()
            position += length
            if name and not mask & _IN_ISDIR:
                yield name
