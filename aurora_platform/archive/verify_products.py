"""Verifies all collections of products, and copies their finalizations to the archive."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from aurora_platform.archive.archived_finalizations import prepare_verification
from aurora_platform.archive.finalize import Finalizations
from aurora_platform.archive.ledger import Item, Ledger
from aurora_platform.archive.product_places import product_places
from aurora_platform.archive.product_proof import ProductProof
from aurora_platform.archive.product_reports import ProductsReport
from aurora_platform.archive.push_plan import Pushing, push_finalizations
from aurora_platform.archive.stores import Records
from aurora_platform.archive.transfer import PushReport
from aurora_platform.errors import ArchiveError
from aurora_platform.fs.locks import hold_lock
from aurora_platform.fs.versions import FileVersion
from aurora_platform.layout import (
    COLLECTIONS,
    WXCAM,
    WXCAM_PRODUCTS,
    ArchiveLayout,
    FinalizedKey,
    finalization_groups,
    open_state,
    verify_lock,
)
from aurora_platform.text import Count
from aurora_platform.transport.connections import Connections
from aurora_platform.transport.protocols import ArchiveHost


def collections_of(records: Records) -> Sequence[str]:
    """Return the collections of a site; only a site with a camera has camera products."""
    return [name for name in COLLECTIONS if name != WXCAM_PRODUCTS or WXCAM in records.site.streams]


def verify_products(
    records: Records,
    connections: Connections,
    hosts: Sequence[ArchiveHost],
    *,
    full: bool = False,
    only: Sequence[str] | None = None,
    is_emptied: bool = False,
    log: Callable[[str], None] = lambda text: None,
) -> ProductsReport:
    """Verify the products of a site, and copy the finalizations that are new to its archive.

    Parameters
    ----------
    records, connections, hosts
        The site's records, its connections, and the hosts of its archive in order of preference.
    full
        Read every file again, also those that were read recently.
    only
        The collections to verify; None: all.
    is_emptied
        Whether an operator vouches that a local directory without files is not a missing disk.
    log
        Gets a line for each collection.
    """
    began = time.monotonic()
    report = ProductsReport()
    for name in collections_of(records) if only is None else only:
        why_unlisted = prepare_verification(records, hosts, name, None, log)
        with open_proof(records, name, connections, log, is_emptied=is_emptied) as proof:
            found = proof.verify(full=full, why_unlisted=why_unlisted)
            log(found.summary())
            report.collections.append(found)
            if "gws" not in found.errors:
                try:
                    _add_pushed(report, _push(records, proof, hosts))
                except ArchiveError as error:  # the next verification copies them
                    report.not_copied.add(f"{name}: {error}")
    report.seconds = time.monotonic() - began
    return report


@contextmanager
def open_proof(
    records: Records,
    name: str,
    connections: Connections,
    log: Callable[[str], None] = lambda text: None,
    *,
    is_emptied: bool = False,
) -> Iterator[ProductProof]:
    """Open the verification of a collection, under a lock that keeps out other verifications of it."""
    local, copies = product_places(records, name, connections)
    open_state(records.layout.state)
    with (
        hold_lock(records.layout.locks, verify_lock(name), records.site.limits.lock),
        records.evidence() as evidence,
        records.ledger() as ledger,
    ):
        finalizations = records.finalizations(name)
        yield ProductProof(name, records.archive, local, copies, evidence, finalizations, ledger, log, is_emptied)


def _push(records: Records, proof: ProductProof, hosts: Sequence[ArchiveHost]) -> list[PushReport]:
    keys = _uncopied(records, proof.finalizations, proof.ledger)
    if not keys:
        return []
    pushing = Pushing(records.site, records.archive, hosts, proof.ledger, proof.log)
    return push_finalizations(records, pushing, proof.name, keys)


def _uncopied(records: Records, finalizations: Finalizations, ledger: Ledger) -> list[FinalizedKey]:
    """Return what has a finalization that the archive does not have in this version."""
    root = ArchiveLayout.of(records.archive).manifests
    by_remote_path = dict[str, FinalizedKey]()
    items = list[Item]()
    for key in finalizations.all_keys():
        file = finalizations.file(key)
        items.append(Item(str(file), f"{root}/{finalizations.archived_path(file)}", FileVersion.of(file.lstat())))
        by_remote_path[items[-1].remote_path] = key
    _, group = finalization_groups(finalizations.stream)
    return [by_remote_path[item.remote_path] for item in ledger.open_items(records.archive.name, group, items)]


def _add_pushed(report: ProductsReport, pushed: Sequence[PushReport]) -> None:
    report.finalizations_copied += sum(push.files for push in pushed)
    counts = (count for push in pushed for count in (push.failed, push.parked, push.unsettled))
    report.not_copied = Count.sum_of([report.not_copied, *counts])
