"""Progress bars of transfers: a thread measures the bytes in the work directory of a running transfer."""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from aurora_cli.console import console
from aurora_platform.transport.protocols import ARRIVED, NEW, Transfer, TransferResult

_TICK = 0.25  # s


@dataclass(frozen=True)
class ProgressBars:
    """The progress bars of a command; without a terminal there are none."""

    progress: Progress | None = None

    @property
    def are_enabled(self) -> bool:
        return self.progress is not None

    @classmethod
    @contextmanager
    def on_terminal(cls) -> Iterator["ProgressBars"]:
        """Show bars on stderr while the block runs, if stderr is a terminal."""
        screen = console(to_stderr=True)
        if not screen.is_terminal:
            yield cls()
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=screen, transient=True) as progress:
            yield cls(progress)

    @contextmanager
    def show_waiting(self, name: str) -> Iterator[None]:
        """Show ``waiting for <name>`` while the block runs."""
        if self.progress is None:
            yield
            return
        task = self.progress.add_task(f"waiting for {name}", total=None)
        try:
            yield
        finally:
            self.progress.remove_task(task)

    @contextmanager
    def show_bar(self, name: str) -> Iterator["ProgressBar"]:
        """Show the bar of one stream while the block runs."""
        assert self.progress is not None
        task = self.progress.add_task(name, total=None)
        try:
            yield ProgressBar(self.progress, task)
        finally:
            self.progress.remove_task(task)


class ProgressBar:
    """The bar of one stream, in bytes."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self.progress = progress
        self.task = task
        self.finished_bytes = 0  # of transfers that have ended

    def set_total(self, size: int) -> None:
        """Set how many bytes are expected."""
        self.progress.update(self.task, total=size)

    def watch(self, transfer: Transfer) -> Transfer:
        """Wrap a transfer, so that the bar follows it while it runs."""
        return _WatchedTransfer(transfer, self)

    def update(self, size: int) -> None:
        """Show that the running transfer has written ``size`` bytes."""
        self.progress.update(self.task, completed=self.finished_bytes + size)


@dataclass
class _WatchedTransfer:
    """A transfer that updates a bar while it runs."""

    transfer: Transfer
    bar: ProgressBar

    def fetch(
        self, root: str, paths: Sequence[str], target: Path, work: Path, lock: Path, largest: int
    ) -> TransferResult:
        """See :meth:`aurora_platform.transport.protocols.Transfer.fetch`."""
        has_ended = threading.Event()

        def tick() -> None:
            while not has_ended.wait(_TICK):
                self.bar.update(received_bytes(work))

        ticker = threading.Thread(target=tick, daemon=True)
        ticker.start()
        try:
            return self.transfer.fetch(root, paths, target, work, lock, largest)
        finally:
            has_ended.set()
            ticker.join()
            self.bar.finished_bytes += received_bytes(work)
            self.bar.update(0)


def received_bytes(work: Path) -> int:
    """Sum the bytes that a running transfer has written: whole files and partial ones."""
    return sum(_bytes_below(work / name) for name in (NEW, ARRIVED))


def _bytes_below(directory: Path) -> int:
    size = 0
    for parent, _, names in os.walk(directory):
        for name in names:
            try:
                size += os.lstat(os.path.join(parent, name)).st_size
            except OSError:
                continue  # renamed since it was listed
    return size
