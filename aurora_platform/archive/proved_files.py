"""The finalized files of a stream or of a collection of products, read once for each version of a finalization."""

from __future__ import annotations

from aurora_platform.archive.finalize import Finalizations
from aurora_platform.archive.fixity_record import FixityRecord
from aurora_platform.errors import EvidenceError
from aurora_platform.layout import FinalizedKey


class ProvedFiles:
    """Reads the files that finalizations prove, and remembers them while their finalization stays the same."""

    def __init__(self, finalizations: Finalizations, *, is_guard: bool = False) -> None:
        """``is_guard``: a finalization that the archive has, and this machine has lost, counts as a read error."""
        self.finalizations = finalizations
        self._is_guard = is_guard
        self._proved: dict[FinalizedKey, dict[str, FixityRecord] | str] = {}
        self._read_mtimes: dict[FinalizedKey, int] = {}

    def of(self, key: FinalizedKey | None) -> dict[str, FixityRecord] | str:
        """Return the finalized files by path, or the read error; reads again when the file has changed."""
        try:
            mtime_ns = None if key is None else self.finalizations.file(key).lstat().st_mtime_ns
        except OSError:
            mtime_ns = None
        if key is None:
            return {}
        if mtime_ns is None:
            return (self._is_guard and self.finalizations.why_missing(key)) or {}
        if self._read_mtimes.get(key) != mtime_ns:
            try:
                self._proved[key] = self.finalizations.proved(key)
            except EvidenceError as error:
                self._proved[key] = str(error)
            self._read_mtimes[key] = mtime_ns
        return self._proved[key]
