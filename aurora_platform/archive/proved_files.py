"""The files of the finalizations of a stream or of a collection, read once for each version of a finalization."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from aurora_platform.archive import manifest
from aurora_platform.archive.finalize import Finalizations
from aurora_platform.archive.fixity_record import FixityRecord
from aurora_platform.errors import EvidenceError
from aurora_platform.layout import FinalizedKey


@dataclass(frozen=True, slots=True)
class Vouched:
    """What a finalization vouches for."""

    proved: Mapping[str, FixityRecord] = field(default_factory=dict)
    """Its files, by path."""
    earlier: frozenset[str] = frozenset()
    """Paths that earlier revisions listed, or that were given up: the archive may have such a file."""
    error: str = ""
    """Why the finalization cannot be read: then it may vouch for any file."""


_NOTHING = Vouched()


class ProvedFiles:
    """Reads what finalizations vouch for, and remembers it while their finalization stays the same."""

    def __init__(self, finalizations: Finalizations) -> None:
        self.finalizations = finalizations
        self._vouched: dict[FinalizedKey, Vouched] = {}
        self._read_mtimes: dict[FinalizedKey, int] = {}

    def of(self, key: FinalizedKey | None) -> Vouched:
        """Return what a finalization vouches for; reads it again when its file has changed."""
        if key is None:
            return _NOTHING
        try:
            mtime_ns = self.finalizations.file(key).lstat().st_mtime_ns
        except OSError:
            mtime_ns = 0
        if self._read_mtimes.get(key) != mtime_ns:
            self._vouched[key] = self._read(key)
            self._read_mtimes[key] = mtime_ns
        return self._vouched[key]

    def _read(self, key: FinalizedKey) -> Vouched:
        try:
            lines = self.finalizations.lines(key)
        except EvidenceError as error:
            return Vouched(error=str(error))
        proved = {path: record for path, record in lines.items() if manifest.is_listed(record)}
        return Vouched(proved, frozenset(lines.keys() - proved.keys()))
