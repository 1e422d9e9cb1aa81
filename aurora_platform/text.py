"""Makes text from outside safe to print; counts with the first few names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta

MOST_NAMED = 10  # how many names a report lists per count


def printable(raw: bytes | str) -> str:
    """Make a name from outside safe for logs, Markdown tables and terminals; at most 200 characters."""
    text = raw.decode("utf-8", "backslashreplace") if isinstance(raw, bytes) else raw
    escaped = "".join(c if c.isprintable() else _escaped(c) for c in text)
    return escaped if len(escaped) <= 200 else escaped[:197] + "..."


def printable_text(text: str) -> str:
    """Make text of any length from outside safe for logs and terminals; line breaks are kept.

    Other control characters, escape sequences and marks for the direction of writing are shown as escapes.
    """
    return "".join(c if c.isprintable() or c == "\n" else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode()


def counted(number: int, singular: str, plural: str = "") -> str:
    """A number with its noun: 1 file, 2 files; 1 directory, 2 directories."""
    return f"{number} {singular if number == 1 else plural or f'{singular}s'}"


def human_size(count: float) -> str:
    """A number of bytes for people, in powers of 1000: 512 B, 3.8 GB."""
    # `rich` has the same, but only a server has `rich`.
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def format_transfer(count: int, seconds: float) -> str:
    """Bytes, their time and their rate for people: ``2.1 MB in 0.17 s (12.1 MB/s)``."""
    rate = count / seconds if seconds else 0.0
    return f"{human_size(count)} in {seconds:.2f} s ({human_size(rate)}/s)"


def format_age(seconds: float | None) -> str:
    """Format an age for people: ``119 s``, ``2 min``, ``2.0 h``, ``2.0 days``, ``never``."""
    if seconds is None:
        return "never"
    whole = timedelta(seconds=round(seconds))
    if whole < timedelta(minutes=2):
        return f"{whole.seconds} s"
    if whole < timedelta(hours=2):
        return f"{whole.seconds // 60} min"
    hours = whole.total_seconds() / 3600
    return f"{hours:.1f} h" if hours < 48 else f"{hours / 24:.1f} days"


@dataclass
class Count:
    """A count, with the first few of the counted names."""

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

    def add_counted(self, other: Count) -> None:
        """Add what another count has."""
        self.total += other.total
        self.first += other.first[: MOST_NAMED - len(self.first)]

    def add_many(self, count: int, text: str) -> None:
        """Add several at once, with one text for all of them."""
        self.total += count
        if len(self.first) < MOST_NAMED:
            self.first.append(text)
