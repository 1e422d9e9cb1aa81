"""Lists a few files of a source, so that rules can be proposed for it: bounded in time and number, read-only."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime

from aurora_platform.errors import HostError
from aurora_platform.fs.versions import DIRECTORY
from aurora_platform.transport.listing import ListedEntry
from aurora_platform.transport.protocols import Source

MOST_ENTRIES = 20_000


@dataclass(frozen=True)
class Sample:
    """What was seen of a source."""

    entries: tuple[ListedEntry, ...]
    clock_ns: int
    """The host's clock, ns since epoch."""
    why_cut: str = ""
    """Why there may be more than was seen; empty where this is all."""

    @property
    def files(self) -> int:
        return sum(entry.kind != DIRECTORY for entry in self.entries)

    @property
    def now(self) -> datetime:
        """The host's clock, UTC."""
        return datetime.fromtimestamp(self.clock_ns // 1_000_000_000, UTC)


def take_sample(
    source: Source,
    root: str,
    seconds: float,
    most: int = MOST_ENTRIES,
    clock: Callable[[], float] = time.monotonic,
) -> Sample:
    """List ``root`` until ``most`` entries were seen or ``seconds`` are over.

    Raises
    ------
    HostError
        Where the host does not answer, or the root cannot be listed, before anything was seen.
    """
    until = clock() + seconds
    listing = source.list(root, [])
    found: list[ListedEntry] = []
    why_cut = ""
    try:
        with closing(listing.entries) as entries:
            for entry in entries:
                found.append(entry)
                if len(found) >= most:
                    why_cut = f"the first {most} entries were listed"
                    break
                if clock() > until:
                    why_cut = f"listed for {seconds:.0f} s"
                    break
    except HostError as error:
        if not found:
            raise
        why_cut = str(error)
    return Sample(tuple(found), listing.clock_ns, why_cut)
