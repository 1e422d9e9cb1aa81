"""Guards finalized products: a push keeps the earlier version of each that it replaces, and sends no damaged one.

Products are made by our own runs, so a new version of a product is sent, whenever it was made. A product whose bytes
changed without a new mtime is damaged: it is held back, and ``aurora repair`` restores it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import date

from aurora_platform.archive.fixity_record import FixityRecord
from aurora_platform.archive.ledger import Item
from aurora_platform.archive.product_list import RESTED
from aurora_platform.archive.proved_files import ProvedFiles, Vouched
from aurora_platform.archive.stores import Records
from aurora_platform.archive.transfer import GuardDecision
from aurora_platform.errors import EvidenceError
from aurora_platform.fs.versions import as_ns
from aurora_platform.layout import CATALOG, OWN_LIST, FinalizedKey, evidence_name

_BYTES_DIFFER = "its bytes are not those that it was finalized with, and its size and mtime are: it is damaged"
_SIZE_DIFFERS = (
    "its size is not that which it was finalized with, and its mtime is: it is damaged. If it was made again: touch it"
)


class ProductGuard:
    """Decides for the files of some collections of products whether a push may send them."""

    def __init__(self, records: Records, collections: Sequence[str]) -> None:
        self._records = records
        self.keeps_all = False
        self._proved = {name: ProvedFiles(records.finalizations(name)) for name in collections}

    def decide(self, items: Iterable[Item]) -> GuardDecision:
        """Decide for each file whether it may be sent."""
        decision = GuardDecision()
        damaged = dict[Item, str]()
        unchanged, unclear = list[tuple[Item, str, str, FixityRecord]](), list[tuple[Item, str, str, str]]()
        for item in items:
            is_vouched = self.keeps_all
            for name, _, path, vouched in self._proofs_of(item):
                record = vouched.proved.get(path)
                # What a damaged finalization vouches for is unknown: the earlier version of each file is kept.
                is_vouched |= record is not None or path in vouched.earlier or bool(vouched.error)
                if vouched.error:
                    unclear.append((item, name, path, vouched.error))
                elif record is not None and record.version.mtime_ns == item.version.mtime_ns:
                    if record.version.size == item.version.size:
                        unchanged.append((item, name, path, record))
                    elif path != CATALOG:  # the local size of a database is not that of its backup
                        damaged[item] = _SIZE_DIFFERS
                elif record is not None and record.version.same_as(item.version):
                    unchanged.append((item, name, path, record))
            (decision.vouched if is_vouched else decision.unprotected).append(item)
        held = damaged | self._find_replacing(unclear) | dict.fromkeys(self._find_damaged(unchanged), _BYTES_DIFFER)
        decision.vouched = [item for item in decision.vouched if item not in held]
        decision.held = list(held.items())
        return decision

    @contextmanager
    def locked(self) -> Iterator[None]:
        """See :meth:`aurora_platform.archive.transfer.Guard.locked`."""
        with ExitStack() as stack:
            for _, proved in sorted(self._proved.items()):  # always in this order: two pushes never wait for each other
                stack.enter_context(proved.finalizations.locked())
            yield

    def days_of(self, items: Sequence[Item]) -> set[date]:
        """See :meth:`aurora_platform.archive.transfer.Guard.days_of`."""
        return {item.day for item in items if item.day is not None}

    def keys_of(self, items: Iterable[Item]) -> dict[str, set[FinalizedKey]]:
        """Return collection -> what of it vouches for some of these files; nothing that is damaged."""
        found = dict[str, set[FinalizedKey]]()
        for item in items:
            for name, key, path, vouched in self._proofs_of(item):
                if path in vouched.proved or path in vouched.earlier:
                    found.setdefault(name, set()).add(key)
        return found

    def _proofs_of(self, item: Item) -> Iterator[tuple[str, FinalizedKey, str, Vouched]]:
        """Yield each collection that may have a file: its name, what finalizes it, its path, the finalized files."""
        key = item.day or OWN_LIST
        for name, proved_files in self._proved.items():
            root = f"{proved_files.finalizations.archive_root.rstrip('/')}/"
            if item.remote_path.startswith(root):
                yield name, key, item.remote_path.removeprefix(root), proved_files.of(key)

    def _find_replacing(self, unclear: Sequence[tuple[Item, str, str, str]]) -> dict[Item, str]:
        """Return the files that may replace a finalized one, each with the error of the finalization.

        A file that was in the archive less than :data:`RESTED` ago in another version is in no finalization.
        """
        if not unclear:
            return {}
        rested_ns = time.time_ns() - as_ns(RESTED)
        try:
            with self._records.evidence() as evidence:
                archived = [evidence.records_of(evidence_name(name), path).get("gws") for _, name, path, _ in unclear]
        except EvidenceError:  # the next verification reports it
            return {item: why for item, _, _, why in unclear}
        return {
            item: why
            for (item, _, _, why), record in zip(unclear, archived, strict=True)
            if record is not None
            and not record.version.same_as(item.version)
            and (item.day is not None or record.version.mtime_ns <= rested_ns)
        }

    def _find_damaged(self, unchanged: Sequence[tuple[Item, str, str, FixityRecord]]) -> set[Item]:
        """Return the files of the finalized version of which other bytes were read on this machine."""
        if not unchanged:
            return set()
        try:
            with self._records.evidence() as evidence:
                local = [evidence.records_of(evidence_name(name), path).get("local") for _, name, path, _ in unchanged]
        except EvidenceError:  # the next verification reports it; the archive keeps the earlier version of each
            return set()
        return {
            item
            for (item, *_, finalized), record in zip(unchanged, local, strict=True)
            if record is not None
            and record.version.same_as(item.version)
            and record.sha256 not in (None, finalized.sha256)
        }
