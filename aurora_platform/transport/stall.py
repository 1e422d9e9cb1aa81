"""What shows that a program still gets on: bytes that it has moved, as the kernel counts them.

Only bytes count that say something of the other end. To a line that is dead one can write for a long time, until all
buffers on the way are full; and a host that hangs may still answer keep-alives.
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
class Life:
    """How to tell that a program lives: what it has moved so far, and how little of it a second is no life."""

    moved: Callable[[int, str], int | None]
    """Of (session id, name of the program), in bytes; None where that cannot be told now."""
    least: float = 0.0
    """Bytes a second; what keep-alives of ssh and rsync come to is far below."""


def bytes_read(session: int, program: str) -> int | None:
    """What all processes of ``program`` in a session have read so far; None where none runs, or one waits for a disk.

    Not what they have written: to a line that is dead one can write for a long time.
    """
    total = None
    for directory, state in _processes(session, program):
        if state == "D":
            return None
        with suppress(OSError, KeyError):  # it has ended meanwhile
            total = (total or 0) + _counters(directory)[_READ]
    return total


def bytes_delivered(session: int, program: str) -> int | None:
    """What ``program`` has read, and what the other end has acknowledged of all that its ``ssh`` has written.

    Who sends reads its own files only until the buffers on the way are full, so that reading stops soon where the other
    end takes nothing. Over a slow line it stops as well, while the buffers empty themselves; that is what the second
    number shows.
    """
    read = bytes_read(session, program)
    if read is None:
        return None
    for directory, _ in _processes(session, "ssh"):
        with suppress(OSError, KeyError, ValueError, IndexError):
            # The queue first: what is written between the two looks then counts as delivered once, and not for ever.
            queued = _queued(directory)
            read += _counters(directory)[_WRITTEN] - queued
    return read


READS = Life(bytes_read)
DELIVERS = Life(bytes_delivered, least=64)


def _processes(session: int, program: str) -> Iterator[tuple[Path, str]]:
    """The processes of a program in a session, each with its state, as /proc has them."""
    for directory in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError, IndexError):  # it has ended meanwhile
            name, _, rest = (directory / "stat").read_text().partition("(")[2].rpartition(")")
            state, _, _, its_session, *_ = rest.split()
            if name == program and int(its_session) == session:
                yield directory, state


def _counters(process: Path) -> dict[str, int]:
    lines = (line.partition(": ") for line in (process / "io").read_text().splitlines())
    return {name: int(value) for name, _, value in lines}


def _queued(process: Path) -> int:
    """What has been written to the TCP connections of a process and is not acknowledged by the other end."""
    ours = {match[1] for fd in (process / "fd").iterdir() if (match := _SOCKET.match(os.readlink(fd)))}
    total = 0
    for table in ("tcp", "tcp6"):
        for line in (process / "net" / table).read_text().splitlines()[1:]:
            columns = line.split()
            if columns[9] in ours:
                total += int(columns[4].partition(":")[0], 16)
    return total
