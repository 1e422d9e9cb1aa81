"""Healthy snapshots of a site with two streams, and functions that make parts of them bad."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aurora_platform.config.health import Alerts
from aurora_platform.health.alert_rules import SnapshotFile
from aurora_platform.health.alerts import Alerting
from aurora_platform.health.models import (
    Daemon,
    Filesystem,
    Freshness,
    Level,
    Manifest,
    Platform,
    Snapshot,
    Software,
)
from tests.patience import in_site_file

START = datetime(2026, 3, 2, tzinfo=UTC)
MINUTES = timedelta(minutes=1)
HOURS = timedelta(hours=1)
STREAMS = ("cl61", "wxcam")


def settings(port: int = 25, **changes: Any) -> Alerts:
    given = {
        "to": ["operator@example.org"],
        "sender": "aurora@example.org",
        "transport": "smtp",
        "smtp": {"port": port},
        "within": in_site_file(20),
    }
    return Alerts.model_validate(given | changes)


def alerting(home: Path, chosen: Alerts, **more: Any) -> Alerting:
    """The alerts as a program has them that was just started: their only memory is state.json."""
    return Alerting("demo", chosen, home / "alerts", home / "locks", **more)


def healthy_snapshot(at: datetime, **changes: Any) -> Snapshot:
    """A snapshot without problems; ``changes`` replace fields."""
    fields: dict[str, Any] = {
        "generated_at_utc": at,
        "site": "demo",
        "seconds": 1.0,
        "filesystems": [disk("raw", 40), disk("products", 50)],
        "freshness": [
            fresh(stream, component, Level.GREEN) for stream in STREAMS for component in ("source", "here", "archive")
        ],
        "manifests": [manifest(stream) for stream in STREAMS],
        "platform": Platform(daemons=[Daemon(name="SCHEDULER", healthy=True, last_heartbeat_utc=at)]),
        "software": Software(version="1", python="3.12", dagster="1"),
    }
    return Snapshot(**(fields | changes))


def healthy_file(at: datetime, **changes: Any) -> SnapshotFile:
    return SnapshotFile("latest.json", healthy_snapshot(at, **changes))


def disk(name: str, percent: float | None, inodes: float | None = 10) -> Filesystem:
    error = "its host does not answer" if percent is None else None
    return Filesystem(name=name, path=f"/{name}", used_percent=percent, inodes_used_percent=inodes, error=error)


def fresh(stream: str, component: Any, level: Level, since: datetime | None = None, sentence: str = "") -> Freshness:
    return Freshness(
        name=f"{stream} {component}",
        component=component,
        stream=stream,
        stale_after_s=5400,
        level=level,
        sentence=sentence or {Level.RED: "STALE: newest data 2 h old", Level.GRAY: "unknown"}.get(level, "fresh"),
        since_utc=since,
    )


def offline(stream: str) -> list[Freshness]:
    return [
        fresh(stream, component, Level.GRAY, None, "planned offline") for component in ("source", "here", "archive")
    ]


def manifest(stream: str, age: timedelta = 5 * MINUTES, missing: int = 0) -> Manifest:
    return Manifest(
        stream=stream, age_s=age.total_seconds(), local_count=10, gws_count=10 - missing, gws_missing_count=missing
    )


def stale(*streams: str, rest: Sequence[str] = STREAMS) -> list[Freshness]:
    """Freshness of all streams, with the sources of some stale."""
    found = [fresh(stream, component, Level.GREEN) for stream in rest for component in ("here", "archive")]
    return found + [fresh(stream, "source", Level.RED if stream in streams else Level.GREEN) for stream in rest]
