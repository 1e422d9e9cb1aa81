"""What this machine can do while the soak runs: how long a fresh process takes to load Dagster, again and again.

That is the most of what a run's start costs, and nothing of it is this project's code. A bound in seconds that was set
on a quiet machine is stretched by it: a busy machine makes the soak slow, and not red.
"""

import subprocess
import sys
import threading
import time

QUIET = 1.5  # s, on the machine that the bounds were set on, with the observatory of the soak at work beside it
EVERY = 10.0  # s


class Yardstick(threading.Thread):
    """Measures until it is stopped."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.measured: list[tuple[float, float]] = []
        """When each measurement began, in s since epoch, and the s that it took."""
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(EVERY):
            began = time.time()
            subprocess.run([sys.executable, "-c", "import dagster"], check=True)
            self.measured.append((began, time.time() - began))

    def stop(self) -> None:
        self._ended.set()
        self.join()

    def slowness(self, begin: float, end: float) -> float:
        """How many times as slow this machine was at its worst between two moments; never less than 1."""
        near = [took for at, took in self.measured if begin - EVERY <= at + took and at <= end + EVERY]
        return max([1.0, *(took / QUIET for took in near)])
