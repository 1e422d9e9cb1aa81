"""Runs several jobs concurrently; each may fail independently, or never end.

The threads are daemons: Ctrl-C ends the command at once, and the kernel then ends the programs that they started.
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
        The jobs, by name.
    within
        Seconds after which an unfinished job gives ``TimeoutError``; its thread goes on.
    at_once
        Maximum number of threads.
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
            except Exception as error:  # recorded as the job's result; the other jobs go on
                done.put((key, error))

    for _ in range(min(at_once, len(jobs))):
        threading.Thread(target=work, daemon=True).start()
    deadline = None if within is None else time.monotonic() + within
    results: dict[Key, Result | Exception] = {}
    try:
        while len(results) < len(jobs):
            key, result = done.get(timeout=None if deadline is None else max(0, deadline - time.monotonic()))
            results[key] = result
    except Empty:
        pass
    timeout = TimeoutError(f"no answer within {within} s")
    return {key: results.get(key, timeout) for key in jobs}
