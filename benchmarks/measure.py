"""Measures methods side by side: each in its own process, alternately, so that disturbances affect all of them.

A method is a top-level function of a module. Its process imports that module once, runs the function once unmeasured
(the warm-up, whose answer the subject checks), and then once per round. For each run it reports clock time, CPU time
and peak memory.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import pickle
import resource
import statistics
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self

from benchmarks.short import shrink_if_enabled

ROUNDS = 5
_TIMEOUT = 3600.0  # s, per run; a method that hangs ends the benchmark
_STOP_TIMEOUT = 10.0  # s


class WrongAnswerError(AssertionError):
    """A method did not do its work."""


@dataclass(frozen=True)
class Method:
    """One way to do the work of a subject.

    Parameters
    ----------
    work
        Called as ``work(*arguments)``; returns the answer.
    arguments
        Picklable.
    before
        Called in the same way, unmeasured, before every run: removes the results of the run before.
    summarize
        Turns the result of ``work`` into a small, comparable answer, unmeasured.
    """

    work: Callable[..., Any]
    arguments: tuple[Any, ...] = ()
    before: Callable[..., Any] | None = None
    summarize: Callable[[Any], Any] | None = None


@dataclass(frozen=True)
class Run:
    """One run of a method: clock time (s), CPU time with child processes (s), and peak memory (MB) including the
    interpreter and all imported modules."""

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
        """Clock time, s, median."""
        return statistics.median(self.seconds)

    @property
    def cores(self) -> float:
        """CPU time, s, median."""
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
    """Measure several methods of doing the same work, alternately.

    Parameters
    ----------
    check
        Gets the answers of all warm-ups and raises :class:`WrongAnswerError` if an answer, or the files that a method
        wrote, are wrong. Later answers must equal the first; ``check`` is called again after the last round.
    log
        Gets progress messages for a terminal.
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
                    raise WrongAnswerError(f"{name}: answered {run.answer!r}, but {first[name]!r} before")
                runs[name].append(run)
        log("checking the files of the last round")
        check({name: rounds_done[-1].answer if rounds_done else first[name] for name, rounds_done in runs.items()})
    return {name: Measured(tuple(rounds_done)) for name, rounds_done in runs.items()}


class _Worker:
    """The process of one method."""

    def __init__(self, name: str, method: Method) -> None:
        # Spawned: a fork would inherit the locks of this process's threads, and its memory.
        context = multiprocessing.get_context("spawn")
        self._name = name
        self._pipe, child_end = context.Pipe()
        self._process = context.Process(target=_serve, args=(child_end, method), daemon=False)
        self._process.start()
        child_end.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.close()
        self._process.join(_STOP_TIMEOUT)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def run(self) -> Run:
        """Run the method once; raise its exception, if any."""
        try:
            self._pipe.send("run")
            if not self._pipe.poll(_TIMEOUT):
                raise TimeoutError(f"{self._name}: no answer in {_TIMEOUT:.0f} s")
            result = self._pipe.recv()
        except (EOFError, BrokenPipeError, ConnectionResetError):
            self._process.join(_STOP_TIMEOUT)
            raise RuntimeError(f"{self._name}: its process exited with {self._process.exitcode}") from None
        if isinstance(result, Exception):
            raise result
        assert isinstance(result, Run)
        return result


def _serve(pipe: Connection, method: Method) -> None:
    shrink_if_enabled()
    gc.freeze()  # the garbage collector skips imported objects, so it does not scan them during a run
    while True:
        try:
            pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(run_once(method))
        except Exception as error:  # the edge: the parent raises it again
            error.add_note(f"in {method.work.__module__}.{method.work.__qualname__}")
            pipe.send(_picklable(error))


def _picklable(error: Exception) -> Exception:
    """Return the error, or its text if the error cannot be pickled, as some of Dagster's cannot."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    except Exception:  # pickling may raise anything; the text is sent instead
        return RuntimeError("".join(traceback.format_exception(error)))
    return error


def run_once(method: Method) -> Run:
    """Run a method once in this process."""
    if method.before:
        method.before(*method.arguments)
    os.sync()  # so that this run does not wait for earlier writes
    reset_peak()
    cores, clock = _cores(), time.perf_counter()
    answer = method.work(*method.arguments)
    seconds = time.perf_counter() - clock
    cores, peak = _cores() - cores, peak_mb()
    return Run(seconds, cores, peak, method.summarize(answer) if method.summarize else answer)


def _cores() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)  # os.times() counts in steps of 10 ms


def reset_peak() -> None:
    """Make the kernel reset the peak memory of this process."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_mb() -> float:
    """Return the peak resident memory of this process since :func:`reset_peak`, MB."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024
