"""Doing several things at the same time, each of which may fail for itself, or never end.

The threads are daemons: Ctrl-C ends the command at once, and with it, by the kernel, the programs that they started.
"""

import threading
import time
from collections.abc import Callable, Mapping
from queue import Empty, SimpleQueue


def run_concurrently[Key, Result](
    jobs: Mapping[Key, Callable[[], Result]], within: float | None = None, at_once: int = 32
) -> dict[Key, Result | Exception]:
    """Run jobs in threads and return what each returned or raised, in the order of ``jobs``.

    Parameters
    ----------
    jobs
        What to do, by name.
    within
        After so many seconds what is not done has ended in ``TimeoutError``; its thread is left behind.
    at_once
        How many threads there are at most.
    """
    waiting: SimpleQueue[Key] = SimpleQueue()
    done: SimpleQueue[tuple[Key, Result | Exception]] = SimpleQueue()
    for key in jobs:
        waiting.put(key)

    def work() -> None:
        while True:
            try:
                key = waiting.get_nowait()
            except Empty:
                return
            try:
                done.put((key, jobs[key]()))
            except Exception as error:  # the edge that records and goes on
                done.put((key, error))

    for _ in range(min(at_once, len(jobs))):
        threading.Thread(target=work, daemon=True).start()
    until = None if within is None else time.monotonic() + within
    found: dict[Key, Result | Exception] = {}
    try:
        while len(found) < len(jobs):
            key, result = done.get(timeout=None if until is None else max(0, until - time.monotonic()))
            found[key] = result
    except Empty:
        pass
    late = TimeoutError(f"no answer within {within} s")
    return {key: found.get(key, late) for key in jobs}
