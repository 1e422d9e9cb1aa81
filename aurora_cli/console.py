"""How the command speaks: tables and lines that are safe whatever a host says, and JSON for other programs."""

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

_NARROWEST = 160  # columns, where nobody looks at a terminal: a log or a pipe has no edge


def console(*, to_stderr: bool = False) -> Console:
    """A console that is as wide as the terminal, and wide where there is none."""
    made = Console(stderr=to_stderr, highlight=False)
    if not made.is_terminal:
        made.width = max(made.width, _NARROWEST)
    return made


def show_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> None:
    """Print a table to stdout; nothing in it is taken for markup, and nothing is cut off."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(printable_text(cell)) for cell in row))
    console().print(table)


def say(text: str, style: str = "", *, to_stderr: bool = False) -> None:
    """Print a line, which may be long: it is not broken where no terminal asks for it."""
    console(to_stderr=to_stderr).print(Text(printable_text(text), style), soft_wrap=True)


class Waiting:
    """What is being waited for, said on a terminal and nowhere else."""

    def __init__(self, status: Status | None = None) -> None:
        self._status = status
        self._names: list[str] = []
        self._lock = threading.Lock()

    def on[Result](self, name: str, job: Callable[[], Result]) -> Callable[[], Result]:
        """The same job, and its name is shown until it has ended."""

        def do() -> Result:
            try:
                return job()
            finally:
                self._change(self._names.remove, name)

        self._change(self._names.append, name)
        return do

    def _change(self, change: Callable[[str], None], name: str) -> None:
        with self._lock:
            change(name)
            if self._status and self._names:
                self._status.update(Text(printable_text(f"waiting for {', '.join(self._names)}")))


@contextmanager
def waiting() -> Iterator[Waiting]:
    """While the block runs, say on stderr what is waited for, where that is a terminal."""
    screen = console(to_stderr=True)
    if not screen.is_terminal:
        yield Waiting()
        return
    with screen.status("") as status:
        yield Waiting(status)


def show_json(data: Any) -> None:
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
    raise TypeError(f"{type(value).__name__} has no form in JSON")
