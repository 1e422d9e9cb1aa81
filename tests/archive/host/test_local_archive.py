"""An archive in directories of this machine holds what an archive behind SSH holds, and its disk is checked first.

More of the first: tests with `[local]` in their name, and ``tests/aurora_cli/host/test_local_archive.py``.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from aurora_platform.archive.locations import places_of
from aurora_platform.archive.push_plan import Pushing, push_finalizations
from aurora_platform.archive.rebuild_ledger import rebuild
from aurora_platform.archive.reports import VerifyOutcome
from aurora_platform.archive.retention import RetireReport, retire
from aurora_platform.archive.stores import Records
from aurora_platform.archive.verify_days import Place
from aurora_platform.config.archive import Retention
from aurora_platform.errors import ArchiveError, HostError, HostRefusedError
from aurora_platform.layout import ArchiveLayout, Layout, Side
from aurora_platform.transport.connections import Connections
from aurora_platform.transport.protocols import ArchiveHost
from tests.archive.parts import LOG
from tests.archive.places import DAY, STREAM, Observatory
from tests.archive.pushed import PushedSite
from tests.disks import tmpfs, with_mounts

NAME = "0/met_20260305_000.csv"


def site_with(tmp_path: Path, **host: Any) -> PushedSite:
    """A site whose archive is the directory ``far`` of this machine."""
    site = PushedSite(tmp_path, archive={"hosts": [{"kind": "local", **host}]})
    assert site.site.archive is not None
    site.hosts = site.site.archive.hosts
    return site


@pytest.fixture
def site(tmp_path: Path) -> PushedSite:
    return site_with(tmp_path, same_disk=True)


def places(site: Observatory) -> dict[Side, Sequence[Any]]:
    """The three places as the platform reaches them."""
    return dict(places_of(site.site, STREAM, Connections.of(site.site)))


def verify(site: Observatory) -> VerifyOutcome:
    return site.verify_and_publish(places=places(site))


def finalize(site: PushedSite) -> list[str]:
    names = site.fill(sides=["source", "local"])
    assert site.push().files == len(names)
    assert verify(site).report.days[0].verdict.is_final
    return names


def retire_all(site: PushedSite) -> RetireReport:
    records = Records(site.site.model_copy(update={"retention": Retention(raw={STREAM: timedelta(days=30)})}))
    [local], [archive] = places(site)["local"], places(site)["gws"]
    return retire(records, STREAM, local, archive, dry_run=False)


def test_a_day_is_pushed_verified_and_finalized_and_its_finalization_is_copied(site: PushedSite) -> None:
    names = site.fill(sides=["source", "local"])
    assert site.push().host == "this machine"
    report = verify(site).report
    assert (report.hosts["gws"], report.days[0].verdict.is_final) == ("this machine", True)
    local, archived = (site.place(side, NAME).stat() for side in ("local", "gws"))
    assert (archived.st_size, archived.st_mtime_ns) == (local.st_size, local.st_mtime_ns)
    assert archived.st_ino != local.st_ino, "a copy, not a link to the same bytes"
    assert {path.name for path in site.place("gws").rglob("*.csv")} == {os.path.basename(name) for name in names}
    with site.ledger() as ledger:
        pushing = Pushing(site.site, site.archive_settings, site.archive_hosts(), ledger)
        assert sum(report.files for report in push_finalizations(site.records, pushing, STREAM, [DAY])) == 2
    [finalization] = (site.home / "far/manifests/finalized" / STREAM).glob("*.yaml")
    assert "complete: true" in finalization.read_text()
    again = site.push()
    assert (again.files, again.unchanged) == (0, len(names))


def test_old_local_copies_are_deleted_only_while_the_archive_has_the_same_bytes(site: PushedSite) -> None:
    names = finalize(site)
    site.flip("gws", NAME)
    done = retire_all(site)
    assert (done.files, {reason: count.first for reason, count in done.kept.items()}) == (
        len(names) - 1,
        {"DIFFERENT in the archive": [NAME]},
    )
    assert [path.name for path in site.place("local").rglob("*.csv")] == [os.path.basename(NAME)]


def test_a_lost_ledger_is_filled_again_from_the_directories(site: PushedSite) -> None:
    names = finalize(site)
    Layout.of(site.site).ledger.unlink()
    connections = Connections.of(site.site)
    with site.ledger() as ledger:
        sources = [connections.source(host) for host in site.hosts]
        counts = list(rebuild(site.site, site.archive_settings, ledger, sources))
    assert (f"raw/{STREAM}", len(names), len(names)) in counts


def fetch(site: PushedSite) -> bytes:
    """Fetch a file of the archive into a scratch directory."""
    [host] = site.archive_hosts()
    scratch = site.home / "scratch"
    scratch.mkdir(exist_ok=True)
    host.fetching().fetch(
        str(site.place("gws")), [NAME], scratch, site.home / "work", site.home / "work.lock", largest=1_000_000
    )
    return (scratch / NAME).read_bytes()


def test_a_file_of_the_archive_is_fetched_again(site: PushedSite) -> None:
    site.fill()
    assert fetch(site) == site.place("gws", NAME).read_bytes()


def refusals(site: PushedSite) -> dict[str, str]:
    """What a push, a verification, retention and a rebuilt ledger say about an archive that must not be used."""
    errors = {"verify": verify(site).report.errors["gws"]}
    connections = Connections.of(site.site)
    tries: dict[str, Callable[[], object]] = {
        "push": site.push,
        "retire": lambda: retire_all(site),
        "rebuild": lambda: connections.source(site.hosts[0]).list(str(site.home / "far/raw"), []),
        "fetch": lambda: fetch(site),
        "hash": lambda: connections.hasher(site.hosts[0]).checksums(str(site.place("gws")), [NAME]),
    }
    for name, act in tries.items():
        with pytest.raises((ArchiveError, HostError)) as caught:
            act()
        errors[name] = str(caught.value)
    return errors


def test_nothing_is_copied_verified_or_deleted_on_the_disk_of_the_local_copies_unless_the_site_file_allows_it(
    tmp_path: Path,
) -> None:
    names = finalize(site_with(tmp_path, same_disk=True))
    site = site_with(tmp_path)
    site.write("local", "9/met_20260305_900.csv", b"new")
    for message in refusals(site).values():
        assert "is on the same file system as the local copies in" in message
        assert "same_disk: true in archive.hosts" in message
    assert not site.place("gws", "9").exists()
    assert all(site.place("local", name).exists() for name in names)


def test_on_another_disk_nothing_has_to_be_allowed(tmp_path: Path) -> None:
    site = site_with(tmp_path)
    (tmp_path / "far/raw").rmdir()

    def push_and_verify() -> None:
        (tmp_path / "far/raw").mkdir()  # as an operator does once, on the mounted disk
        finalize(site)
        assert retire_all(site).files == 6

    with_mounts([tmpfs(tmp_path / "far", "8m")], push_and_verify)
    assert not any((tmp_path / "far").iterdir()), "all of it is on the mounted disk"


def test_an_archive_on_the_disk_of_a_single_stream_is_refused(tmp_path: Path) -> None:
    site = site_with(tmp_path)
    (tmp_path / "far/raw").rmdir()

    def push() -> str:
        for name in ("raw", "met"):
            (tmp_path / "far" / name).mkdir()
        (tmp_path / "raw/met").symlink_to(tmp_path / "far/met")
        site.fill(sides=["source", "local"])
        with pytest.raises(ArchiveError) as caught:
            site.push()
        return str(caught.value)

    message = with_mounts([tmpfs(tmp_path / "far", "8m")], push)
    assert f"is on the same file system as the local copies in {tmp_path}/raw/met" in message


def test_a_disk_that_is_unmounted_during_a_push_leaves_no_directory_that_looks_mounted(site: PushedSite) -> None:
    site.fill(sides=["source", "local"])

    @dataclass
    class Unmounting:
        """The host of the archive; its disk goes away after it was prepared."""

        host: ArchiveHost

        def __getattr__(self, name: str) -> Any:
            return getattr(self.host, name)

        def prepare(self, root: str, work: str) -> None:
            self.host.prepare(root, work)
            os.rename(root, site.home / "unmounted")

    with pytest.raises(ArchiveError, match="far/raw"):
        site.push(Unmounting)
    assert not (site.home / "far/raw").exists()


def test_an_archive_whose_disk_is_not_mounted_is_refused_and_gets_no_directory(tmp_path: Path) -> None:
    site = site_with(tmp_path, same_disk=True)
    site.fill(sides=["source", "local"])
    (tmp_path / "far/raw").rmdir()
    with pytest.raises(ArchiveError) as caught:
        site.push()
    assert f"{tmp_path}/far/raw: no such directory, so the archive's disk may not be mounted" in str(caught.value)
    assert f"mkdir -p {tmp_path}/far/raw" in str(caught.value)
    assert "no such directory" in verify(site).report.errors["gws"]
    assert not any((tmp_path / "far").iterdir())


def test_a_directory_of_the_archive_is_made_only_beside_the_raw_files_in_the_archive(tmp_path: Path) -> None:
    site = PushedSite(
        tmp_path,
        archive={"hosts": [{"kind": "local", "same_disk": True}], "products": str(tmp_path / "unmounted/a/products")},
    )
    [host] = Connections.of(site.site).archive_hosts(site.records.archive, LOG)
    layout = ArchiveLayout.of(site.records.archive)
    host.prepare(layout.manifests, ArchiveLayout.work(layout.manifests, "lane"))
    assert (tmp_path / "far/manifests/.incoming/lane/new").is_dir()
    with pytest.raises(HostRefusedError, match=f"mkdir -p {tmp_path}/unmounted/a/products"):
        host.prepare(layout.products, ArchiveLayout.work(layout.products, "lane"))
    assert not (tmp_path / "unmounted").exists()


@pytest.mark.parametrize("linked", ["raw", "raw/met", "."])
def test_an_archive_that_is_a_link_to_the_local_copies_is_refused_whatever_the_site_file_allows(
    site: PushedSite, linked: str
) -> None:
    names = site.fill(sides=["source", "local"])
    (site.home / "far/raw").rmdir()
    (site.home / "far/raw").symlink_to(site.home / linked)
    with pytest.raises(ArchiveError, match=r"shares a directory with the local copies"):
        site.push()
    with pytest.raises(HostRefusedError, match="so it is no copy"):
        places(site)["gws"][0].list([])
    assert all(site.place("local", name).exists() for name in names)


@pytest.mark.parametrize(
    ("call", "act"),
    [
        ("access", lambda host, place: host.prepare(place.root, f"{place.root}/.incoming/lane")),
        ("lstat", lambda host, place: list(host.list(place.root, ["met"]).entries)),
        ("scandir", lambda host, place: list(place.list([]).entries)),
        ("readv", lambda host, place: list(place.hasher.checksums(place.base, [NAME]))),
    ],
)
def test_a_disk_that_does_not_answer_is_a_host_that_is_down(
    site: PushedSite, monkeypatch: pytest.MonkeyPatch, call: str, act: Callable[[ArchiveHost, Place], object]
) -> None:
    site.fill()
    bounds = {"stall_seconds": 0.2, "listing_seconds": 0.2, "hashing_stall_seconds": 0.2}
    connections = Connections.of(site.site).but(**bounds)
    [host] = connections.archive_hosts(site.records.archive, LOG)
    [place] = places_of(site.site, STREAM, connections)["gws"]
    is_over = threading.Event()
    real = getattr(os, call)

    def hang(*arguments: Any, **options: Any) -> Any:
        """Wait like a call on the mount of a dead file server, in any thread but that of the test."""
        if threading.current_thread() is not threading.main_thread():
            is_over.wait()
        return real(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, call, hang)
        with pytest.raises(HostError, match="the disk does not answer within") as caught:
            act(host, place)
    is_over.set()
    assert caught.value.transient


def test_a_symlink_in_the_place_of_a_file_is_replaced_and_its_target_is_not_written(site: PushedSite) -> None:
    [name] = site.fill(1, sides=["source", "local"])
    outside = site.home / "outside"
    outside.write_bytes(b"keep")
    site.place("gws", name).parent.mkdir(parents=True)
    site.place("gws", name).symlink_to(outside)
    assert site.push().files == 1
    assert outside.read_bytes() == b"keep"
    assert site.place("gws", name).read_bytes() == site.place("local", name).read_bytes()
    assert not site.place("gws", name).is_symlink()


def test_a_full_disk_ends_the_push_with_its_reason_and_no_file_is_half(tmp_path: Path) -> None:
    site = site_with(tmp_path)
    (tmp_path / "far/raw").rmdir()

    def push() -> str:
        (tmp_path / "far/raw").mkdir()
        site.fill(1, sides=["source", "local"])
        site.write("local", "9/met_20260305_900.csv", os.urandom(3 << 20))
        with pytest.raises(ArchiveError) as caught:
            site.push()
        assert not site.place("gws", "9/met_20260305_900.csv").exists()
        return str(caught.value)

    message = with_mounts([tmpfs(tmp_path / "far", "1m")], push)
    assert "rsync could not write in the archive: " in message
    assert "No space left on device" in message
