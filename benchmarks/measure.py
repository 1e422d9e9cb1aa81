"""Methods measured side by side: each in a process of its own, by turns, so that what disturbs one disturbs the others.

A method is a function at the top of a module. Its process imports that module once, runs it once unmeasured (the
warm-up, whose answer the subject checks), and then once a round. Of each run it tells the seconds of the clock, the
seconds of the cores, and how high its memory went.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import pickle
import statistics
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self

from benchmarks.short import shorten_if_asked

ROUNDS = 5
_PATIENCE = 3600.0  # s, for one run; a method that hangs ends the benchmark
_FARE_WELL = 10.0  # s


class WrongAnswerError(AssertionError):
    """A method did not do the work that it was measured on."""


@dataclass(frozen=True)
class Method:
    """One way to do a subject's work.

    Parameters
    ----------
    work
        Called as ``work(*arguments)``; what it returns is its answer.
    arguments
        Picklable.
    before
        Called in the same way, unmeasured, before every run: takes away what the run before left.
    sums_up
        Makes an answer that is small and can be compared of what ``work`` returned, unmeasured.
    """

    work: Callable[..., Any]
    arguments: tuple[Any, ...] = ()
    before: Callable[..., Any] | None = None
    sums_up: Callable[[Any], Any] | None = None


@dataclass(frozen=True)
class Run:
    """One run of a method: s of the clock, s of the cores with those of child processes, and MB of memory at the peak
    with the interpreter and all that it has imported."""

    seconds: float
    cores: float
    peak_mb: float
    answer: Any = None


@dataclass(frozen=True)
class Measured:
    """All rounds of one method."""

    runs: tuple[Run, ...]

    @property
    def seconds(self) -> tuple[float, ...]:
        return tuple(run.seconds for run in self.runs)

    @property
    def median(self) -> float:
        """s"""
        return statistics.median(self.seconds)

    @property
    def cores(self) -> float:
        """s of the cores, median."""
        return statistics.median(run.cores for run in self.runs)

    @property
    def peak_mb(self) -> float:
        return max(run.peak_mb for run in self.runs)


def alternately(
    methods: Mapping[str, Method],
    check: Callable[[Mapping[str, Any]], None],
    rounds: int = ROUNDS,
    log: Callable[[str], None] = lambda _: None,
) -> dict[str, Measured]:
    """Measure several methods of doing the same.

    Parameters
    ----------
    check
        Is given the warm-up's answer of every method, and raises :class:`WrongAnswerError` where one is not what was
        asked for, or what a method left on disk is not. Later answers have to be equal to the first, and after the
        last round it is asked once more.
    tell
        Hears what is being done, for a terminal.
    """
    with ExitStack() as stack:
        workers = {}
        for name, method in methods.items():
            log(f"{name}, warming up")
            workers[name] = stack.enter_context(_Worker(name, method))
        first = {}
        for name, worker in workers.items():
            log(f"{name}, warming up")
            first[name] = worker.run().answer
        check(first)
        runs: dict[str, list[Run]] = {name: [] for name in methods}
        for number in range(rounds):
            for name, worker in workers.items():
                log(f"{name}, round {number + 1} of {rounds}")
                run = worker.run()
                if run.answer != first[name]:
                    raise WrongAnswerError(f"{name}: answered {run.answer!r}, and {first[name]!r} before")
                runs[name].append(run)
        log("looking at what the last round has left")
        check({name: found[-1].answer if found else first[name] for name, found in runs.items()})
    return {name: Measured(tuple(found)) for name, found in runs.items()}


class _Worker:
    """The process of one method."""

    def __init__(self, name: str, method: Method) -> None:
        # Spawned: a forked one would have the threads' locks of this process, and its memory.
        context = multiprocessing.get_context("spawn")
        self._name = name
        self._pipe, far = context.Pipe()
        self._process = context.Process(target=_serve, args=(far, method), daemon=False)
        self._process.start()
        far.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.close()
        self._process.join(_FARE_WELL)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def run(self) -> Run:
        """One run; a method's own exception is raised here."""
        try:
            self._pipe.send("run")
            if not self._pipe.poll(_PATIENCE):
                raise TimeoutError(f"{self._name}: no answer in {_PATIENCE:.0f} s")
            result = self._pipe.recv()
        except (EOFError, BrokenPipeError, ConnectionResetError):
            self._process.join(_FARE_WELL)
            raise RuntimeError(f"{self._name}: its process ended with {self._process.exitcode}") from None
        if isinstance(result, Exception):
            raise result
        assert isinstance(result, Run)
        return result


def _serve(pipe: Connection, method: Method) -> None:
    shorten_if_asked()
    gc.freeze()  # what was imported is no garbage: the collector need not look at it in the midst of a run
    while True:
        try:
            pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(run_once(method))
        except Exception as error:  # the edge: raised again by who asked
            error.add_note(f"in {method.work.__module__}.{method.work.__qualname__}")
            pipe.send(_sendable(error))


def _sendable(error: Exception) -> Exception:
    """The error, or what it says where it cannot be had on the other side of a pipe: some of Dagster's cannot."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    except Exception:  # whatever the error's own class raises; what it says is handed on
        return RuntimeError("".join(traceback.format_exception(error)))
    return error


def run_once(method: Method) -> Run:
    """Run a method in this process."""
    if method.before:
        method.before(*method.arguments)
    os.sync()  # what was written before is not this run's to wait for
    forget_peak()
    cores, clock = _cores(), time.perf_counter()
    answer = method.work(*method.arguments)
    seconds = time.perf_counter() - clock
    cores, peak = _cores() - cores, peak_mb()
    return Run(seconds, cores, peak, method.sums_up(answer) if method.sums_up else answer)


def _cores() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def forget_peak() -> None:
    """Let the kernel begin anew to note how high this process's memory goes."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_mb() -> float:
    """The highest resident memory of this process since :func:`forget_peak`, MB."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024
