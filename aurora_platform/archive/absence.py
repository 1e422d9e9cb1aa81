"""Decides whether to trust a source that lists fewer files than before: files are pruned, but disks also go unmounted.

A missing file that the archive has, or that a finalized manifest lists, may have been pruned. Of the other files a
source does not lose most at once. Where most seem lost, the listing is not trusted.
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
    "Is the disk mounted there? If the files were deleted on purpose, run verify_{stream} once with accept_loss: true "
    "(in the launchpad, docs/archive.md)."
)
# Skips everything deeper: the question is only whether the root has any entry.
_SHALLOW = ("*/*",)


def require_nonempty_source(stream: str, location: str, list_root: Callable[[tuple[str, ...]], Listing]) -> None:
    """Raise :class:`HostRefusedError` where the root of a source has no entries.

    Parameters
    ----------
    stream, location
        The stream, and the name of its root for the message.
    list_root
        Lists the root without the entries that match some patterns (``without`` of
        :meth:`aurora_platform.transport.protocols.Source.list`).
    """
    listing = list_root(_SHALLOW)
    is_empty = all(entry.path == b"." for entry in listing.entries)
    if is_empty and not listing.unreadable.total:
        raise HostRefusedError(
            f"{location} is empty, so its listing is not trusted. {_NEXT_STEP.format(stream=stream)}"
        )


def find_suspect_days(
    stream: str,
    location: str,
    at_risk: Iterable[tuple[date, str, bool]],
    finalizations: Finalizations,
    unreadable: str | None = None,
) -> Mapping[date, str]:
    """Find the days of which a source seems to have lost most files that no other side has; returns day -> reason.

    Parameters
    ----------
    at_risk
        See :meth:`aurora_platform.archive.fixity.Evidence.at_risk`.
    unreadable
        The directories that could not be read. They are then the reason, instead of an unmounted disk.

    Raises
    ------
    HostRefusedError
        Where the source has lost most files of all days taken together.
    """
    had, lost, suspect = 0, 0, dict[date, str]()
    for day, rows in groupby(at_risk, key=lambda row: row[0]):
        finalized = _finalized_paths(finalizations, day)
        day_had, day_lost = 0, 0
        for _, path, is_gone in rows:
            if path not in finalized:
                day_had += 1
                day_lost += is_gone
        had, lost = had + day_had, lost + day_lost
        if 2 * day_lost > day_had:
            suspect[day] = unreadable or _loss_message(stream, location, day_lost, day_had)
    if 2 * lost > had:
        raise HostRefusedError(unreadable or _loss_message(stream, location, lost, had))
    return suspect


def _finalized_paths(finalizations: Finalizations, day: date) -> Iterable[str]:
    try:
        return finalizations.proved(day)
    except EvidenceError:  # it vouches for nothing; the comparison of the day reports what is wrong with it
        return ()


def _loss_message(stream: str, location: str, lost: int, had: int) -> str:
    return (
        f"{location} has lost most of the files of its last listing: {lost} of {counted(had, 'file')} that are not "
        f"proved in the archive. {_NEXT_STEP.format(stream=stream)}"
    )
