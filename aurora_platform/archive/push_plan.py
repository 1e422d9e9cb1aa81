"""The pushes of a site: a stream's raw files, the camera's products, all other products. Each is a lane of its own.

They hold each other up nowhere: each has its own locks, its own view and its own directory for what is in the making,
so while the camera's large tree is on its way, the small products go out on time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from aurora_platform.archive.finalization_guard import StreamGuard
from aurora_platform.archive.finalize import Finalizations
from aurora_platform.archive.ledger import REGISTERED, Item, Ledger
from aurora_platform.archive.names import CORE_PRODUCTS, EVIDENCE, WXCAM_PRODUCTS, raw_group
from aurora_platform.archive.selection import (
    CATALOG,
    catalog_item,
    core_items,
    raw_items,
    registered_items,
    wxcam_items,
)
from aurora_platform.archive.stores import Records
from aurora_platform.archive.transfer import OUTGOING, Errand, PushReport
from aurora_platform.archive.uploader import push
from aurora_platform.config.archive import Archive
from aurora_platform.config.site import Site
from aurora_platform.errors import EvidenceError
from aurora_platform.fs.versions import FileVersion
from aurora_platform.text import Tally
from aurora_platform.transport.protocols import FarSide


@dataclass(frozen=True)
class Pushing:
    """How a site's files get to its archive."""

    site: Site
    archive: Archive
    hosts: Sequence[FarSide]
    ledger: Ledger
    tell: Callable[[str], None] = lambda text: None

    def raw(self, stream: str, days: Sequence[date], *, history: bool = False) -> PushReport:
        """Push a stream's local files of some UTC days; see :func:`aurora_platform.archive.uploader.push`.

        ``history`` is a lane of its own, for days before the live window: months that are on their way hold up nothing
        that has come now.
        """
        refused = Tally()
        settings, root = self.site.streams[stream], self.site.raw_root(stream)
        offers = {raw_group(stream): list(raw_items(settings, root, self.archive.raw, set(days), refused))}
        lane = f"raw.{stream}.history" if history else f"raw.{stream}"
        guard = StreamGuard(Records(self.site), stream)
        outgoing = self.site.paths.raw / OUTGOING
        return self._push(Errand(lane, outgoing, offers, set(days), refused=refused, guard=guard))

    def wxcam_products(self, days: Sequence[date]) -> PushReport:
        """Push the camera's videos and thumbnails of some UTC days, its newest videos, and its catalogue."""
        refused, left_out = Tally(), Tally()
        root, there = self.site.wxcam_products, self.archive.products
        catalog = root / CATALOG
        items = list(wxcam_items(root, there, set(days), refused, left_out))
        if (row := catalog_item(catalog, there, self.archive.name, self.ledger)) is not None:
            items.append(row)
        return self._push(
            Errand(
                "wxcam",
                root / OUTGOING,  # large, so it must be on their own disk, wherever that is
                {WXCAM_PRODUCTS: items},
                set(days),
                databases=frozenset({str(catalog)}),
                refused=refused,
                left_out=left_out,
            )
        )

    def core_products(self) -> PushReport:
        """Push all products but the camera's, and what others have registered."""
        refused, left_out = Tally(), Tally()
        registered = self.ledger.to_send(self.archive.name, REGISTERED)
        offers = {
            CORE_PRODUCTS: list(core_items(self.site, self.archive.products, refused, left_out)),
            REGISTERED: registered_items(registered),
        }
        outgoing = self.site.paths.products / OUTGOING
        closed = tuple(f"{self.archive.raw.rstrip('/')}/{stream.raw}" for stream in self.site.streams.values())
        return self._push(
            Errand("core", outgoing, offers, in_place=True, closed=closed, refused=refused, left_out=left_out)
        )

    def files(self, group: str, files: Mapping[Path, str], day: date | None = None) -> PushReport:
        """Push some files of our own, each to its absolute remote path; all must be there, published by rename."""
        items = []
        for place, remote in files.items():
            items.append(Item(str(place), remote, FileVersion.of(place.lstat()), day))
        days = None if day is None else {day}
        lane = group.replace("/", ".")
        return self._push(Errand(lane, self.site.paths.manifests / OUTGOING, {group: items}, days))

    def exactly(self, stream: str, lane: str, items: Sequence[Item]) -> PushReport:
        """Push these files of a stream, and nothing else that may be queued."""
        only = frozenset(item.remote_path for item in items)
        guard = StreamGuard(Records(self.site), stream)
        outgoing = self.site.paths.raw / OUTGOING
        return self._push(Errand(lane, outgoing, {raw_group(stream): items}, only=only, guard=guard))

    def _push(self, errand: Errand) -> PushReport:
        return push(
            errand,
            archive=self.archive,
            hosts=self.hosts,
            ledger=self.ledger,
            locks=self.site.paths.locks,
            wait=self.site.limits.lock,
            tell=self.tell,
        )


def push_words(records: Records, pushing: Pushing, name: str, days: Sequence[date]) -> list[PushReport]:
    """Copy the finalizations of some days of a stream to the archive: each manifest before the word that names it.

    Raises
    ------
    ArchiveError
        Where no host of the archive works; the next pass over these days tries again.
    """
    archive, ledger = records.archive, pushing.ledger
    finalizations = records.finalizations(name)
    manifests, words = dict[Path, str](), dict[Path, str]()
    for file in (file for day in days for file in _files(finalizations, day)):
        remote = f"{archive.evidence}/{file.relative_to(records.site.paths.manifests)}"
        (words if file.suffix == ".yaml" else manifests)[file] = remote
    for kind in ("manifests", "words"):  # never given up: an old word in the archive may be wrong
        parked = ledger.parked(archive.name, f"{EVIDENCE}/{name}/{kind}")
        ledger.requeue(archive.name, [row.remote_path for row in parked])
    return [
        pushing.files(f"{EVIDENCE}/{name}/{kind}", files)
        for kind, files in (("manifests", manifests), ("words", words))
        if files
    ]


def _files(finalizations: Finalizations, day: date) -> Sequence[Path]:
    try:
        return finalizations.files(day)
    except EvidenceError:  # one day's error: its verification has said so, and the other days go on
        return ()
