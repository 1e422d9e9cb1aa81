"""Starts processes for tests that kill: a program imports the needed modules once and forks each process.

A process that imports Dagster needs seconds to start; a fork of a process with these imports starts at once.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.patience import patient

ROOT = Path(__file__).resolve().parent.parent
KILLS = int(os.environ.get("KILLS", "20"))
"""Number of kills per test; `make soak-short` uses fewer."""
_SERVER = """
import importlib, json, os, sys, traceback
module, name = sys.argv[1].split(":")
function = getattr(importlib.import_module(module), name)
print("ready", flush=True)
for line in sys.stdin:
    child = os.fork()
    if not child:
        os.dup2(2, 1)
        try:
            function(*json.loads(line))
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Forking:
    """Calls a function of a module (``package.module:name``), each time in a new fork."""

    def __init__(self, function: str, **environment: str) -> None:
        self.function = function
        self.environment = environment

    def __enter__(self) -> Self:
        self.server = subprocess.Popen(
            [sys.executable, "-c", _SERVER, self.function],
            cwd=ROOT,
            env=os.environ | self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._line(patient(60)) == "ready"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.killpg(self.server.pid, signal.SIGKILL)
        self.server.communicate()

    def start(self, *arguments: object) -> int:
        """Call the function in a new process; return the process id."""
        assert self.server.stdin is not None
        self.server.stdin.write(json.dumps([str(argument) for argument in arguments]).encode() + b"\n")
        self.server.stdin.flush()
        line = self._line(patient(60))
        assert line is not None
        return int(line)

    def wait(self, within: float) -> int | None:
        """Return the exit code of the last process, negative after a signal; None after ``within`` s."""
        line = self._line(within)
        return None if line is None else int(line)

    def kill(self, pid: int, after: float = 0.0) -> int:
        """Kill the last process, unless it has ended; return its exit code.

        ``after`` is for a quiet machine, s; it is scaled, because a slow machine needs more time to get as far.
        """
        time.sleep(patient(after))
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        code = self.wait(patient(60))
        assert code is not None
        return code

    def _line(self, within: float) -> str | None:
        assert self.server.stdout is not None
        deadline = time.monotonic() + within
        line = b""
        while not line.endswith(b"\n"):
            if not select.select([self.server.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
                return None
            block = os.read(self.server.stdout.fileno(), 1)
            assert block, "the program ended; see its output"
            line += block
        return line.decode().strip()
