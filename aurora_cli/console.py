"""Output of the command: tables and lines in which text of a host is harmless, and JSON for other programs."""

import json
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

from rich import box
from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text

from aurora_platform.text import printable_text

_MIN_WIDTH = 160  # columns, in a log or a pipe, which have no width of their own


def console(*, to_stderr: bool = False) -> Console:
    """Make a console: as wide as the terminal, or at least 160 columns where there is none."""
    made = Console(stderr=to_stderr, highlight=False)
    if not made.is_terminal:
        made.width = max(made.width, _MIN_WIDTH)
    return made


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> None:
    """Print a table to stdout; no cell is read as markup, and none is cut off."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(printable_text(cell)) for cell in row))
    # Not as the title of the table: that is wrapped at the width of the columns.
    print_line(title, "table.title")
    console().print(table)


def print_line(text: str, style: str = "", *, to_stderr: bool = False) -> None:
    """Print a line of any length; only a terminal wraps it."""
    console(to_stderr=to_stderr).print(Text(printable_text(text), style), soft_wrap=True)


class WaitDisplay:
    """Shows the names of running jobs on a terminal; without a terminal it shows nothing."""

    def __init__(self, status: Status | None = None) -> None:
        self._status = status
        self._names: list[str] = []
        self._lock = threading.Lock()

    def track[Result](self, name: str, job: Callable[[], Result]) -> Callable[[], Result]:
        """Show ``name`` from now on; the returned job removes it when it ends."""

        def run() -> Result:
            try:
                return job()
            finally:
                self._change(self._names.remove, name)

        self._change(self._names.append, name)
        return run

    def _change(self, change: Callable[[str], None], name: str) -> None:
        with self._lock:
            change(name)
            if self._status and self._names:
                self._status.update(Text(printable_text(f"waiting for {', '.join(self._names)}")))


@contextmanager
def wait_display() -> Iterator[WaitDisplay]:
    """Show on stderr, if that is a terminal, which jobs the block waits for."""
    screen = console(to_stderr=True)
    if not screen.is_terminal:
        yield WaitDisplay()
        return
    with screen.status("") as status:
        yield WaitDisplay(status)


def print_json(data: Any) -> None:
    """Print JSON to stdout."""
    json.dump(data, sys.stdout, indent=2, default=_plain)
    sys.stdout.write("\n")


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="seconds")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return round(value.total_seconds(), 3)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
