"""Brings the ledger up to date with the comparison of a day: what is verified, what is missing, what differs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from aurora_platform.archive.compare import PROBLEMS, Compared, MatchClass
from aurora_platform.archive.fixity_record import FixityRecord
from aurora_platform.archive.ledger import Item, Ledger
from aurora_platform.fs.versions import ScannedEntry
from aurora_platform.layout import Side

_LEDGER_BATCH = 1000  # rows that go into the ledger in one transaction


class LedgerUpdates:
    """Updates of the ledger from the comparison of a day, written in batches."""

    def __init__(self, ledger: Ledger, archive: str, group: str, day: date, local_root: str, archive_root: str) -> None:
        """``local_root`` and ``archive_root`` are the stream's directories."""
        self.ledger = ledger
        self.archive = archive
        self.group = group
        self.day = day
        self.local_root = local_root
        self.archive_root = archive_root
        self.proofs: list[tuple[ScannedEntry[str], str, str]] = []
        self.queue: list[Item] = []
        self.lost: dict[str, list[str]] = {}

    def add(self, compared: Compared, by_side: Mapping[Side, FixityRecord]) -> None:
        path, right, archived = f"{self.archive_root}/{compared.path}", compared.right, by_side.get("gws")
        if (
            right is not None
            and archived is not None
            and compared.archive in (MatchClass.IDENTICAL, MatchClass.CHECKSUM)
        ):
            assert right.sha256 is not None  # both classes compare two checksums
            assert archived.sha256 is not None
            self.proofs.append((ScannedEntry(path, archived.version), right.sha256, archived.sha256))
        # A wrong local file is for the mirror or a repair, and is not sent. One that is as finalized is, even where the
        # source has another version: the mirror does not replace it until the archive has it.
        elif compared.archive in (MatchClass.MISSING, MatchClass.SIZE, MatchClass.MTIME) and (
            compared.local not in PROBLEMS or compared.is_finalized_locally
        ):
            self.lost.setdefault(f"{compared.archive} in the archive when it was listed", []).append(path)
            if (local := by_side.get("local")) is not None:
                # Files that were copied by hand, or that are older than the ledger, have no row yet.
                local_path = f"{self.local_root}/{compared.path}"
                self.queue.append(Item(local_path, path, local.version, self.day))
        if len(self.proofs) + len(self.queue) >= _LEDGER_BATCH:
            self.flush()

    def flush(self) -> None:
        if self.proofs:
            self.ledger.mark_verified(self.archive, self.proofs)
        if self.queue:
            self.ledger.offer(self.archive, self.group, self.queue)
        for reason, paths in self.lost.items():
            self.ledger.requeue_lost(self.archive, paths, reason)
        self.proofs, self.queue, self.lost = [], [], {}
