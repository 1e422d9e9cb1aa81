"""Measures the progress of a running program: the bytes that it has moved, as the kernel counts them.

Only bytes that the other end must have sent or acknowledged count. Writing to a dead connection succeeds for a long
time, until all buffers on the way are full; and a host that hangs may still answer keep-alives.
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_SOCKET = re.compile(r"socket:\[(\d+)\]")
_READ, _WRITTEN = "rchar", "wchar"


@dataclass(frozen=True)
class Progress:
    """How to measure the progress of a program, and the rate below which it has stalled."""

    bytes_moved: Callable[[int, str], int | None]
    """Takes (session id, program name) and returns bytes; None if that cannot be measured now."""
    minimum_rate: float = 0.0
    """Bytes per second; the keep-alives of ssh and rsync stay far below."""


def bytes_read(session: int, program: str) -> int | None:
    """Bytes that all processes of ``program`` in a session have read; None if none runs, or one waits for a disk.

    Written bytes do not count: writing to a dead connection succeeds for a long time.
    """
    total = None
    for directory, state in _processes(session, program):
        if state == "D":
            return None
        with suppress(OSError, KeyError):  # the process has ended meanwhile
            total = (total or 0) + _counters(directory)[_READ]
    return total


def bytes_delivered(session: int, program: str) -> int | None:
    """Bytes that ``program`` has read, plus the bytes written by its ``ssh`` that the other end has acknowledged.

    A sender reads its own files only until the buffers on the way are full, so reading stops soon when the other end
    takes nothing. It also stops on a slow connection while the buffers drain; the acknowledged bytes show that this
    is still progress.
    """
    read = bytes_read(session, program)
    if read is None:
        return None
    for directory, _ in _processes(session, "ssh"):
        with suppress(OSError, KeyError, ValueError, IndexError):
            # The queue first: bytes written between the two readings then count as delivered once, and not for ever.
            queued = _queued(directory)
            read += _counters(directory)[_WRITTEN] - queued
    return read


READ_PROGRESS = Progress(bytes_read)
DELIVERY_PROGRESS = Progress(bytes_delivered, minimum_rate=64)


def _processes(session: int, program: str) -> Iterator[tuple[Path, str]]:
    """The processes of a program in a session, each with its state, from /proc."""
    for directory in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError, IndexError):  # the process has ended meanwhile
            name, _, rest = (directory / "stat").read_text().partition("(")[2].rpartition(")")
            state, _, _, process_session, *_ = rest.split()
            if name == program and int(process_session) == session:
                yield directory, state


def _counters(process: Path) -> dict[str, int]:
    lines = (line.partition(": ") for line in (process / "io").read_text().splitlines())
    return {name: int(value) for name, _, value in lines}


def _queued(process: Path) -> int:
    """Bytes written to the TCP connections of a process that the other end has not acknowledged."""
    sockets = {match[1] for fd in (process / "fd").iterdir() if (match := _SOCKET.match(os.readlink(fd)))}
    total = 0
    for table in ("tcp", "tcp6"):
        for line in (process / "net" / table).read_text().splitlines()[1:]:
            columns = line.split()
            if columns[9] in sockets:
                total += int(columns[4].partition(":")[0], 16)
    return total
