"""How long everything that is said to a host, or moved from or to one, may take, and where host keys are known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Bounds:
    """Bounds in seconds; a host that is slower is given up."""

    known_hosts: Path
    """The file with the keys of SSH hosts."""
    connect_seconds: float = 15
    """For each step of connecting."""
    listing_seconds: float = 600
    """For a listing, or for what a program prints."""
    stall_seconds: float = 60
    """For a transfer that moves nothing."""
    transfer_seconds: float = 6 * 3600
    """For a whole transfer."""
    hashing_stall_seconds: float = 60
    """For hashing from which nothing is heard, however much time is left."""
    hashing_seconds: float = 21_600
    """For all that is hashed in one go."""
    bandwidth_kib: int = 0
    """Limit of a transfer in KiB/s; 0 is none."""

    def but(self, **changes: Any) -> Bounds:
        """The same with other values."""
        return replace(self, **changes)

    def within(self, seconds: float | None) -> Bounds:
        """The same for who has only so many seconds for all that is said to a host; None: as they are.

        Those of transfers stay: whoever moves files has no such bound.
        """
        if seconds is None:
            return self
        # TCP, banner, login, a turn, a channel and its program: six steps with a bound each, whatever hangs.
        return self.but(
            connect_seconds=min(self.connect_seconds, seconds / 6),
            listing_seconds=min(self.listing_seconds, seconds),
            hashing_stall_seconds=min(self.hashing_stall_seconds, seconds),
            hashing_seconds=min(self.hashing_seconds, seconds),
        )
