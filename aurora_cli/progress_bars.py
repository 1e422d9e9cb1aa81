"""Bars that grow while a transfer runs: a thread looks at what has come into its work directory."""

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
class Bars:
    """The bars of a command; none where nobody looks."""

    progress: Progress | None = None

    @property
    def are_shown(self) -> bool:
        return self.progress is not None

    @classmethod
    @contextmanager
    def on_a_terminal(cls) -> Iterator["Bars"]:
        """Bars on stderr, while the block runs, where that is a terminal."""
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
    def waiting(self, name: str) -> Iterator[None]:
        """Say, while the block runs, that something is waited for."""
        if self.progress is None:
            yield
            return
        task = self.progress.add_task(f"waiting for {name}", total=None)
        try:
            yield
        finally:
            self.progress.remove_task(task)

    @contextmanager
    def of(self, name: str) -> Iterator["Bar"]:
        """The bar of one stream, while the block runs."""
        assert self.progress is not None
        task = self.progress.add_task(name, total=None)
        try:
            yield Bar(self.progress, task)
        finally:
            self.progress.remove_task(task)


class Bar:
    """One stream's bar, in bytes."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self.progress = progress
        self.task = task
        self.before = 0  # bytes of the parts that are done

    def expect(self, size: int) -> None:
        """Say how many bytes there are to come."""
        self.progress.update(self.task, total=size)

    def watch(self, transfer: Transfer) -> Transfer:
        """The same transfer, seen while it runs."""
        return _Watched(transfer, self)

    def show(self, size: int) -> None:
        self.progress.update(self.task, completed=self.before + size)


@dataclass
class _Watched:
    """A transfer with somebody who looks at its work directory."""

    transfer: Transfer
    bar: Bar

    def fetch(
        self, root: str, paths: Sequence[str], target: Path, work: Path, lock: Path, largest: int
    ) -> TransferResult:
        """See :meth:`aurora_platform.transport.protocols.Transfer.fetch`."""
        over = threading.Event()

        def tick() -> None:
            while not over.wait(_TICK):
                self.bar.show(size_of(work))

        ticker = threading.Thread(target=tick, daemon=True)
        ticker.start()
        try:
            return self.transfer.fetch(root, paths, target, work, lock, largest)
        finally:
            over.set()
            ticker.join()
            self.bar.before += size_of(work)
            self.bar.show(0)


def size_of(work: Path) -> int:
    """Bytes that a running transfer has written, of whole files and of those in the making."""
    return sum(_size_below(work / name) for name in (NEW, ARRIVED))


def _size_below(directory: Path) -> int:
    size = 0
    for place, _, names in os.walk(directory):
        for name in names:
            try:
                size += os.lstat(os.path.join(place, name)).st_size
            except OSError:
                continue  # renamed since
    return size
