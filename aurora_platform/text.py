"""Text from outside in a form that is safe to show, and counts with the first few names that they count."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

MOST_NAMED = 10  # how many offenders a report names


def printable(raw: bytes | str) -> str:
    """A name from outside in a form that is safe in logs, Markdown tables and terminals."""
    text = raw.decode("utf-8", "backslashreplace") if isinstance(raw, bytes) else raw
    escaped = "".join(c if c.isprintable() else _escaped(c) for c in text)
    return escaped if len(escaped) <= 200 else escaped[:197] + "..."


def printable_text(text: str) -> str:
    """Text from outside, of any length, in a form that is safe in logs and terminals: its lines stay lines.

    Other control characters, escape sequences and marks that turn the direction of writing are shown as what they are.
    """
    return "".join(c if c.isprintable() or c == "\n" else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode()


def counted(number: int, one: str, many: str = "") -> str:
    """A number with its word: 1 file, 2 files; 1 directory, 2 directories."""
    return f"{number} {one if number == 1 else many or f'{one}s'}"


def human_size(count: float) -> str:
    """A number of bytes for people, in powers of 1000: 512 B, 3.8 GB."""
    # `rich` has the same, but only a server has `rich`.
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


@dataclass
class Count:
    """A count, with the first few names that it counts."""

    total: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, name: bytes | str) -> None:
        self.total += 1
        if len(self.first) < MOST_NAMED:
            self.first.append(printable(name))

    @classmethod
    def sum_of(cls, counts: Iterable[Count]) -> Count:
        """Several counts as one, with the first names of all of them."""
        total = cls()
        for count in counts:
            total.total += count.total
            total.first += count.first
        return total

    def add_many(self, count: int, text: str) -> None:
        """Count some at once, with one text for all of them."""
        self.total += count
        if len(self.first) < MOST_NAMED:
            self.first.append(text)
