"""Counts the files of a push that are not in its queue: unchanged, parked, refused and held back ones."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from aurora_platform.archive.ledger import Ledger
from aurora_platform.archive.transfer import TransferRequest
from aurora_platform.text import Count


@dataclass(frozen=True)
class QueueCounts:
    """The files of a push when it begins to send."""

    queued: int
    unchanged: int
    parked: Count
    held: Count
    refused: Count
    """Also those that are held back."""

    @property
    def seen(self) -> int:
        """All files of the push."""
        return self.queued + self.unchanged + self.parked.total + self.refused.total


def count_queue(
    request: TransferRequest, ledger: Ledger, archive: str, queued: Collection[str], held: Mapping[str, str]
) -> QueueCounts:
    """Count the files of a request.

    Parameters
    ----------
    queued
        Remote paths of the files to send.
    held
        Remote path -> why the file is held back.
    """
    rows = [row for group in request.offers for row in ledger.parked(archive, group)]
    days = None if request.days is None else {day.isoformat() for day in request.days}
    parked = Count()
    for row in rows:
        if days is None or row.day is None or row.day in days:
            parked.add(f"{row.remote_path}: {row.last_error}")
    offered = {item.remote_path for items in request.offers.values() for item in items}
    named = Count()
    for path, why in held.items():
        named.add(f"{path}: {why}")
    unchanged = len(offered - set(queued) - held.keys() - {row.remote_path for row in rows})
    refused = Count(request.refused.total + named.total, [*request.refused.first, *named.first])
    return QueueCounts(len(queued), unchanged, parked, named, refused)
