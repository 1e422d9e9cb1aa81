"""Where a product is written before it gets its name; also sweeps what killed runs left there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

from aurora_platform.errors import BusyError
from aurora_platform.fs.atomic import remove
from aurora_platform.fs.disk_errors import naming
from aurora_platform.fs.locks import hold_lock
from aurora_platform.fs.trees import owner_of, restore


class Staging:
    """A directory on the file system of the products, where products are written before they get their names.

    Each entry is protected by the lock of the same name. An entry whose lock is not held was left by a killed run;
    :meth:`sweep` removes it.
    """

    def __init__(self, directory: Path, locks: Path, wait: timedelta = timedelta(minutes=10)) -> None:
        self.directory = directory
        self.locks = locks
        self.wait = wait

    @contextmanager
    def claim(self, name: str) -> Iterator[Path]:
        """Yield a path at which nothing exists yet, reserved until the block ends; then it is removed."""
        with hold_lock(self.locks, name, self.wait):
            self.directory.mkdir(parents=True, exist_ok=True)
            path = self.directory / name
            restore(path)
            remove(path)
            try:
                with naming(path):
                    yield path
            finally:
                restore(path)
                remove(path)

    def sweep(self) -> int:
        """Remove the entries that killed runs left; returns their number."""
        removed = 0
        names = {owner_of(path.name) for path in self.directory.iterdir()} if self.directory.is_dir() else ()
        for name in sorted(names):
            with suppress(BusyError), hold_lock(self.locks, name, timedelta(0)):
                restore(self.directory / name)
                removed += remove(self.directory / name)
        return removed
