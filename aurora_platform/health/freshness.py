"""The freshness of data: the age of the newest data per stream (at its source, local, in the archive) and per product.

Ages are computed from the time of the data, never from the time of a run: a backfill of an old day makes nothing fresh.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from aurora_platform.config.site import Site
from aurora_platform.config.streams import Stream
from aurora_platform.errors import HostError
from aurora_platform.health.age_limits import limits_of
from aurora_platform.health.assessment import rate_age
from aurora_platform.health.models import Freshness, Level, Manifest
from aurora_platform.layout import WXCAM, Layout
from aurora_platform.streams.classify import Classifier, Directories
from aurora_platform.streams.state import read_source_state
from aurora_platform.text import format_age
from aurora_platform.transport.listing import LocalSource
from aurora_platform.transport.name_store import NameStore

Component = Literal["source", "here", "archive", "product"]

_MAX_MISSED_POLLS = 3  # a source that was not polled for longer is unknown


def all_freshness(
    site: Site, products: Mapping[str, datetime | None], now: datetime | None = None, names: NameStore | None = None
) -> Iterator[Freshness]:
    """Yield the freshness of every stream (source, local, archive) and of every product.

    ``names`` are the stored names of local directories; without it, nothing is stored.
    """
    now = now or datetime.now(UTC)
    summaries = read_summary(site)
    for name in site.streams:
        yield from measure_stream(site, name, summaries, now, names)
    yield from measure_products(site, products, now)


def age_class(freshness: Freshness) -> int:
    """Return a class of the age that changes rarely: at each third of ``stale_after``, then at each doubling."""
    if freshness.age_s is None:
        return -1
    share = freshness.age_s / freshness.stale_after_s
    return int(share * 3) if share < 1 else 3 + int(math.log2(share))


def measure_stream(
    site: Site, name: str, summaries: Mapping[str, Manifest], now: datetime, names: NameStore | None = None
) -> Iterator[Freshness]:
    """Measure a stream at its source, local, and in the archive if the site has one."""
    stream = site.streams[name]
    yield measure_source(site, name, stream, now)
    yield measure_local(site, name, stream, now, names)
    if site.archive is not None:
        yield measure_archive(name, stream, summaries.get(name), now)


def unknown_stream_freshness(site: Site, name: str, why: str) -> Iterator[Freshness]:
    """Return the freshness of a stream that could not be measured."""
    components: tuple[Component, ...] = (
        ("source", "here", "archive") if site.archive is not None else ("source", "here")
    )
    for component in components:
        yield _unknown(f"{name} {component}", component, name, site.streams[name], None, None, why)


def unknown_product_freshness(site: Site, why: str) -> Iterator[Freshness]:
    """Return the freshness of all products when Dagster's records could not be read."""
    if (stream := site.streams.get(WXCAM)) is not None:
        yield _unknown(f"{WXCAM} products", "product", WXCAM, stream, None, None, why)


def measure_source(site: Site, name: str, stream: Stream, now: datetime) -> Freshness:
    """Measure a source by the last poll of the arrival sensor; unknown if it failed or is too long ago."""
    state = read_source_state(Layout.of(site).freshness(name))
    newest = None if state.newest is None else state.newest - state.skew
    if planned := _planned_offline(stream, now):
        return _gray(f"{name} source", "source", name, stream, newest, planned)
    seconds_since_poll = now.timestamp() - (state.seen_at or 0.0)
    if state.failed_since is not None or seconds_since_poll > _MAX_MISSED_POLLS * site.live.every.total_seconds():
        since = state.failed_since or state.seen_at
        why = state.why or "the source is not polled; is its arrival sensor on?"
        return _unknown(f"{name} source", "source", name, stream, newest, since, why)
    return _rated(f"{name} source", "source", name, stream, newest, now)


def measure_local(site: Site, name: str, stream: Stream, now: datetime, names: NameStore | None = None) -> Freshness:
    """Measure the local files of the live window."""
    planned, names = _planned_offline(stream, now), names or NameStore(site.paths.state)
    try:
        newest = find_newest_local(stream, Layout.of(site).raw_root(name), stream.live_from(now), now.date(), names)
    except (HostError, OSError) as error:
        return _unknown(f"{name} here", "here", name, stream, None, None, str(error))
    if planned:
        return _gray(f"{name} here", "here", name, stream, newest, planned)
    return _rated(f"{name} here", "here", name, stream, newest, now)


def measure_archive(name: str, stream: Stream, manifest: Manifest | None, now: datetime) -> Freshness:
    """Measure the archive by the newest manifests."""
    newest = manifest.gws_newest_utc.timestamp() if manifest and manifest.gws_newest_utc else None
    if planned := _planned_offline(stream, now):
        return _gray(f"{name} archive", "archive", name, stream, newest, planned)
    if manifest is None or manifest.generated_at_utc is None:
        why = "; ".join(manifest.errors.values()) if manifest else ""
        return _unknown(f"{name} archive", "archive", name, stream, None, None, why or "never verified")
    if "gws" in manifest.errors:
        since = manifest.generated_at_utc.timestamp() if manifest.generated_at_utc else None
        return _unknown(f"{name} archive", "archive", name, stream, newest, since, manifest.errors["gws"])
    return _rated(f"{name} archive", "archive", name, stream, newest, now)


def measure_products(site: Site, newest: Mapping[str, datetime | None], now: datetime) -> Iterator[Freshness]:
    """Measure each product of the camera; ``newest`` is the time of its newest data, by asset key with slashes."""
    stream = site.streams.get(WXCAM)
    if stream is None:
        return
    for product, time in newest.items():
        seconds = None if time is None else time.timestamp()
        if planned := _planned_offline(stream, now):
            yield _gray(product, "product", WXCAM, stream, seconds, planned)
        else:
            yield _rated(product, "product", WXCAM, stream, seconds, now)


def find_newest_local(
    stream: Stream, raw_root: Path, first: date, last: date, names: NameStore | None = None
) -> float | None:
    """Return the mtime of the newest local file from ``first`` to ``last``, in s since epoch."""
    if first > last or not raw_root.is_dir():
        return None
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    directories = Directories(stream, days)
    listing = directories.list_source(LocalSource(store=names), str(raw_root))
    classify, newest = Classifier(stream, directories, listing.clock_ns), None
    for entry in listing.entries:
        classified = classify(entry)
        if classified.file is not None and classified.day is not None and classified.day >= first:
            newest = max(newest or 0, classified.file.version.mtime_ns)
    return None if newest is None else newest / 1e9


def read_summary(site: Site) -> dict[str, Manifest]:
    """Read the counts of the newest verification of each stream; empty if there is none.

    They are in the state file of the stream, or, if it is missing or older, in the published ``summary.json``. A
    stream's manifests are as old as the older of its verification and the publication. If ``summary.json`` is
    unreadable, each stream has a manifest without counts, with the reason.
    """
    layout, now = Layout.of(site), datetime.now(UTC)
    try:
        summary: dict[str, Any] = json.loads(layout.finalizations.summary.read_bytes())
        streams: dict[str, Any] = dict(summary["streams"])
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        return {name: unreadable_manifest(name, f"summary.json: {type(error).__name__}") for name in site.streams}
    published = {name: _parse_manifest(name, counts, now) for name, counts in streams.items()}
    passed = {name: manifest for name in site.streams if (manifest := _read_pass(layout, name, now)) is not None}
    age_s = _age_of(summary.get("generated_at_utc"), now)
    return {name: _newer(published.get(name), passed.get(name), age_s) for name in published | passed}


def _read_pass(layout: Layout, name: str, now: datetime) -> Manifest | None:
    """Read the state file of a stream; None if it is missing or damaged: the published counts are used instead."""
    try:
        manifest = _parse_manifest(name, json.loads(layout.pass_counts(name).read_bytes()), now)
    except (OSError, ValueError, RecursionError):
        return None
    return None if manifest.age_s is None else manifest


def _newer(published: Manifest | None, passed: Manifest | None, publication_age_s: float | None) -> Manifest:
    """Return the newer counts, with the greater age of verification and publication."""
    if passed is None or (published is not None and _is_newer(published, passed)):
        assert published is not None  # one of the two is given
        return published
    ages = [age for age in (passed.age_s, publication_age_s) if age is not None]
    return passed.model_copy(update={"age_s": max(ages)})


def _is_newer(one: Manifest, other: Manifest) -> bool:
    return one.age_s is not None and other.age_s is not None and one.age_s < other.age_s


def _age_of(text: Any, now: datetime) -> float | None:
    """Return the age of a time in ISO 8601, s; None if it is not valid."""
    try:
        return max(0.0, (now - datetime.fromisoformat(text)).total_seconds())
    except (ValueError, TypeError):
        return None


def unreadable_manifest(stream: str, why: str) -> Manifest:
    """Return the manifest entry of a stream whose manifests could not be read."""
    return Manifest(stream=stream, errors={"manifests": why})


def _parse_manifest(name: str, counts: Any, now: datetime) -> Manifest:
    try:
        manifest = Manifest.model_validate({**counts, "stream": name})
        generated = manifest.generated_at_utc
        seconds = None if generated is None else max(0.0, (now - generated).total_seconds())
    except (ValueError, TypeError):  # an entry of another program, or a time without a zone
        return unreadable_manifest(name, "summary.json: invalid counts")
    return manifest.model_copy(update={"age_s": seconds})


def _planned_offline(stream: Stream, now: datetime) -> str:
    """Return why a stream is planned offline; empty if it is not. :func:`is_planned_offline` reads this text."""
    if not stream.enabled:
        return "planned offline"
    return f"planned to begin on {stream.start}" if stream.start > now.date() else ""


def _rated(
    name: str,
    component: Component,
    stream_name: str,
    stream: Stream,
    newest: float | None,
    now: datetime,
) -> Freshness:
    allowed = limits_of(stream, is_product=component == "product")[1].total_seconds()
    seconds = None if newest is None else max(0.0, now.timestamp() - newest)
    level = rate_age(seconds, allowed)
    state = {Level.GREEN: "fresh", Level.AMBER: "ageing", Level.RED: "STALE"}[level]
    sentence = f"{state}: " + (
        "no data in the live window" if seconds is None else f"newest data {format_age(seconds)} old"
    )
    stale_since = None if newest is None or level is not Level.RED else _utc(newest + allowed)
    return Freshness(
        name=name,
        component=component,
        stream=stream_name,
        newest_utc=_utc(newest),
        age_s=None if seconds is None else round(seconds, 1),
        stale_after_s=allowed,
        level=level,
        sentence=sentence,
        since_utc=stale_since,
    )


def _unknown(
    name: str,
    component: Component,
    stream_name: str,
    stream: Stream,
    newest: float | None,
    since: float | None,
    why: str,
) -> Freshness:
    when = f" since {_utc(since):%Y-%m-%d %H:%M:%S} UTC" if since else ""
    unknown = _gray(name, component, stream_name, stream, newest, f"unknown{when}: {why}")
    return unknown.model_copy(update={"since_utc": _utc(since)})


def _gray(
    name: str, component: Component, stream_name: str, stream: Stream, newest: float | None, sentence: str
) -> Freshness:
    return Freshness(
        name=name,
        component=component,
        stream=stream_name,
        newest_utc=_utc(newest),
        stale_after_s=stream.stale_after.total_seconds(),
        level=Level.GRAY,
        sentence=sentence,
    )


def _utc(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(round(seconds), UTC)
