"""The ticks of a flat stream share what they know of its local directory, and none of them overlooks a file."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from aurora_cli.status import find_newest_local
from aurora_platform.archive import backlog
from aurora_platform.archive.ledger import Item
from aurora_platform.archive.stores import Records
from aurora_platform.config.site import Site
from aurora_platform.fs.versions import FileVersion
from aurora_platform.health.freshness import measure_local
from aurora_platform.layout import Layout, raw_group
from aurora_platform.mirror.scan import scan
from aurora_platform.transport.connections import Connections
from aurora_platform.transport.name_store import NameStore
from tests.archive.parts import MET, Observatory

NOW = datetime.now(UTC)
TODAY = NOW.date()
WINDOW = [TODAY - timedelta(days=n) for n in (2, 1, 0)]
LOOK = timedelta(seconds=40)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A site with a flat stream on a host of kind ``local``, 300 days mirrored and copied to the archive."""
    monkeypatch.setattr("aurora_platform.transport.name_store._QUIET_NS", 0)  # it was written just now
    source, local = tmp_path / "source", tmp_path / "raw" / "met"
    met = MET | {"path": str(source), "include": ["*.csv"], "day_names": ["*_%Y%m%d.*"], "settle": "0s"}
    site = Observatory(tmp_path, (), streams={"met": met}).site
    for root in (source, local):
        root.mkdir(parents=True)
        for n in range(300):
            write(root, TODAY - timedelta(days=n))
    with Records(site).ledger() as ledger:
        ledger.mark_copied("gws", raw_group("met"), [_item(site, day) for day in WINDOW])
    return site


def write(root: Path, day: date, content: bytes = b"x") -> Path:
    path = root / f"met_{day:%Y%m%d}.csv"
    path.write_bytes(content)
    noon = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
    os.utime(path, (noon, noon))
    return path


def _item(site: Site, day: date) -> Item:
    path, archive = local(site) / f"met_{day:%Y%m%d}.csv", site.archive
    assert archive is not None
    return Item(str(path), f"{archive.raw}/met/{path.name}", FileVersion.of(path.lstat()), day)


def local(site: Site) -> Path:
    return Layout.of(site).raw_root("met")


def push_tick(site: Site) -> list[date]:
    with Records(site).ledger() as ledger:
        return list(backlog.raw_push(site, "met", ledger, WINDOW).days)


def newest(site: Site) -> datetime | None:
    """The newest local file, as the freshness sensor and `aurora status` find it."""
    store = NameStore(site.paths.state, is_writable=True)
    freshness = measure_local(site, "met", site.streams["met"], NOW, store)
    status = find_newest_local(site, "met", NOW, LOOK)
    assert status.is_complete
    assert freshness.newest_utc == status.newest
    return status.newest


def missing_at_arrivals(site: Site) -> int:
    stream = site.streams["met"]
    connections = Connections.of(site).but(names=NameStore(site.paths.state, is_writable=True))
    return scan(stream, connections.source(site.hosts["here"]), local(site), WINDOW, LOOK).missing
