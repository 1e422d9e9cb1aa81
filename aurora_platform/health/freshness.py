"""How new the newest data is: of each stream at its source, here and in the archive, and of each product.

By the time of the data, never by when something was done: a backfill of an old day makes nothing fresh.
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
from aurora_platform.health.assessment import age, rate_age
from aurora_platform.health.models import Freshness, Level, Manifest
from aurora_platform.layout import WXCAM, Layout
from aurora_platform.streams.classify import Classifier, Directories
from aurora_platform.streams.state import state_of
from aurora_platform.transport.listing import LocalSource

Component = Literal["source", "here", "archive", "product"]

_MISSED = 3  # looks; a source that was not looked at for longer is not known
# Hourly products follow their hour by so long: it has to close, and its last file to settle.
_PRODUCT_LAG = timedelta(hours=2)


def all_freshness(
    site: Site, products: Mapping[str, datetime | None], now: datetime | None = None
) -> Iterator[Freshness]:
    """Every stream in its places, and every product."""
    now = now or datetime.now(UTC)
    yield from measure_all_streams(site, now)
    yield from measure_products(site, products, now)


def age_class(one: Freshness) -> int:
    """A number that changes as rarely as anybody would want to hear of it: at thirds of the bound, then doublings."""
    if one.age_s is None:
        return -1
    share = one.age_s / one.stale_after_s
    return int(share * 3) if share < 1 else 3 + int(math.log2(share))


def measure_all_streams(site: Site, now: datetime) -> Iterator[Freshness]:
    """Each stream in its two or three places."""
    summaries = read_summary(site)
    for name in site.streams:
        yield from measure_stream(site, name, summaries, now)


def measure_stream(site: Site, name: str, summaries: Mapping[str, Manifest], now: datetime) -> Iterator[Freshness]:
    """One stream in its two or three places."""
    stream = site.streams[name]
    yield measure_source(site, name, stream, now)
    yield here(site, name, stream, now)
    if site.archive is not None:
        yield measure_archive(name, stream, summaries.get(name), now)


def unknown_stream_freshness(site: Site, name: str, why: str) -> Iterator[Freshness]:
    """The same of a stream at which nobody could look."""
    places: tuple[Component, ...] = ("source", "here", "archive") if site.archive is not None else ("source", "here")
    for place in places:
        yield _unknown(f"{name} {place}", place, name, site.streams[name], None, None, why)


def unknown_product_freshness(site: Site, why: str) -> Iterator[Freshness]:
    """All products, where nobody could ask for them."""
    if (stream := site.streams.get(WXCAM)) is not None:
        yield _unknown(f"{WXCAM} products", "product", WXCAM, stream, None, None, why)


def measure_source(site: Site, name: str, stream: Stream, now: datetime) -> Freshness:
    """By what the arrival sensor saw last; unknown where it could not see."""
    state = state_of(Layout.of(site).freshness(name))
    newest = None if state.newest is None else state.newest - state.skew
    if planned := _planned(stream, now):
        return _gray(f"{name} source", "source", name, stream, newest, planned)
    last_look = state.seen_at or 0.0
    unseen_for = now.timestamp() - last_look
    if state.failed_since is not None or unseen_for > _MISSED * site.live.every.total_seconds():
        since = state.failed_since or state.seen_at
        why = state.why or "nothing looks at it: is its arrival sensor on?"
        return _unknown(f"{name} source", "source", name, stream, newest, since, why)
    return _aged(f"{name} source", "source", name, stream, newest, now)


def here(site: Site, name: str, stream: Stream, now: datetime) -> Freshness:
    """By the files of the live window here."""
    planned = _planned(stream, now)
    try:
        newest = find_newest_local(stream, Layout.of(site).raw_root(name), stream.live_from(now), now.date())
    except (HostError, OSError) as error:
        return _unknown(f"{name} here", "here", name, stream, None, None, str(error))
    if planned:
        return _gray(f"{name} here", "here", name, stream, newest, planned)
    return _aged(f"{name} here", "here", name, stream, newest, now)


def measure_archive(name: str, stream: Stream, manifest: Manifest | None, now: datetime) -> Freshness:
    """By the newest manifests: what was listed there."""
    newest = manifest.gws_newest_utc.timestamp() if manifest and manifest.gws_newest_utc else None
    if planned := _planned(stream, now):
        return _gray(f"{name} archive", "archive", name, stream, newest, planned)
    if manifest is None or manifest.generated_at_utc is None:
        why = "; ".join(manifest.errors.values()) if manifest else ""
        return _unknown(f"{name} archive", "archive", name, stream, None, None, why or "it was never verified")
    if "gws" in manifest.errors:
        since = manifest.generated_at_utc.timestamp() if manifest.generated_at_utc else None
        return _unknown(f"{name} archive", "archive", name, stream, newest, since, manifest.errors["gws"])
    return _aged(f"{name} archive", "archive", name, stream, newest, now)


def measure_products(site: Site, newest: Mapping[str, datetime | None], now: datetime) -> Iterator[Freshness]:
    """Each product of the camera, by the time of its newest data (asset key with slashes -> time)."""
    stream = site.streams.get(WXCAM)
    if stream is None:
        return
    for product, time in newest.items():
        seconds = None if time is None else time.timestamp()
        if planned := _planned(stream, now):
            yield _gray(product, "product", WXCAM, stream, seconds, planned)
        else:
            yield _aged(product, "product", WXCAM, stream, seconds, now, lag=_PRODUCT_LAG)


def find_newest_local(stream: Stream, raw_root: Path, first: date, last: date) -> float | None:
    """mtime of the newest local file of some days, in s since epoch."""
    if first > last or not raw_root.is_dir():
        return None
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    placed = Directories(stream, days)
    listing = placed.listing(LocalSource(), str(raw_root))
    classify, newest = Classifier(stream, placed, listing.clock_ns), None
    for entry in listing.entries:
        judged = classify(entry)
        if judged.file is not None and judged.day is not None and judged.day >= first:
            newest = max(newest or 0, judged.file.version.mtime_ns)
    return None if newest is None else newest / 1e9


def read_summary(site: Site) -> dict[str, Manifest]:
    """The newest manifests' counts, as they are published; empty where there are none.

    What is not readable is a manifest without counts that says why.
    """
    place = Layout.of(site).finalizations.summary
    try:
        streams: dict[str, Any] = dict(json.loads(place.read_bytes())["streams"])
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        return {name: unreadable_manifest(name, f"summary.json: {type(error).__name__}") for name in site.streams}
    now = datetime.now(UTC)
    return {name: _manifest(name, counts, now) for name, counts in streams.items()}


def unreadable_manifest(stream: str, why: str) -> Manifest:
    """The manifests of a stream that could not be read."""
    return Manifest(stream=stream, errors={"manifests": why})


def _manifest(name: str, counts: Any, now: datetime) -> Manifest:
    try:
        manifest = Manifest.model_validate({**counts, "stream": name})
        made = manifest.generated_at_utc
        seconds = None if made is None else max(0.0, (now - made).total_seconds())
    except (ValueError, TypeError):  # a line of another program, or a time without a zone
        return unreadable_manifest(name, "summary.json: its counts are not as they should be")
    return manifest.model_copy(update={"age_s": seconds})


def _planned(stream: Stream, now: datetime) -> str:
    """That a stream is to be off now; empty where it is not."""
    if not stream.enabled:
        return "planned offline"
    return f"planned to begin on {stream.start}" if stream.start > now.date() else ""


def _aged(
    name: str,
    component: Component,
    stream_name: str,
    stream: Stream,
    newest: float | None,
    now: datetime,
    lag: timedelta = timedelta(0),
) -> Freshness:
    allowed = (stream.stale_after + lag).total_seconds()
    seconds = None if newest is None else max(0.0, now.timestamp() - newest)
    level = rate_age(seconds, allowed)
    said = {Level.GREEN: "fresh", Level.AMBER: "ageing", Level.RED: "STALE"}[level]
    sentence = f"{said}: " + ("nothing in the live window" if seconds is None else f"newest data {age(seconds)} old")
    stale_since = None if newest is None or level is not Level.RED else _time(newest + allowed)
    return Freshness(
        name=name,
        component=component,
        stream=stream_name,
        newest_utc=_time(newest),
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
    when = f"since {_time(since):%Y-%m-%d %H:%M:%S} UTC" if since else "so far"
    unknown = _gray(name, component, stream_name, stream, newest, f"unknown {when}: {why}")
    return unknown.model_copy(update={"since_utc": _time(since)})


def _gray(
    name: str, component: Component, stream_name: str, stream: Stream, newest: float | None, sentence: str
) -> Freshness:
    return Freshness(
        name=name,
        component=component,
        stream=stream_name,
        newest_utc=_time(newest),
        stale_after_s=stream.stale_after.total_seconds(),
        level=Level.GRAY,
        sentence=sentence,
    )


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(round(seconds), UTC)
