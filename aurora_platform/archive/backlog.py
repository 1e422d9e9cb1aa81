"""What is due: which days have something to push, and which are to be verified again. Looks at this machine alone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

from aurora_platform.archive.compare import Verdict
from aurora_platform.archive.finalization_guard import StreamGuard
from aurora_platform.archive.ledger import Item, Ledger
from aurora_platform.archive.reports import Backlog
from aurora_platform.archive.selection import catalog_item, core_items, raw_items, wxcam_items
from aurora_platform.archive.stores import Records
from aurora_platform.config.site import Site
from aurora_platform.layout import CORE_PRODUCTS, REGISTERED, WXCAM_PRODUCTS, Layout, raw_group
from aurora_platform.text import Count

_DAY = timedelta(days=1)


def raw_push(site: Site, name: str, ledger: Ledger, days: Sequence[date]) -> Backlog:
    """The days of a stream with files that are not in the archive: of ``days`` by the disk, of others by the ledger."""
    archive, stream, group = site.archive, site.streams[name], raw_group(name)
    assert archive is not None
    items = list(raw_items(stream, Layout.of(site).raw_root(name), archive.raw, set(days), Count()))
    found = ledger.open_days(archive.name, group, items) | ledger.days_to_send(archive.name, group)
    held = _held_back(StreamGuard(Records(site), name), ledger, group, found, items)
    why_not = f"every file of {days[0]} to {days[-1]} is copied"
    if held:
        listed = ", ".join(sorted(str(day) for day in held))
        why_not += f", but those that are held back of {listed}: see the check no_settled_gap"
    return _backlog(found - held, why_not)


def _held_back(
    guard: StreamGuard, ledger: Ledger, group: str, days: set[date | None], items: Sequence[Item]
) -> set[date | None]:
    """The days of which all is held back: a run would send nothing of them, at every tick."""
    archive = guard.archive
    live: dict[date | None, list[Item]] = {}
    for item in ledger.open_items(archive, group, items):
        live.setdefault(item.day, []).append(item)
    # A file of each day is enough for most; only where that one is held back all of its day are asked about.
    firsts = [*(of_day[0] for of_day in live.values()), *ledger.first_to_send(archive, group)] if days else []
    doubtful = days - {item.day for item in guard.sendable(firsts)}
    if not doubtful:
        return set()
    rest = [item for day in doubtful for item in live.get(day, ())]
    rest += ledger.to_send(archive, group, [day for day in doubtful if day is not None])
    return doubtful - {item.day for item in guard.sendable(rest)}


def wxcam_push(site: Site, ledger: Ledger, days: Sequence[date]) -> Backlog:
    """The days of which the camera's products are not in the archive; the newest, where only what has no day is new."""
    archive = site.archive
    assert archive is not None
    items = list(wxcam_items(Layout.of(site).camera.products, archive.products, set(days), Count()))
    catalog = catalog_item(Layout.of(site).camera.catalog, archive.products, archive.name, ledger)
    items += [catalog] if catalog else []
    open_days = ledger.open_days(archive.name, WXCAM_PRODUCTS, items)
    found = {day or max(days) for day in open_days} | ledger.days_to_send(archive.name, WXCAM_PRODUCTS)
    return _backlog(found, f"the catalogue and every product of {days[0]} to {days[-1]} is copied")


def core_push(site: Site, ledger: Ledger) -> bool:
    """Whether a small product, or a file that somebody registered, is not in the archive."""
    archive = site.archive
    assert archive is not None
    items = core_items(site, archive.products, Count())
    return bool(ledger.open_days(archive.name, CORE_PRODUCTS, items) or ledger.to_send(archive.name, REGISTERED))


def verification(records: Records, name: str, days: Sequence[date], now: datetime) -> Backlog:
    """The newest days, where something is not proved yet, was copied since, or was not looked at for a while."""
    at_least = records.archive.verify_at_least.total_seconds()
    with records.evidence() as evidence:
        oldest = evidence.oldest_attempt(name, days[0], days[-1])
        verdicts = evidence.verdicts(name)
    pending = sum(Verdict.from_json(verdicts[day]).pending for day in days if day in verdicts)
    if now.timestamp() - oldest >= at_least:
        return Backlog(days, "the newest days were not looked at for a while")
    if pending:
        return Backlog(days, f"{pending} files were pending")
    with records.ledger() as ledger:
        if ledger.copied_since(records.archive.name, raw_group(name), oldest):
            return Backlog(days, "files were copied since")
    return Backlog((), f"looked at less than {at_least:.0f} s ago; nothing is pending, and nothing was copied since")


def whole_verification(records: Records, name: str, until: date, now: datetime) -> Backlog:
    """All days of a stream up to one, where the oldest look has used half of the time for which it is evidence."""
    first = records.site.streams[name].start
    if until < first:
        return Backlog((), "no day is before the live window")
    with records.evidence() as evidence:
        oldest = evidence.oldest_attempt(name, first, until)
    # A place that could not be seen is not asked for all days at each tick.
    if now.timestamp() - oldest < records.archive.evidence_valid.total_seconds() / 2:
        return Backlog(
            (), f"every day up to {until} was looked at since {datetime.fromtimestamp(oldest, UTC):%Y-%m-%d %H:%M}"
        )
    days = [first + n * _DAY for n in range((until - first).days + 1)]
    return Backlog(days, f"a day up to {until} was not looked at for long")


def _backlog(found: set[date] | set[date | None], why_not: str) -> Backlog:
    days = sorted(day for day in found if day is not None)
    return Backlog(days, f"{len(days)} days have files that are not in the archive" if days else why_not)
