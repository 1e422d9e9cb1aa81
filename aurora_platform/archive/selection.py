"""What belongs into the archive, and where: the files of a stream's days, the camera's products, all other products.

Only regular files with sound names are passed on; whatever else lies there is counted as refused, with its name. What
begins with a dot is a name like any other: a Zarr v2 store keeps its metadata in such files. Left out, and counted, is
only what the platform itself makes at the root of a tree of products, and what is no product.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

from aurora_platform.archive.ledger import Item, Ledger
from aurora_platform.archive.upload_tree import database_mtime
from aurora_platform.config.site import Site
from aurora_platform.config.streams import Stream
from aurora_platform.fs.versions import DIRECTORY, FileVersion
from aurora_platform.layout import (
    CATALOG,
    INCOMING,
    LATEST_MP4,
    OPS_MONITOR,
    OUTGOING,
    STAGING,
    THUMBNAILS,
    VIDEOS,
    WXCAM,
    compact,
)
from aurora_platform.streams.classify import Classifier, Directories, why_unusable
from aurora_platform.text import Count
from aurora_platform.transport.listing import ListedEntry, LocalSource

_CATALOG_FILES = tuple(f"{CATALOG}{end}" for end in ("", "-wal", "-shm"))
# What the platform makes at the root of a tree of products: files in the making, here and in the archive, and the view
# of a push. The health files are in the making beside themselves.
_OURS = frozenset({STAGING, OUTGOING, INCOMING})
_OURS_BELOW = tuple(f"{OPS_MONITOR}/{part}/{STAGING}/".encode() for part in ("health", "alerts"))
_PRODUCTS = {VIDEOS: re.compile(r"[0-9]{8}\.mp4|latest\.mp4"), THUMBNAILS: re.compile("[0-9]{8}")}


def raw_items(
    stream: Stream, raw_root: Path, archive_raw: str, days: Collection[date], refused: Count
) -> Iterator[Item]:
    """The local files of some UTC days of a stream.

    Parameters
    ----------
    stream
        Its settings; of a stream with ``day_dirs`` only these days' directories are read.
    raw_root
        Its local directory (``Layout.of(site).raw_root(name)``).
    archive_raw
        ``archive.raw``.
    days
        UTC days.
    refused
        Gets what may not be copied.
    """
    if not raw_root.is_dir():  # nothing has come yet
        return
    placed = Directories(stream, sorted(days))
    listing = placed.listing(LocalSource(), str(raw_root))
    classify = Classifier(stream, placed, listing.clock_ns)
    for entry in listing.entries:
        judged = classify(entry)
        if judged.reason is not None and (judged.day is None or judged.day in days):
            refused.add(entry.path)
        elif judged.file is not None and judged.day in days:
            yield _item(entry, raw_root, f"{archive_raw}/{stream.raw}", judged.day)
    _note_unreadable(listing.unreadable, refused)


def wxcam_items(
    products: Path, archive_products: str, days: Collection[date], refused: Count, left_out: Count | None = None
) -> Iterator[Item]:
    """The videos and thumbnails of some UTC days, and of each camera its newest video, which has no day.

    ``products`` is the camera's own directory, ``archive_products`` that of all products in the archive.
    ``left_out`` gets what lies there and is no product that is copied: the pixels, say, or files of another program.
    """
    names = {compact(day) for day in days}
    below = [f"{VIDEOS}/{camera}/{LATEST_MP4}" for camera in _directories(products / VIDEOS)]
    below += [f"{VIDEOS}/{camera}/{name}.mp4" for camera in _directories(products / VIDEOS) for name in sorted(names)]
    below += [
        f"{THUMBNAILS}/{camera}/{name}" for camera in _directories(products / THUMBNAILS) for name in sorted(names)
    ]
    if left_out is not None:
        for name in _no_products(products):
            left_out.add(name)
    for entry, there in _products(products, below, refused):
        yield _item(entry, products, f"{archive_products}/{WXCAM}", _day_of(there))


def _no_products(products: Path) -> Iterator[str]:
    """What lies in the camera's directories of products under the name of none that is copied."""
    yield from (name for name in _names(products) if name not in {*_PRODUCTS, *_CATALOG_FILES})
    for kind, pattern in _PRODUCTS.items():
        for camera in _names(products / kind):
            place = products / kind / camera
            if place.is_symlink() or not place.is_dir():
                yield f"{kind}/{camera}"
            else:
                yield from (f"{kind}/{camera}/{name}" for name in _names(place) if not pattern.fullmatch(name))


def _day_of(path: str) -> date | None:
    name = path.split("/")[2].partition(".")[0]
    return None if name == LATEST_MP4.partition(".")[0] else datetime.strptime(name, "%Y%m%d").date()  # noqa: DTZ007


def core_items(site: Site, archive_products: str, refused: Count, left_out: Count | None = None) -> Iterator[Item]:
    """All products but the camera's: whatever lies in ``paths.products``.

    ``left_out`` gets the names at its root that are not copied: those of our own work, and the camera's directory where
    no stream of the site is the camera, so that nobody copies it.
    """
    root = site.paths.products
    left_out = Count() if left_out is None else left_out
    below = []
    for name in _names(root):
        if name in _OURS or (name == WXCAM and WXCAM not in site.streams):
            left_out.add(name)
        elif name != WXCAM:
            below.append(name)
    for entry, there in _products(root, below, refused):
        if entry.path.startswith(_OURS_BELOW):
            left_out.add(there)
        else:
            yield _item(entry, root, archive_products, None)


def catalog_item(catalog: Path, archive_products: str, archive: str, ledger: Ledger) -> Item | None:
    """The camera's catalogue; None where there is none yet.

    What goes there is a backup, whose size is not known before it is made. So where the ledger knows one of this mtime,
    it is that one.
    """
    remote = f"{archive_products}/{WXCAM}/{CATALOG}"
    try:
        size, mtime = catalog.stat().st_size, database_mtime(catalog)
    except FileNotFoundError:
        return None
    known = ledger.row(archive, remote)
    if known and known.version.mtime_ns == mtime:
        size = known.version.size
    return Item(str(catalog), remote, FileVersion(size, mtime))


def registered_items(queued: Sequence[Item]) -> list[Item]:
    """Files that somebody registered, as they are by now; one that is gone stays as it was."""
    items = []
    for item in queued:
        try:
            status = os.lstat(item.local_path)
        except OSError:
            items.append(item)
            continue
        items.append(replace(item, version=FileVersion.of(status)))
    return items


def _products(root: Path, below: Sequence[str], refused: Count) -> Iterator[tuple[ListedEntry, str]]:
    """The files below some entries of a directory of products, with their relative paths."""
    if not below or not root.is_dir():  # without any, a listing would be of everything
        return
    listing = LocalSource().list(str(root), below)
    for entry in listing.entries:
        if entry.kind == DIRECTORY:
            continue
        if why_unusable(entry) is not None:
            refused.add(entry.path)
            continue
        yield entry, entry.path.decode()
    _note_unreadable(listing.unreadable, refused)


def _directories(root: Path) -> list[str]:
    return [name for name in _names(root) if (root / name).is_dir() and not (root / name).is_symlink()]


def _names(root: Path) -> list[str]:
    try:
        return sorted(os.listdir(root))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _item(entry: ListedEntry, root: Path, there: str, day: date | None) -> Item:
    path = entry.path.decode()
    return Item(os.path.join(root, path), f"{there}/{path}", entry.version, day)


def _note_unreadable(unreadable: Count, refused: Count) -> None:
    for name in unreadable.first:
        refused.add(name)
    refused.total += unreadable.total - len(unreadable.first)
