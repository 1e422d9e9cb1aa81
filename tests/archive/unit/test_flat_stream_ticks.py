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
from aurora_platform.config.hosts import SshHost
from aurora_platform.config.site import Site
from aurora_platform.fs.versions import FileVersion, ScannedEntry
from aurora_platform.health.freshness import measure_local
from aurora_platform.layout import Layout, raw_group
from aurora_platform.mirror.scan import scan
from aurora_platform.transport.connections import Connections
from aurora_platform.transport.name_store import NameStore
from tests.archive.parts import MET, Observatory
from tests.directory_readings import pass_a_clock_tick, readings

NOW = datetime.now(UTC)
TODAY = NOW.date()
WINDOW = [TODAY - timedelta(days=n) for n in (2, 1, 0)]
WITHIN = timedelta(seconds=40)
NO_HOST = SshHost(address="127.0.0.9", user="nobody", auth="none")
"""The archive's host; a tick does not connect to it."""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A site with a flat stream on a host of kind ``local``, 300 days mirrored and copied to the archive."""
    monkeypatch.setattr("aurora_platform.transport.name_store._QUIET_NS", 0)  # it was written just now
    source, local = tmp_path / "source", tmp_path / "raw" / "met"
    met = MET | {"path": str(source), "include": ["*.csv"], "day_names": ["*_%Y%m%d.*"], "settle": "0s"}
    site = Observatory(tmp_path, (NO_HOST,), streams={"met": met}).site
    for root in (source, local):
        root.mkdir(parents=True)
        for n in range(300):
            write(root, TODAY - timedelta(days=n))
    items = [_item(site, day) for day in WINDOW]
    with Records(site).ledger() as ledger:
        ledger.offer("gws", raw_group("met"), items)
        assert ledger.mark_copied("gws", [ScannedEntry(item.remote_path, item.version) for item in items]) == 3
    return site


def midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def write(root: Path, day: date, content: bytes = b"x") -> Path:
    """Write the file of a day."""
    path = root / f"met_{day:%Y%m%d}.csv"
    path.write_bytes(content)
    os.utime(path, (midnight(day).timestamp(),) * 2)
    return path


def _item(site: Site, day: date) -> Item:
    path, archive = local(site) / f"met_{day:%Y%m%d}.csv", site.archive
    assert archive is not None
    return Item(str(path), f"{archive.raw}/met/{path.name}", FileVersion.of(path.lstat()), day)


def local(site: Site) -> Path:
    return Layout.of(site).raw_root("met")


def push_tick(site: Site) -> list[date]:
    """Evaluate the tick of a push; return the days that it found."""
    pass_a_clock_tick()  # since the test has changed the directory
    with Records(site).ledger() as ledger:
        return list(backlog.raw_push(site, "met", ledger, WINDOW).days)


def newest(site: Site) -> datetime | None:
    """The newest local file, as the freshness sensor and `aurora status` find it."""
    store = NameStore(site.paths.state, is_writable=True)
    freshness = measure_local(site, "met", site.streams["met"], NOW, store)
    status = find_newest_local(site, "met", NOW, WITHIN)
    assert status.is_complete
    assert freshness.newest_utc == status.newest
    return status.newest


def missing_at_arrivals(site: Site) -> int:
    """Scan as the arrival sensor does; return the number of missing files."""
    stream = site.streams["met"]
    connections = Connections.of(site).but(names=NameStore(site.paths.state, is_writable=True))
    return scan(stream, connections.source(site.hosts["here"]), local(site), WINDOW, WITHIN).missing


def test_a_directory_that_did_not_change_is_read_once_by_all_ticks(site: Site) -> None:
    with readings(local(site)) as read, readings(Path(site.streams["met"].path)) as read_at_source:
        for _ in range(3):
            assert push_tick(site) == []
            assert newest(site) == midnight(TODAY)
            assert missing_at_arrivals(site) == 0
    assert read == ["."]
    assert read_at_source == ["."]


def test_a_new_file_is_seen_by_every_tick(site: Site) -> None:
    local_root, source = local(site), Path(site.streams["met"].path)
    for root in (local_root, source):
        (root / f"met_{TODAY:%Y%m%d}.csv").unlink()
    assert (push_tick(site), newest(site), missing_at_arrivals(site)) == ([], midnight(WINDOW[1]), 0)
    write(source, TODAY)
    assert (push_tick(site), newest(site), missing_at_arrivals(site)) == ([], midnight(WINDOW[1]), 1)
    write(local_root, TODAY, b"new")
    assert (push_tick(site), newest(site), missing_at_arrivals(site)) == ([TODAY], midnight(TODAY), 1)


@pytest.mark.parametrize("way", ["in place", "renamed over"])
def test_a_file_that_grew_or_was_replaced_is_seen_by_every_tick(site: Site, way: str) -> None:
    assert (push_tick(site), missing_at_arrivals(site)) == ([], 0)
    path = local(site) / f"met_{WINDOW[1]:%Y%m%d}.csv"
    if way == "in place":
        with path.open("ab") as file:
            file.write(b"more")
    else:
        other = path.with_name(".other")
        other.write_bytes(b"more")
        other.replace(path)
    os.utime(path, (midnight(TODAY).timestamp() + 60,) * 2)
    assert (push_tick(site), newest(site)) == ([WINDOW[1]], midnight(TODAY) + timedelta(minutes=1))
    assert missing_at_arrivals(site) == 1


def test_a_deleted_file_is_seen_by_every_tick(site: Site) -> None:
    assert (push_tick(site), newest(site), missing_at_arrivals(site)) == ([], midnight(TODAY), 0)
    (local(site) / f"met_{TODAY:%Y%m%d}.csv").unlink()
    assert (push_tick(site), newest(site), missing_at_arrivals(site)) == ([], midnight(WINDOW[1]), 1)
