"""Runs work in threads that pass their results to one reader, which may stop early or wait for a limited time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from queue import Empty, Full, Queue

_MAX_QUEUED = 8  # portions that wait for the reader
_POLL = 0.5  # s


class Cancelled(Exception):  # noqa: N818 - not a failure
    """The other results are not needed any more."""


class ResultQueue[Result]:
    """A queue from several threads to one reader; the threads wait when the reader is slow."""

    def __init__(self) -> None:
        self.items: Queue[list[Result] | Exception | None] = Queue(_MAX_QUEUED)
        self.abandoned = threading.Event()
        self.failed = threading.Event()
        self.progressed = 0.0  # by the monotonic clock

    def put(self, results: list[Result]) -> None:
        """Add results; raises :class:`Cancelled` when the reader has stopped."""
        if results:
            self._put(results)

    def check(self) -> None:
        """Note progress; raise :class:`Cancelled` when the reader has stopped or a thread has failed."""
        self.progressed = time.monotonic()
        if self.abandoned.is_set() or self.failed.is_set():
            raise Cancelled

    def run(self, work: Callable[[ResultQueue[Result]], None]) -> None:
        """Run ``work``, then put its error, or None at its end."""
        outcome: Exception | None = None
        try:
            work(self)
        except Cancelled:
            pass
        except Exception as error:  # passed on to the reader
            outcome = error
            self.failed.set()
        try:
            self._put(outcome)
        except Cancelled:
            return

    def get(self, stall: float | None) -> list[Result] | Exception | None:
        """Return the next results, an error, or None at the end of a thread; see :func:`run_in_threads`."""
        began = time.monotonic()
        while True:
            try:
                return self.items.get(timeout=None if stall is None else min(stall, _POLL))
            except Empty:
                if stall is not None and time.monotonic() - max(began, self.progressed) >= stall:
                    raise TimeoutError(f"no progress for {stall:.0f} s") from None

    def _put(self, item: list[Result] | Exception | None) -> None:
        while not self.abandoned.is_set():
            try:
                return self.items.put(item, timeout=_POLL)
            except Full:
                continue
        raise Cancelled


def run_in_threads[Result](
    work: Callable[[ResultQueue[Result]], None], threads: int, stall: float | None = None
) -> Generator[Result]:
    """Run ``work`` in several threads and yield their results; an error is raised after the results before it.

    Raises
    ------
    TimeoutError
        If the reader waits and no thread makes progress for ``stall`` s; the threads may be left behind.
    """
    queue = ResultQueue[Result]()
    workers = [threading.Thread(target=queue.run, args=(work,), daemon=True) for _ in range(threads)]
    failure: Exception | None = None
    try:
        for worker in workers:
            worker.start()
        running = threads
        while running:
            item = queue.get(stall)
            if isinstance(item, list):
                yield from item
            else:
                running -= 1
                failure = failure or item
        if failure is not None:
            raise failure
    finally:
        queue.abandoned.set()
