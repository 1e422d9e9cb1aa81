"""The copies of a raw file: on its host, on this machine, and in the archive."""

from __future__ import annotations

from datetime import datetime

from aurora_platform.fs.versions import FileVersion
from aurora_platform.layout import SIDE_NAMES, Side
from aurora_platform.operations.explain_answer import (
    Context,
    Copy,
    is_finalized_version,
    time_of,
    time_of_text,
    written,
)
from aurora_platform.operations.explain_facts import FileFacts, remote_path
from aurora_platform.text import printable


def at_source(facts: FileFacts) -> bool | None:
    """Whether its host has the file: by a listing now, else by the last verification; None where nobody knows."""
    if facts.source is not None:
        return facts.source.entry is not None
    if "source" in facts.evidence.by_side:
        return True
    listing = facts.evidence.listings.get("source")
    return None if listing is None or listing.error is not None else False


def in_archive(facts: FileFacts) -> bool | None:
    """Whether the archive has the file: by the last listing, or by a copy that was made since; None: nobody knows."""
    if "gws" in facts.evidence.by_side:
        return True
    listing, copied = facts.evidence.listings.get("gws"), copied_at(facts)
    is_listed = listing is not None and listing.error is None
    if copied is not None and not (is_listed and listing is not None and listing.at >= copied.timestamp()):
        return True
    return False if is_listed else None


def copied_at(facts: FileFacts) -> datetime | None:
    """When the ledger recorded that a push copied the file."""
    return time_of_text(facts.row.copied_at) if facts.row is not None else None


def copies_of(context: Context, facts: FileFacts) -> tuple[Copy, ...]:
    """A row per place."""
    rows = [_source_copy(context, facts), _local_copy(context, facts)]
    if context.site.archive is not None:
        rows.append(_archive_copy(context, facts))
    return tuple(rows)


def _copy(
    facts: FileFacts,
    side: Side,
    location: str,
    version: FileVersion | None,
    is_present: bool | None,
    note: str,
    listed_at: datetime | None = None,
) -> Copy:
    """``listed_at``: where the place was listed for this answer; without it, when the last verification listed it."""
    record = facts.evidence.by_side.get(side)
    is_recorded = record is not None and version is not None and record.version == version
    sha256 = record.sha256 if record is not None and is_recorded else None
    listing = facts.evidence.listings.get(side)
    read_at = facts.evidence.read_at.get(side) if is_recorded else None
    error = f"the last listing failed: {printable(listing.error)}" if listing and listing.error else ""
    unread = f"cannot be read: {printable(record.error)}" if record and record.error else ""
    return Copy.of_version(
        SIDE_NAMES[side],
        location,
        version,
        is_present=is_present,
        sha256=sha256,
        listed_at=listed_at or (time_of(listing.at) if listing else None),
        read_at=time_of(read_at),
        is_finalized=is_finalized_version(facts.finalized, version, sha256),
        note="; ".join(filter(None, (note, error, unread))),
    )


def _source_copy(context: Context, facts: FileFacts) -> Copy:
    record = facts.evidence.by_side.get("source")
    version, is_present, note = record.version if record else None, at_source(facts), ""
    if facts.source is not None:
        version = facts.source.entry.version if facts.source.entry else None
        note = "" if is_present else "not on its host"
    elif is_present is None:
        note = "never listed; --source lists it now"
    elif not is_present:
        note = "not on its host when it was listed"
    location = f"{facts.stream.host}:{facts.stream.path.rstrip('/')}/{printable(facts.path)}"
    return _copy(
        facts, "source", location, version, is_present, note, context.now if facts.source is not None else None
    )


def _local_copy(context: Context, facts: FileFacts) -> Copy:
    note = ""
    if facts.local is None:
        at = facts.evidence.released_at
        note = f"deleted on {written(at)} by retention" if at is not None else "no local file"
    elif facts.local_differs:
        note = "changed since it was verified"
    location = f"{context.layout.raw_root(facts.name)}/{printable(facts.path)}"
    version = facts.local.version if facts.local else None
    return _copy(facts, "local", location, version, facts.local is not None, note, context.now)


def _archive_copy(context: Context, facts: FileFacts) -> Copy:
    archive = context.site.archive
    assert archive is not None
    record, listing, row = facts.evidence.by_side.get("gws"), facts.evidence.listings.get("gws"), facts.row
    version, note, is_present = record.version if record else None, "", in_archive(facts)
    if record is None and row is not None and is_present:
        version, note = row.version, f"copied on {written(copied_at(facts))}, as the ledger recorded it"
    elif is_present is None:
        note = "never listed"
    elif not is_present:
        note = "not in the archive when it was listed"
    host = (listing.host if listing else "") or archive.hosts[0].report_name
    return _copy(facts, "gws", f"{host}:{printable(remote_path(context, facts))}", version, is_present, note)
