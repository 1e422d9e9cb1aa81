"""How long requests to a host and transfers may take, and the files that they need on this machine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aurora_platform.transport.name_store import NameStore


@dataclass(frozen=True)
class Bounds:
    """Bounds in seconds; a request to a slower host fails."""

    known_hosts: Path
    """The file with the keys of SSH hosts."""
    connect_seconds: float = 15
    """For each step of connecting."""
    listing_seconds: float = 600
    """For a listing, or for the output of a program."""
    stall_seconds: float = 60
    """For a transfer that moves nothing."""
    transfer_seconds: float = 6 * 3600
    """For a whole transfer."""
    hashing_stall_seconds: float = 60
    """For hashing without any sign of progress, however much time is left."""
    hashing_seconds: float = 21_600
    """For all files of one hashing request."""
    bandwidth_kib: int = 0
    """Limit of a transfer in KiB/s; 0: no limit."""
    names: NameStore | None = None
    """The stored names of directories of this machine, for hosts of kind ``local``; None: they are read each time."""

    def but(self, **changes: Any) -> Bounds:
        """A copy with other values."""
        return replace(self, **changes)

    def within(self, seconds: float | None) -> Bounds:
        """A copy that limits all requests to a host to ``seconds`` in total; None: unchanged.

        The bounds of transfers stay: a caller that moves files has no such limit.
        """
        if seconds is None:
            return self
        # TCP, banner, login, permit, channel and program: six steps with a bound each, whichever of them hangs.
        return self.but(
            connect_seconds=min(self.connect_seconds, seconds / 6),
            listing_seconds=min(self.listing_seconds, seconds),
            hashing_stall_seconds=min(self.hashing_stall_seconds, seconds),
            hashing_seconds=min(self.hashing_seconds, seconds),
        )
