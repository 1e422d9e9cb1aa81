"""A library that is loaded before the C library, and answers like a disk that fails or another file system.

The library (``layer.c``) is loaded with ``LD_PRELOAD``, so the code under test runs in a process of its own, and so do
the programs that it starts (:data:`PASSED`). The test sets faults through shared memory, also while the process runs.
Only paths below :attr:`Layer.root` are concerned.
"""

from __future__ import annotations

import ctypes
import hashlib
import mmap
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from aurora_platform.transport import process

_SOURCE = Path(__file__).with_name("layer.c")
PASSED = ("LD_PRELOAD", "FAULTS")
"""Variables that the programs which the code under test starts need as well (:func:`pass_to_programs`)."""
_REALMS = 8


class _Control(ctypes.Structure):
    """The structure ``control`` of ``layer.c``."""

    _fields_ = (
        ("step_ns", ctypes.c_int64),
        ("rounding", ctypes.c_int32),
        *((name, ctypes.c_int32) for name in ("no_links", "no_locks", "no_exchange", "exchange_is_rename", "realms")),
        *((name, ctypes.c_int32) for name in ("error", "skip", "count", "hits", "is_logging", "reserved")),
        ("root", ctypes.c_char * 512),
        ("operation", ctypes.c_char * 32),
        ("path", ctypes.c_char * 1024),
        ("log", ctypes.c_char * 512),
        ("realm", ctypes.c_char * 512 * _REALMS),
        ("quota", ctypes.c_char * 512),
        ("quota_bytes", ctypes.c_int64),
        ("used_bytes", ctypes.c_int64),
    )


class Operation(NamedTuple):
    """A call that the layer has seen: the program, what it did, and the path."""

    program: str
    name: str
    path: str


class Layer:
    """The layer of one test. Set what a file system is like, arm one fault, read what was done."""

    def __init__(self, directory: Path, root: Path) -> None:
        """``directory`` is for files of the layer, and is not below ``root``."""
        self.root = root
        self._library = _compiled()
        self._file, self._log = directory / "faults", directory / "operations"
        self._file.write_bytes(bytes(ctypes.sizeof(_Control)))
        with self._file.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 0)
        self.control = _Control.from_buffer(self._memory)
        self.control.root, self.control.log = os.fsencode(root), os.fsencode(self._log)
        self.reset()

    def reset(self) -> None:
        """No fault, and a file system that gives everything."""
        control = self.control
        control.step_ns, control.rounding = 1, 0
        for name in ("no_links", "no_locks", "no_exchange", "exchange_is_rename", "realms", "error", "is_logging"):
            setattr(control, name, 0)
        control.quota = b""

    @property
    def environment(self) -> dict[str, str]:
        """The variables of a process below which the layer lies."""
        return {"LD_PRELOAD": str(self._library), "FAULTS": str(self._file)}

    def separate(self, *directories: Path) -> None:
        """Make a rename or a link into or out of each directory fail with EXDEV; the innermost one counts."""
        for number in range(_REALMS):
            name = os.fsencode(directories[number]) if number < len(directories) else b""
            self.control.realm[number].value = name
        self.control.realms = len(directories)

    def set_quota(self, directory: Path, limit: int, used: int) -> None:
        """Give a directory the quota of a CephFS (bytes)."""
        self.control.quota, self.control.quota_bytes, self.control.used_bytes = os.fsencode(directory), limit, used

    def arm(self, operation: str, path: str, error: int, skip: int = 0, count: int = 1) -> None:
        """Let calls fail with ``error``: after ``skip`` that match, ``count`` times. Patterns as in the shell."""
        control = self.control
        control.error = 0
        control.operation, control.path = operation.encode(), path.encode()
        control.skip, control.count, control.hits = skip, count, 0
        control.error = error

    @property
    def has_struck(self) -> bool:
        """Whether a call has failed since the last :meth:`arm`."""
        return bool(self.control.hits > self.control.skip)

    @contextmanager
    def recording(self) -> Iterator[list[Operation]]:
        """Collect the operations below the root; the list is filled at the end of the block."""
        self._log.unlink(missing_ok=True)
        self.control.is_logging = 1
        seen = list[Operation]()
        try:
            yield seen
        finally:
            self.control.is_logging = 0
            if self._log.exists():
                lines = self._log.read_text(errors="surrogateescape").splitlines()
                seen += (Operation(*line.split("\t", 2)) for line in lines if line.count("\t") >= 2)


def _compiled() -> Path:
    """Compile the library once for each version of its source."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler (cc) for the layer of faults")
    checksum = hashlib.sha256(_SOURCE.read_bytes()).hexdigest()[:16]
    library = Path(tempfile.gettempdir(), f"aurora-faults-{os.getuid()}-{checksum}.so")
    if not library.exists():
        staged = library.with_name(f"{library.name}.{os.getpid()}")
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", staged, _SOURCE, "-ldl"], check=True)
        staged.replace(library)
    return library


def pass_to_programs() -> None:
    """Let the layer lie below rsync as well, in a process below which it lies already."""
    passed = process._PASSED_VARIABLES
    process._PASSED_VARIABLES = (*passed, *(name for name in PASSED if name not in passed))
