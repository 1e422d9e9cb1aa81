"""Keeps some programs running: each that ends is started again. For the three that Dagster consists of.

``dagster dev`` starts a code server that it does not start again: once the kernel has killed it (out of memory), no
sensor ticks any more. Here each program is started by itself, so each comes back by itself.

The programs end with the supervisor, also when it is killed: the kernel sends them SIGTERM.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import FrameType, TracebackType
from typing import Self

from aurora_platform.errors import AuroraError
from aurora_platform.transport.process import ENDS_WITH_PARENT

_POLL = 0.2  # s
_HEARS_SIGNALS = ("env", "--default-signal=INT,TERM")  # whoever started us may ignore them, and programs inherit that
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0  # s before a program is started again; doubled while it ends early
_EARLY = 60.0  # s; a program that ran for longer is started again at once
_END_WITHIN = 20.0  # s between SIGTERM and SIGKILL


@dataclass
class Program:
    """A program to keep running."""

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables in place of ours."""
    defaults: Mapping[str, str] = field(default_factory=dict)
    """Variables that ours outrank."""
    is_ready: Callable[[], bool] = lambda: True
    """Whether it does its work; the programs after it start then."""
    ready_within: float = 120.0

    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    pause: float = _FIRST_PAUSE
    starts: int = 0

    def start(self) -> None:
        """Start it; it ends with the thread that calls this."""
        self.started, self.starts = time.monotonic(), self.starts + 1
        # In a session of its own: Ctrl-C reaches only the supervisor, which ends them in order.
        self.process = subprocess.Popen(
            [*ENDS_WITH_PARENT, *_HEARS_SIGNALS, *self.argv],
            env={**self.defaults, **os.environ, **self.environment},
            start_new_session=True,
        )

    def end_code(self) -> int | None:
        """The exit code, negative after a signal; None while it runs."""
        return None if self.process is None else self.process.poll()


class Supervisor:
    """Starts programs in order, and starts each again that ends. A context manager that ends them in reverse order."""

    def __init__(self, programs: Sequence[Program], log: Callable[[str], None]) -> None:
        self.programs = programs
        self.log = log
        self._is_over = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for program in reversed(self.programs):
            _end(program)

    @property
    def is_over(self) -> bool:
        """Whether :meth:`stop` was called."""
        return self._is_over.is_set()

    def stop(self, number: int = 0, frame: FrameType | None = None) -> None:
        """Let :meth:`run` return; also a handler of signals."""
        self._is_over.set()

    def start(self) -> None:
        """Start the programs, each when those before it are ready.

        Raises
        ------
        AuroraError
            If one ends or is not ready in time: that is no accident but a wrong setting.
        """
        for program in self.programs:
            if self.is_over:
                return
            program.start()
            until = time.monotonic() + program.ready_within
            while not self.is_over and not program.is_ready():
                if (code := program.end_code()) is not None:
                    raise AuroraError(f"the {program.name} did not start (exit code {code}): see its messages above")
                if time.monotonic() > until:
                    raise AuroraError(f"the {program.name} was not ready after {program.ready_within:.0f} s")
                self._is_over.wait(_POLL)

    def run(self) -> None:
        """Keep the programs running until :meth:`stop`."""
        start_at = dict.fromkeys((program.name for program in self.programs), 0.0)
        while not self._is_over.wait(_POLL):
            for program in self.programs:
                if (code := program.end_code()) is None:
                    continue
                now = time.monotonic()
                if not start_at[program.name]:
                    program.pause = (
                        _FIRST_PAUSE if now - program.started > _EARLY else min(2 * program.pause, _LONGEST_PAUSE)
                    )
                    start_at[program.name] = now + program.pause
                    self._say(
                        f"the {program.name} has ended ({_describe(code)}); it starts again in {program.pause:.0f} s"
                    )
                elif now >= start_at[program.name]:
                    start_at[program.name] = 0.0
                    self._start_again(program)

    def _start_again(self, program: Program) -> None:
        try:
            program.start()
        except OSError as error:  # no memory, no process: just then the others must not end too
            self._say(f"the {program.name} could not be started: {error.strerror}")

    def _say(self, text: str) -> None:
        with suppress(OSError):  # a closed terminal, a full disk: the programs go on
            self.log(text)


def _describe(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    killed = ": the kernel kills a program when memory runs out, see `dmesg`" if code == -signal.SIGKILL else ""
    return f"{signal.Signals(-code).name}{killed}"


def _end(program: Program) -> None:
    process = program.process
    if process is None or process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_END_WITHIN)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
