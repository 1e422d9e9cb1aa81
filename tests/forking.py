"""Victims for tests that kill: a program that imports once what they need, and forks each of them.

A process that imports Dagster takes seconds to be ready; a fork of one that has done so is ready at once.
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
"""How often a test kills; `make soak-short` has fewer."""
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
    """A function of a module (``package.module:name``) that is called in a fork of its own each time."""

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
        """Call the function; returns the process that does it."""
        assert self.server.stdin is not None
        self.server.stdin.write(json.dumps([str(one) for one in arguments]).encode() + b"\n")
        self.server.stdin.flush()
        said = self._line(patient(60))
        assert said is not None
        return int(said)

    def wait(self, within: float) -> int | None:
        """The exit code of the last one started, negative where a signal ended it; None after ``within`` s."""
        said = self._line(within)
        return None if said is None else int(said)

    def kill(self, pid: int, after: float = 0.0) -> int:
        """Kill the last one started, unless it has ended; returns its exit code.

        ``after`` s on a quiet machine: a slow one gets as far as that only with as much more time.
        """
        time.sleep(patient(after))
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        code = self.wait(patient(60))
        assert code is not None
        return code

    def _line(self, within: float) -> str | None:
        assert self.server.stdout is not None
        until = time.monotonic() + within
        said = b""
        while not said.endswith(b"\n"):
            if not select.select([self.server.stdout], [], [], max(0.0, until - time.monotonic()))[0]:
                return None
            block = os.read(self.server.stdout.fileno(), 1)
            assert block, "the program ended; see what it wrote"
            said += block
        return said.decode().strip()
