"""Decides whether to trust a source that lists fewer files than before: files are pruned, but disks also go unmounted.

A missing file that the archive has, or that a finalized manifest lists, may have been pruned. Where most files are
missing, and not only such files, the listing is not trusted. Fewer missing files are remembered, and keep their days
from being complete (:mod:`aurora_platform.archive.vanished_files`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
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
# A new file system has this directory, which its owner alone can read.
_LOST_AND_FOUND = "lost+found"
# Skips everything deeper, and what an empty disk or mount point has as well: the question is only whether the root has
# any other entry. What is skipped is not entered, so it cannot be unreadable.
_SHALLOW = ("*/*", _LOST_AND_FOUND, ".*")


def is_of_empty_root(path: bytes) -> bool:
    """Whether a root without files may have this entry: itself, ``lost+found``, and names that begin with a dot."""
    return path.startswith(b".") or path.partition(b"/")[0] == _LOST_AND_FOUND.encode()


def require_nonempty_source(stream: str, location: str, list_root: Callable[[tuple[str, ...]], Listing]) -> None:
    """Raise :class:`HostRefusedError` where the root of a source has only such entries as an empty disk has.

    Parameters
    ----------
    stream, location
        The stream, and the name of its root for the message.
    list_root
        Lists the root without the entries that match some patterns (``without`` of
        :meth:`aurora_platform.transport.protocols.Source.list`).
    """
    listing = list_root(_SHALLOW)
    is_empty = all(is_of_empty_root(entry.path) for entry in listing.entries)
    if is_empty and not listing.unreadable.total:
        raise HostRefusedError(
            f"{location} is empty, so its listing is not trusted. {_NEXT_STEP.format(stream=stream)}"
        )


def find_suspect_days(
    stream: str,
    location: str,
    lost: Iterable[tuple[date, str, bool]],
    had: Mapping[date, int],
    finalizations: Finalizations,
    unreadable: str | None = None,
) -> Mapping[date, str]:
    """Find the days of which a source seems to have lost most files; returns day -> reason.

    Parameters
    ----------
    lost
        See :meth:`aurora_platform.archive.vanished_files.VanishedFiles.lost`.
    had
        Day -> the number of files of the last listing.
    unreadable
        The directories that could not be read. They are then the reason, instead of an unmounted disk.

    Raises
    ------
    HostRefusedError
        Where the source has lost most files of all days taken together.
    """
    total, suspect = _Loss(), dict[date, str]()
    for day, rows in groupby(lost, key=lambda row: row[0]):
        finalized = _finalized_paths(finalizations, day)
        loss = _Loss(had=had[day])
        for _, path, is_proved in rows:
            loss.lost += 1
            loss.unproved += not is_proved and path not in finalized
        if loss.is_suspect:
            suspect[day] = unreadable or loss.message(stream, location)
        total = _Loss(total.had, total.lost + loss.lost, total.unproved + loss.unproved)
    total.had = sum(had.values())
    if total.is_suspect:
        raise HostRefusedError(unreadable or total.message(stream, location))
    return suspect


@dataclass
class _Loss:
    """The files that a source had, those that it has lost, and how many of the lost are proved nowhere."""

    had: int = 0
    lost: int = 0
    unproved: int = 0

    @property
    def is_suspect(self) -> bool:
        """Whether this looks like a disk that is not mounted: most files gone, and not only those that were proved."""
        return self.unproved > 0 and 2 * self.lost > self.had

    def message(self, stream: str, location: str) -> str:
        return (
            f"{location} has lost most of the files of its last listing: {self.lost} of {counted(self.had, 'file')}, "
            f"{self.unproved} of them not proved in the archive. {_NEXT_STEP.format(stream=stream)}"
        )


def _finalized_paths(finalizations: Finalizations, day: date) -> Iterable[str]:
    try:
        return finalizations.proved(day)
    except EvidenceError:  # it vouches for nothing; the comparison of the day reports what is wrong with it
        return ()
