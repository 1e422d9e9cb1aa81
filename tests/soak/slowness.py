"""Measures how slow this machine is during the soak: how long a new process takes to load Dagster, repeatedly.

Loading Dagster is most of the cost of a run's start, and it is not code of this project. Time limits from a quiet
machine are scaled by it, so a busy machine makes the soak slow, but not red.
"""

import subprocess
import sys
import threading
import time

QUIET = 1.5  # s, on the machine of the original limits, while the soak runs
EVERY = 10.0  # s


class SlownessMeter(threading.Thread):
    """Measures repeatedly until it is stopped."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.measured: list[tuple[float, float]] = []
        """Begin of each measurement, s since epoch, and its duration, s."""
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
        """Return the worst slowdown between two times; at least 1."""
        durations = [took for at, took in self.measured if begin - EVERY <= at + took and at <= end + EVERY]
        return max([1.0, *(took / QUIET for took in durations)])
