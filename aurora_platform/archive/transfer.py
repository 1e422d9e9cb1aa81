"""What a push is given and what it says: the errand, the archive's hosts as it sees them, and its report."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Protocol

from aurora_platform.archive.ledger import Item
from aurora_platform.text import Count

REPAIR = "repair."
"""How the lane of a push begins that somebody has asked for, of certain files."""


@dataclass
class Sorted:
    """Files that may be sent, those of them that a finalization vouches for, and those that may not be sent."""

    free: list[Item] = field(default_factory=list)
    vouched: list[Item] = field(default_factory=list)
    """To be sent with care: a finalization names a file of this path."""
    held: list[tuple[Item, str]] = field(default_factory=list)
    """Each with the reason."""


class Guard(Protocol):
    """Who knows what is not to be replaced; :mod:`aurora_platform.archive.finalization_guard` implements it."""

    def sort(self, items: Iterable[Item]) -> Sorted:
        """Say of each file whether it may be sent."""
        ...


@dataclass(frozen=True)
class TransferRequest:
    """What a push is to bring."""

    lane: str
    """Names its locks and its private directories, here and there; two of one name wait for each other."""
    outgoing: Path
    """Where its view is made: a directory on the file system of the originals."""
    offers: Mapping[str, Sequence[Item]]
    """Group of the ledger -> its files, as they are now."""
    days: Collection[date] | None = None
    """Of what is queued only these days, and what has no day; None: everything."""
    only: Collection[str] | None = None
    """Of what is queued only these remote paths; None: everything."""
    in_place: bool = False
    """Whether files may be written in place, and not only replaced."""
    databases: Collection[str] = ()
    """Local paths of which a backup is sent."""
    closed: Collection[str] = ()
    """Directories of the archive into which none of these files may go."""
    guard: Guard | None = None
    """Says which files may not be sent; None where nothing vouches for any."""
    refused: Count = field(default_factory=Count)
    """What was found and may not be copied."""
    left_out: Count = field(default_factory=Count)
    """What lies among the files and is no product: our own work in the making, say. Nobody misses it there."""


@dataclass(frozen=True)
class PushReport:
    """What a push did. seen = files + unchanged + unsettled + failed + parked + refused."""

    host: str | None
    """The host that was used last; None where nothing was to be sent."""
    said: Mapping[str, str]
    """The hosts that did not work, and what each of them said."""
    seen: int
    files: int
    bytes: int
    seconds: float
    unchanged: int
    unsettled: Count
    failed: Count
    """Files that a transfer left out, or that cannot be read here; they are tried again."""
    parked: Count
    """Files that are not tried any more."""
    refused: Count
    held: Count
    """Those of the refused that differ from what their day was finalized with, each with the reason."""
    replaced: Count
    """Files of which the archive had another version that a finalization vouched for; it is kept."""
    kept_in: tuple[str, ...]
    """Where: directories in the archive."""
    left_out: Count
    """What is no product and was left out; it is no part of what was seen."""
    notes: tuple[str, ...]
    literal_bytes: int = 0
    matched_bytes: int = 0

    @property
    def rate(self) -> float:
        """Bytes per second, over the whole push."""
        return self.bytes / self.seconds if self.seconds else 0.0

    def summary(self) -> str:
        """The line that an operator reads."""
        return (
            f"seen {self.seen} = copied {self.files} + unchanged {self.unchanged} + unsettled {self.unsettled.total}"
            f" + failed {self.failed.total} + parked {self.parked.total} + refused {self.refused.total};"
            f" {self.bytes} bytes in {self.seconds:.2f} s ({self.rate / 1e6:.1f} MB/s)"
            + (f" by {self.host}" if self.host else "")
            + (f"; {self.replaced.total} replaced, kept in {', '.join(self.kept_in)}" if self.kept_in else "")
        )
