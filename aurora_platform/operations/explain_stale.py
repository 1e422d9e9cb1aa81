"""Whether the data of a stream is stale now, as ``aurora health`` rates it.

Read from the records and files of this machine. A partition without files may be in order; where it is the one of
today and its stream is stale, an operator should act.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from aurora_platform.config.types import format_duration
from aurora_platform.health.alert_rules import STOPPED_AFTER
from aurora_platform.health.freshness import measure_archive, measure_local, measure_source, read_summary
from aurora_platform.health.models import Freshness, Level
from aurora_platform.layout import HOURLY_THUMBNAILS
from aurora_platform.layout.key_parts import KeyParts, parts_of
from aurora_platform.operations.explain_answer import Conclusion, Context, Subject
from aurora_platform.operations.explain_period import OUTSIDE
from aurora_platform.text import printable

_WHERE = {
    "source": "at its source",
    "here": "in its local files",
    "archive": "in the archive",
    "product": "in this product",
}


def with_staleness(
    context: Context, subject: Subject, conclusion: Conclusion, *, is_newest: bool, is_silent: bool = False
) -> Conclusion:
    """Add that the data is stale, to the verdict on the partition of today, or on the newest one.

    ``is_newest``: whether the newest partition was asked for, whatever its day. Only for the partition of today an
    operator is asked to act: an older one may be as it should be. ``is_silent``: whether its source has no file of the
    partition, by a listing of now.
    """
    is_today = subject.day == context.now.date()
    if subject.stream is None or not (is_today or is_newest) or conclusion.state in OUTSIDE:
        return conclusion
    parts = parts_of(str(subject.asset))
    stale = context.attempt("freshness", lambda: list(_stale(context, str(subject.asset), parts)), list[Freshness]())
    if not stale:
        return conclusion
    stream = context.site.streams[subject.stream]
    remarks = tuple(
        f"{subject.stream} is STALE {_WHERE[entry.component]}: {printable(entry.sentence.removeprefix('STALE: '))} "
        f"(stale_after {format_duration(stream.stale_after)})"
        for entry in stale
    )
    found = replace(conclusion, remarks=(*remarks, *conclusion.remarks))
    if conclusion.needs_operator or not is_today:
        return found
    return replace(found, needs_operator=True, command=_command(context, parts, stale[0], is_silent=is_silent))


def _stale(context: Context, key: str, parts: KeyParts) -> Iterator[Freshness]:
    """What is stale of the way of the data to an asset, in the order of this way."""
    site, now, name = context.site, context.now, str(parts.stream)
    stream = site.streams[name]
    measured = [measure_source(site, name, stream, now), measure_local(site, name, stream, now)]
    if parts.kind in ("gws_raw", "manifests"):
        measured.append(measure_archive(name, stream, read_summary(site).get(name), now))
    if parts.part == "cameras":
        # The newest data of a product is in Dagster's records: the last snapshot has read them.
        snapshot = context.snapshot
        if snapshot is not None and now - snapshot.generated_at_utc < STOPPED_AFTER:
            measured += [entry for entry in snapshot.freshness if entry.component == "product" and entry.name == key]
    return (entry for entry in measured if entry.level is Level.RED)


def _command(context: Context, parts: KeyParts, first: Freshness, *, is_silent: bool) -> str:
    """What an operator should do where the data is stale from a place on."""
    name = str(parts.stream)
    job = f"{name}_hours" if parts.kind == HOURLY_THUMBNAILS else f"{name}_day"
    commands = {
        "source": f"aurora status; check the instrument on host {context.site.streams[name].host}",
        "here": f"aurora status; check sensor arrivals_{name} and the runs of {name}_day in the UI",
        "archive": f"aurora ledger; check the runs of push_{name} and verify_{name} in the UI",
        "product": f"check the runs of {job} in the UI",
    }
    return commands["source" if is_silent and first.component == "here" else first.component]
