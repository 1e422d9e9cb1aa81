"""Whether a source that has less than before can be believed: files are pruned there, and disks are not mounted.

Nothing is lost with a file that the archive is known to have, or that its day was finalized with: such a file may have
been pruned. Of all others a source does not lose most at once. Where it seems so, it counts as not seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date
from itertools import groupby

from aurora_platform.archive.finalize import Finalizations
from aurora_platform.errors import EvidenceError, HostRefusedError
from aurora_platform.text import counted
from aurora_platform.transport.listing import Listing

_NEXT_STEP = (
    "Is the disk mounted there? If it was deleted on purpose, run verify_{stream} once with accept_loss: true (in the "
    "launchpad, docs/archive.md)."
)
# Everything deeper is passed over: what is asked is whether there is anything at all.
_SHALLOW = ("*/*",)


def see_that_it_is_not_empty(stream: str, where: str, list_root: Callable[[tuple[str, ...]], Listing]) -> None:
    """Raise :class:`HostRefusedError` where the root of a source has nothing at all.

    Parameters
    ----------
    stream, where
        The stream, and what its root is called in the message.
    list_root
        Lists the root without what matches some patterns (``without`` of
        :meth:`aurora_platform.transport.protocols.Source.list`).
    """
    listing = list_root(_SHALLOW)
    is_empty = all(entry.path == b"." for entry in listing.entries)
    if is_empty and not listing.unreadable.total:
        raise HostRefusedError(f"{where} is empty, so nothing is known of it. {_NEXT_STEP.format(stream=stream)}")


def doubtful_days(
    stream: str,
    where: str,
    at_risk: Iterable[tuple[date, str, bool]],
    finalizations: Finalizations,
    unreadable: str | None = None,
) -> Mapping[date, str]:
    """The days of which a source seems to have lost most of what only it is known to have, each with the reason.

    Parameters
    ----------
    at_risk
        See :meth:`aurora_platform.archive.fixity.Evidence.at_risk`.
    unreadable
        What could not be read there: then that is the reason, and no disk that is not mounted.

    Raises
    ------
    HostRefusedError
        Where it has lost most of all days together.
    """
    had, lost, doubtful = 0, 0, dict[date, str]()
    for day, rows in groupby(at_risk, key=lambda row: row[0]):
        finalized = _finalized(finalizations, day)
        had_then, lost_now = 0, 0
        for _, path, is_gone in rows:
            if path not in finalized:
                had_then += 1
                lost_now += is_gone
        had, lost = had + had_then, lost + lost_now
        if 2 * lost_now > had_then:
            doubtful[day] = unreadable or _loss(stream, where, lost_now, had_then)
    if 2 * lost > had:
        raise HostRefusedError(unreadable or _loss(stream, where, lost, had))
    return doubtful


def _finalized(finalizations: Finalizations, day: date) -> Iterable[str]:
    try:
        return finalizations.proved(day)
    except EvidenceError:  # vouches for nothing; the day's own comparison says what is wrong with it
        return ()


def _loss(stream: str, where: str, lost: int, had: int) -> str:
    return (
        f"{where} has lost most of what it had when it was last listed: {lost} of {counted(had, 'file')} that are not "
        f"proved in the archive. {_NEXT_STEP.format(stream=stream)}"
    )
