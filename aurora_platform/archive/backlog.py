"""The backlog: which days have files to push, and which days need another verification. Reads only local state."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

from aurora_platform.archive.finalization_guard import StreamGuard
from aurora_platform.archive.ledger import Item, Ledger
from aurora_platform.archive.reports import Backlog
from aurora_platform.archive.selection import SelectionCounts, catalog_item, core_items, raw_items, wxcam_items
from aurora_platform.archive.stores import Records
from aurora_platform.archive.verdicts import read_verdict
from aurora_platform.config.site import Site
from aurora_platform.config.types import format_duration
from aurora_platform.layout import COLLECTIONS, CORE_PRODUCTS, REGISTERED, WXCAM_PRODUCTS, Layout, raw_group
from aurora_platform.text import Count
from aurora_platform.transport.name_store import NameStore

_DAY = timedelta(days=1)


def raw_push(site: Site, name: str, ledger: Ledger, days: Sequence[date]) -> Backlog:
    """Find days of a stream with files that are not in the archive: ``days`` by the local disk, others by ledger."""
    archive, stream, group = site.archive, site.streams[name], raw_group(name)
    assert archive is not None
    names = NameStore(site.paths.state, is_writable=True)
    items = list(raw_items(stream, Layout.of(site).raw_root(name), archive.raw, set(days), Count(), names))
    found = ledger.open_days(archive.name, group, items) | ledger.days_to_send(archive.name, group)
    held = _find_held_days(StreamGuard(Records(site), name), ledger, group, found, items)
    why_not = f"every file of {days[0]} to {days[-1]} is copied"
    if held:
        listed = ", ".join(sorted(str(day) for day in held))
        why_not += f", except files that are held back ({listed}): see the check no_settled_gap"
    return _backlog(found - held, why_not)


def _find_held_days(
    guard: StreamGuard, ledger: Ledger, group: str, days: set[date | None], items: Sequence[Item]
) -> set[date | None]:
    """Find the days whose files are all held back: each tick would start a run that sends nothing."""
    archive = guard.archive
    live: dict[date | None, list[Item]] = {}
    for item in ledger.open_items(archive, group, items):
        live.setdefault(item.day, []).append(item)
    # For most days one sendable file is enough; only where the first is held back, all files of the day are checked.
    firsts = [*(of_day[0] for of_day in live.values()), *ledger.first_to_send(archive, group)] if days else []
    uncertain = days - {item.day for item in guard.sendable(firsts)}
    if not uncertain:
        return set()
    rest = [item for day in uncertain for item in live.get(day, ())]
    rest += ledger.to_send(archive, group, [day for day in uncertain if day is not None])
    return uncertain - {item.day for item in guard.sendable(rest)}


def wxcam_push(site: Site, ledger: Ledger, days: Sequence[date]) -> Backlog:
    """Find days with camera products that are not in the archive; a file without a day counts for the newest day."""
    archive = site.archive
    assert archive is not None
    items = list(wxcam_items(Layout.of(site).camera.products, archive.products, set(days), SelectionCounts()))
    catalog = catalog_item(Layout.of(site).camera.catalog, archive.products, archive.name, ledger)
    items += [catalog] if catalog else []
    open_days = ledger.open_days(archive.name, WXCAM_PRODUCTS, items)
    found = {day or max(days) for day in open_days} | ledger.days_to_send(archive.name, WXCAM_PRODUCTS)
    return _backlog(found, f"the catalogue and every product of {days[0]} to {days[-1]} is copied")


def core_push(site: Site, ledger: Ledger) -> bool:
    """Whether a small product or a registered file is not in the archive."""
    archive = site.archive
    assert archive is not None
    items = core_items(site, archive.products, SelectionCounts())
    return bool(ledger.open_days(archive.name, CORE_PRODUCTS, items) or ledger.to_send(archive.name, REGISTERED))


def has_products(site: Site, ledger: Ledger) -> bool:
    """Whether a product or a registered file was ever copied to the archive."""
    archive = site.archive
    assert archive is not None
    return any(ledger.copied_since(archive.name, collection, 0.0) for collection in COLLECTIONS)


def verification(records: Records, name: str, days: Sequence[date], now: datetime) -> Backlog:
    """Return the newest days where a file is pending or was copied since, or where the last verification is old.

    They are returned too where the published manifests are old: a verification publishes them.
    """
    at_least = records.archive.verify_at_least.total_seconds()
    with records.evidence() as evidence:
        oldest = evidence.oldest_attempt(name, days[0], days[-1])
        verdicts = evidence.verdicts(name)
        waits = evidence.budget.is_used_up(records.site.streams[name].host, now.astimezone(UTC).date())
    found = [read_verdict(verdicts[day]) for day in days if day in verdicts]
    if now.timestamp() - oldest >= at_least:
        return Backlog(days, f"the newest days were not verified for {at_least:.0f} s")
    if None in found:
        return Backlog(days, "the verdict of a day is damaged")
    pending = sum(verdict.pending for verdict in found if verdict is not None)
    if pending and not waits:  # files that wait for the reading budget of another day need no verification now
        return Backlog(days, f"{pending} files were pending")
    # A verification publishes; readers alarm where the manifests are too old, also on days when nothing happens.
    if records.publication().is_older_than(records.archive.publish_every, now):
        return Backlog(days, f"the manifests are older than {format_duration(records.archive.publish_every)}")
    with records.ledger() as ledger:
        if ledger.copied_since(records.archive.name, raw_group(name), oldest):
            return Backlog(days, "files were copied since")
    return Backlog((), f"verified less than {at_least:.0f} s ago; nothing is pending, and nothing was copied since")


def whole_verification(records: Records, name: str, until: date, now: datetime) -> Backlog:
    """Return all days up to ``until`` where the oldest listing has used half of the time for which it is evidence."""
    first = records.site.streams[name].start
    if until < first:
        return Backlog((), "no day is before the live window")
    with records.evidence() as evidence:
        oldest = evidence.oldest_attempt(name, first, until)
    # A failed attempt counts too: a side that cannot be listed is not asked for all days at every tick.
    if now.timestamp() - oldest < records.archive.evidence_valid.total_seconds() / 2:
        return Backlog(
            (), f"every day up to {until} was verified since {datetime.fromtimestamp(oldest, UTC):%Y-%m-%d %H:%M}"
        )
    days = [first + n * _DAY for n in range((until - first).days + 1)]
    return Backlog(days, f"a day up to {until} was not verified for too long")


def _backlog(found: set[date] | set[date | None], why_not: str) -> Backlog:
    days = sorted(day for day in found if day is not None)
    return Backlog(days, f"{len(days)} days have files that are not in the archive" if days else why_not)
