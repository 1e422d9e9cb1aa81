"""The pushes of a site: a stream's raw files, the camera's products, and all other products. Each has its own lane.

No lane waits for another: each has its own locks, its own upload tree and its own directory for files in transfer. So
the small products arrive on time while the camera's large tree is being copied.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path, PurePosixPath

from aurora_platform.archive.archived_finalizations import learn_and_restore
from aurora_platform.archive.finalization_guard import StreamGuard
from aurora_platform.archive.finalize import Finalizations
from aurora_platform.archive.ledger import Item, Ledger
from aurora_platform.archive.product_guard import ProductGuard
from aurora_platform.archive.replace_vouched import list_entries
from aurora_platform.archive.selection import (
    SelectionCounts,
    catalog_item,
    core_items,
    raw_items,
    registered_items,
    wxcam_items,
)
from aurora_platform.archive.stores import Records
from aurora_platform.archive.transfer import Guard, KeepEverything, PushReport, TransferRequest
from aurora_platform.archive.uploader import push
from aurora_platform.config.archive import Archive
from aurora_platform.config.site import Site
from aurora_platform.errors import ArchiveError, EvidenceError, HostError
from aurora_platform.fs.versions import FileVersion
from aurora_platform.layout import (
    CORE_PRODUCTS,
    OUTGOING,
    OWN_LIST,
    REGISTERED,
    WXCAM,
    WXCAM_PRODUCTS,
    ArchiveLayout,
    FinalizedKey,
    Layout,
    finalization_groups,
    raw_group,
)
from aurora_platform.text import Count, counted
from aurora_platform.transport.protocols import ArchiveHost


@dataclass(frozen=True)
class Pushing:
    """Pushes the files of a site to its archive."""

    site: Site
    archive: Archive
    hosts: Sequence[ArchiveHost]
    ledger: Ledger
    log: Callable[[str], None] = lambda text: None

    def raw(self, stream: str, days: Sequence[date], *, history: bool = False) -> PushReport:
        """Push a stream's local files of some UTC days; see :func:`aurora_platform.archive.uploader.push`.

        ``history`` uses a separate lane, for days before the live window: a push of months does not delay new files.
        """
        refused = Count()
        settings, root = self.site.streams[stream], Layout.of(self.site).raw_root(stream)
        offers = {raw_group(stream): list(raw_items(settings, root, self.archive.raw, set(days), refused))}
        lane = f"raw.{stream}.history" if history else f"raw.{stream}"
        guard = StreamGuard(Records(self.site), stream)
        outgoing, withdraw = self.site.paths.raw / OUTGOING, partial(self._withdraw_days, stream, guard)
        request = TransferRequest(lane, outgoing, offers, set(days), refused=refused, guard=guard, withdraw=withdraw)
        return self._push(request, [stream])

    def _withdraw_days(self, stream: str, guard: StreamGuard, items: Sequence[Item]) -> None:
        """Withdraw the finalizations of raw files that get new versions; see :meth:`_withdraw`."""
        self._withdraw(stream, sorted(guard.days_of(items)), len(items))

    def _withdraw_products(self, guard: ProductGuard, items: Sequence[Item]) -> None:
        """Withdraw the finalizations of products that get new versions; see :meth:`_withdraw`."""
        for name, keys in guard.keys_of(items).items():
            self._withdraw(name, sorted(keys, key=str), len(items))

    def _withdraw(self, name: str, keys: Sequence[FinalizedKey], files: int) -> None:
        """Withdraw finalizations of a stream or a collection, here and in the archive, before files are replaced.

        What is withdrawn still says which files it had, so their earlier versions are kept if the push is tried again.

        Raises
        ------
        ArchiveError
            Where the archive does not take the withdrawal: its finalization would say what is not true any more.
        """
        records = Records(self.site)
        finalizations = records.finalizations(name)
        why = f"{counted(files, 'file')} got a new version; all are verified again"
        changed = [key for key in keys if finalizations.withdraw(key, why)]
        if changed:
            self.log(f"withdrew the finalization of {', '.join(map(str, changed))}: {why}")
        # Also what an earlier push has withdrawn, and could not copy.
        for report in push_finalizations(records, self, name, keys):
            wrong = Count.sum_of((report.failed, report.parked, report.unsettled))
            if wrong.total:
                raise ArchiveError(f"the finalization cannot be withdrawn in the archive: {wrong.first[0]}")

    def wxcam_products(self, days: Sequence[date]) -> PushReport:
        """Push the camera's products of some UTC days, those without a day, and its catalogue."""
        counts = SelectionCounts()
        camera, destination = Layout.of(self.site).camera, self.archive.products
        items = list(wxcam_items(camera.products, destination, set(days), counts))
        if (catalog := catalog_item(camera.catalog, destination, self.archive.name, self.ledger)) is not None:
            items.append(catalog)
        guard = ProductGuard(Records(self.site), [WXCAM_PRODUCTS])
        return self._push(
            TransferRequest(
                WXCAM,
                camera.products / OUTGOING,  # the files are large, so it must be on the same disk
                {WXCAM_PRODUCTS: items},
                set(days),
                databases=frozenset({str(camera.catalog)}),
                guard=guard,
                withdraw=partial(self._withdraw_products, guard),
                refused=counts.refused,
                left_out=counts.left_out,
                empty_directories=counts.empty_directories,
            ),
            [WXCAM_PRODUCTS],
        )

    def core_products(self) -> PushReport:
        """Push all products except the camera's, and the files that other programs registered."""
        counts = SelectionCounts()
        registered = self.ledger.to_send(self.archive.name, REGISTERED)
        offers = {
            CORE_PRODUCTS: list(core_items(self.site, self.archive.products, counts)),
            REGISTERED: registered_items(registered),
        }
        outgoing = self.site.paths.products / OUTGOING
        layout = ArchiveLayout.of(self.archive)
        # A registered file may have any path: it must not replace what another push keeps in order.
        closed = (layout.finalized, layout.camera_products, *map(layout.raw_root, self.site.streams.values()))
        guard = ProductGuard(Records(self.site), [CORE_PRODUCTS, REGISTERED])
        return self._push(
            TransferRequest(
                "core",
                outgoing,
                offers,
                in_place=True,
                closed=closed,
                guard=guard,
                withdraw=partial(self._withdraw_products, guard),
                refused=counts.refused,
                left_out=counts.left_out,
                empty_directories=counts.empty_directories,
            ),
            [CORE_PRODUCTS, REGISTERED],
        )

    def files(
        self, group: str, files: Mapping[Path, str], day: date | None = None, guard: Guard | None = None
    ) -> PushReport:
        """Push our own files, each to its absolute remote path; all must exist and be published by rename."""
        items = []
        for path, remote_path in files.items():
            items.append(Item(str(path), remote_path, FileVersion.of(path.lstat()), day))
        days = None if day is None else {day}
        lane, outgoing = group.replace("/", "."), self.site.paths.manifests / OUTGOING
        return self._push(TransferRequest(lane, outgoing, {group: items}, days, guard=guard))

    def exactly(self, stream: str, lane: str, items: Sequence[Item]) -> PushReport:
        """Push exactly these files of a stream, and no other queued files."""
        only = frozenset(item.remote_path for item in items)
        guard = StreamGuard(Records(self.site), stream)
        outgoing, withdraw = self.site.paths.raw / OUTGOING, partial(self._withdraw_days, stream, guard)
        request = TransferRequest(lane, outgoing, {raw_group(stream): items}, only=only, guard=guard, withdraw=withdraw)
        return self._push(request, [stream])

    def exact_products(self, collection: str, lane: str, items: Sequence[Item]) -> PushReport:
        """Push exactly these files of a collection, whatever the ledger says of them."""
        camera = Layout.of(self.site).camera
        only = frozenset(item.remote_path for item in items)
        self.ledger.offer(self.archive.name, collection, items)
        self.ledger.requeue(self.archive.name, only)
        products = camera.products if collection == WXCAM_PRODUCTS else self.site.paths.products
        # The path of a registered file may be that of a core product.
        names = [CORE_PRODUCTS, REGISTERED] if collection != WXCAM_PRODUCTS else [WXCAM_PRODUCTS]
        guard = ProductGuard(Records(self.site), names)
        request = TransferRequest(
            lane,
            products / OUTGOING,
            {collection: items},
            only=only,
            in_place=collection != WXCAM_PRODUCTS,
            databases=frozenset({str(camera.catalog)}),
            guard=guard,
            withdraw=partial(self._withdraw_products, guard),
        )
        return self._push(request, names)

    def _learn(self, name: str, days: Collection[date] | None) -> bool:
        """Learn which finalizations the archive has, and fetch back what is missing; whether all are known."""
        keys: set[FinalizedKey] | None = None if days is None else {*days, OWN_LIST}
        learned = learn_and_restore(Records(self.site), self.ledger, self.hosts, name, keys, self.log)
        if not learned.is_certain:
            why = learned.error or f"the archive has files and no finalizations of {name}"
            self.log(f"{why}: each version that is replaced is kept")
        return learned.is_certain

    def _is_open(self, group: str, items: Sequence[Item]) -> bool:
        """Whether a push of these files has anything to send."""
        is_new = next(self.ledger.open_items(self.archive.name, group, items), None) is not None
        return is_new or bool(self.ledger.to_send(self.archive.name, group))

    def _push(self, request: TransferRequest, names: Sequence[str] = ()) -> PushReport:
        """Push; ``names`` are the streams or collections whose finalizations must be known before."""
        if (
            request.guard is not None
            and names
            and any(self._is_open(group, items) for group, items in request.offers.items())
        ):
            certain = [self._learn(name, request.days) for name in names]
            request.guard.keeps_all = not all(certain)
        return push(
            request,
            archive=self.archive,
            hosts=self.hosts,
            ledger=self.ledger,
            locks=Layout.of(self.site).locks,
            wait=self.site.limits.lock,
            log=self.log,
        )


def push_finalizations(records: Records, pushing: Pushing, name: str, days: Sequence[FinalizedKey]) -> list[PushReport]:
    """Copy finalizations of a stream or a collection to the archive: each manifest before the finalization naming it.

    Raises
    ------
    ArchiveError
        Where no host of the archive works; the next verification of these days tries again.
    """
    archive, ledger, layout = records.archive, pushing.ledger, ArchiveLayout.of(records.archive)
    finalizations = records.finalizations(name)
    manifests, statements = dict[Path, str](), dict[Path, str]()

    def remote_path(file: Path) -> str:
        return f"{layout.manifests}/{finalizations.archived_path(file)}"

    for day in days:
        files, earlier = _files(finalizations, day)
        for file in files:
            (statements if file.suffix == ".yaml" else manifests)[file] = remote_path(file)
        unsent = {file: remote for file in earlier if ledger.row(archive.name, remote := remote_path(file)) is None}
        manifests |= _not_archived(unsent, pushing.hosts, layout.manifests)
    groups = finalization_groups(name)
    for group in groups:  # never parked: an old finalization in the archive may be wrong
        ledger.requeue(archive.name, [row.remote_path for row in ledger.parked(archive.name, group)])
    # A manifest never changes under its name: if the archive has another one, it is of lost records, and is kept.
    guards = (KeepEverything(), None)
    sent = zip(groups, (manifests, statements), guards, strict=True)
    return [pushing.files(group, files, guard=guard) for group, files, guard in sent if files]


def _not_archived(files: Mapping[Path, str], hosts: Sequence[ArchiveHost], root: str) -> dict[Path, str]:
    """Leave out the earlier manifests that the archive has: nothing tells whether those on this machine are intact."""
    above = str(PurePosixPath(root).parent)  # the root may not exist yet
    paths = {file: str(PurePosixPath(remote).relative_to(above)) for file, remote in files.items()}
    for host in hosts if files else ():
        with suppress(HostError):  # the next host; without any, they wait for the next verification
            archived = list_entries(host, above, list(paths.values()))
            return {file: files[file] for file, path in paths.items() if path not in archived}
    return {}


def _files(finalizations: Finalizations, day: FinalizedKey) -> tuple[Sequence[Path], Sequence[Path]]:
    """Return the files of a finalization, and its earlier manifests."""
    try:
        return finalizations.files(day), finalizations.earlier_manifests(day)
    except EvidenceError:  # the error of one day: its verification reported it, and the other days go on
        return (), ()
