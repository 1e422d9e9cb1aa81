"""Selects the files for the archive and their destinations: raw files of a stream, camera products, other products.

Only regular files with valid names are selected; other entries are counted as refused, with their names. Names that
begin with a dot are selected too: a Zarr v2 store keeps its metadata in such files. Two kinds are left out and counted:
the platform's own work files at the root of a product tree, and files that are not products.
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
from aurora_platform.transport.name_store import NameStore

_CATALOG_FILES = tuple(f"{CATALOG}{end}" for end in ("", "-wal", "-shm"))
# The platform's own directories at the root of a product tree: staged files, local and in the archive, and the upload
# trees of pushes. The health files are staged beside themselves.
_OURS = frozenset({STAGING, OUTGOING, INCOMING})
_OURS_BELOW = tuple(f"{OPS_MONITOR}/{part}/{STAGING}/".encode() for part in ("health", "alerts"))
_PRODUCTS = {VIDEOS: re.compile(r"[0-9]{8}\.mp4|latest\.mp4"), THUMBNAILS: re.compile("[0-9]{8}")}


def raw_items(
    stream: Stream,
    raw_root: Path,
    archive_raw: str,
    days: Collection[date],
    refused: Count,
    names: NameStore | None = None,
) -> Iterator[Item]:
    """Yield the local files of some UTC days of a stream.

    Parameters
    ----------
    stream
        Its settings; with ``day_dirs`` only the directories of these days are read.
    raw_root
        Its local directory (``Layout.of(site).raw_root(name)``).
    archive_raw
        ``archive.raw``.
    days
        UTC days.
    refused
        Counts the entries that may not be copied.
    names
        The stored names of local directories; without it, the directory is read.
    """
    if not raw_root.is_dir():  # nothing is mirrored yet
        return
    directories = Directories(stream, sorted(days))
    listing = directories.list_source(LocalSource(store=names), str(raw_root))
    classify = Classifier(stream, directories, listing.clock_ns)
    for entry in listing.entries:
        classified = classify(entry)
        if classified.reason is not None and (classified.day is None or classified.day in days):
            refused.add(entry.path)
        elif classified.file is not None and classified.day in days:
            yield _item(entry, raw_root, f"{archive_raw}/{stream.raw}", classified.day)
    _count_unreadable(listing.unreadable, refused)


def wxcam_items(
    products: Path, archive_products: str, days: Collection[date], refused: Count, left_out: Count | None = None
) -> Iterator[Item]:
    """Yield the videos and thumbnails of some UTC days, and the newest video of each camera, which has no day.

    ``products`` is the camera's own directory, ``archive_products`` that of all products in the archive. ``left_out``
    counts the entries that are not copied: the pixels, for example, or files of another program.
    """
    names = {compact(day) for day in days}
    below = [f"{VIDEOS}/{camera}/{LATEST_MP4}" for camera in _directories(products / VIDEOS)]
    below += [f"{VIDEOS}/{camera}/{name}.mp4" for camera in _directories(products / VIDEOS) for name in sorted(names)]
    below += [
        f"{THUMBNAILS}/{camera}/{name}" for camera in _directories(products / THUMBNAILS) for name in sorted(names)
    ]
    if left_out is not None:
        for name in _other_entries(products):
            left_out.add(name)
    for entry, path in _products(products, below, refused):
        yield _item(entry, products, f"{archive_products}/{WXCAM}", _day_of(path))


def _other_entries(products: Path) -> Iterator[str]:
    """Yield the entries of the camera's product directories whose names are not of products that are copied."""
    yield from (name for name in _names(products) if name not in {*_PRODUCTS, *_CATALOG_FILES})
    for kind, pattern in _PRODUCTS.items():
        for camera in _names(products / kind):
            directory = products / kind / camera
            if directory.is_symlink() or not directory.is_dir():
                yield f"{kind}/{camera}"
            else:
                yield from (f"{kind}/{camera}/{name}" for name in _names(directory) if not pattern.fullmatch(name))


def _day_of(path: str) -> date | None:
    name = path.split("/")[2].partition(".")[0]
    return None if name == LATEST_MP4.partition(".")[0] else datetime.strptime(name, "%Y%m%d").date()  # noqa: DTZ007


def core_items(site: Site, archive_products: str, refused: Count, left_out: Count | None = None) -> Iterator[Item]:
    """Yield all products except the camera's: every other file in ``paths.products``.

    ``left_out`` counts the names at its root that are not copied: the platform's own directories, and the camera's
    directory where the site has no camera stream, so that no push copies it.
    """
    root = site.paths.products
    left_out = Count() if left_out is None else left_out
    below = []
    for name in _names(root):
        if name in _OURS or (name == WXCAM and WXCAM not in site.streams):
            left_out.add(name)
        elif name != WXCAM:
            below.append(name)
    for entry, path in _products(root, below, refused):
        if entry.path.startswith(_OURS_BELOW):
            left_out.add(path)
        else:
            yield _item(entry, root, archive_products, None)


def catalog_item(catalog: Path, archive_products: str, archive: str, ledger: Ledger) -> Item | None:
    """Return the camera's catalogue; None where it does not exist yet.

    The archive gets a backup, whose size is not known before it is made. So where the ledger has a row of this mtime,
    its size is used.
    """
    remote_path = f"{archive_products}/{WXCAM}/{CATALOG}"
    try:
        size, mtime = catalog.stat().st_size, database_mtime(catalog)
    except FileNotFoundError:
        return None
    row = ledger.row(archive, remote_path)
    if row and row.version.mtime_ns == mtime:
        size = row.version.size
    return Item(str(catalog), remote_path, FileVersion(size, mtime))


def registered_items(queued: Sequence[Item]) -> list[Item]:
    """Return registered files with their current versions; a file that is gone keeps its queued version."""
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
    """Yield the files below some entries of a product directory, with their relative paths."""
    if not below or not root.is_dir():  # without entries, a listing would have the whole directory
        return
    listing = LocalSource().list(str(root), below)
    for entry in listing.entries:
        if entry.kind == DIRECTORY:
            continue
        if why_unusable(entry) is not None:
            refused.add(entry.path)
            continue
        yield entry, entry.path.decode()
    _count_unreadable(listing.unreadable, refused)


def _directories(root: Path) -> list[str]:
    return [name for name in _names(root) if (root / name).is_dir() and not (root / name).is_symlink()]


def _names(root: Path) -> list[str]:
    try:
        return sorted(os.listdir(root))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _item(entry: ListedEntry, root: Path, destination: str, day: date | None) -> Item:
    path = entry.path.decode()
    return Item(os.path.join(root, path), f"{destination}/{path}", entry.version, day)


def _count_unreadable(unreadable: Count, refused: Count) -> None:
    for name in unreadable.first:
        refused.add(name)
    refused.total += unreadable.total - len(unreadable.first)
