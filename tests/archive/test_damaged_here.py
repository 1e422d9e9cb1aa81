"""A local file that is not what its day was finalized with never takes the place of the archive's good copy."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aurora_assets.archive import due
from aurora_assets.archive.compare import Class
from aurora_assets.archive.ledger import Item, Ledger
from aurora_assets.archive.pushes import Pushing
from aurora_assets.archive.repair import Cure, plan_repair
from aurora_assets.hosts import SshHost
from resources.archive import ArchiveResource
from resources.rsync import RsyncResource
from resources.shell import ShellResource
from resources.ssh import SshResource
from tests.archive.parts import LOG, adds_up
from tests.archive.places import DAY, STREAM, Observatory


class Site(Observatory):
    """Three places, and real pushes between two of them."""

    host: SshHost

    def push(self) -> object:
        ssh = SshResource(known_hosts=str(self.home / "known_hosts"), connect_seconds=5, listing_seconds=20)
        rsync = RsyncResource(shell=ShellResource(), ssh=ssh, stall_seconds=20, transfer_seconds=60)
        archive = self.records.archive.model_copy(update={"hosts": (self.host,)})
        with self.records.ledger() as ledger:
            hosts = ArchiveResource(rsync=rsync).hosts(archive, LOG)
            return Pushing(self.site, archive, hosts, ledger).raw(STREAM, [DAY])

    def due(self) -> due.Due:
        with self.records.ledger() as ledger:
            return due.raw_push(self.site, STREAM, ledger, [DAY])

    def ledger(self) -> Ledger:
        return self.records.ledger()


@pytest.fixture
def site(tmp_path: Path, hosts: tuple[SshHost, ...]) -> Site:
    """A day of six files that is finalized, and that the source has pruned since."""
    site = Site(tmp_path)
    site.host = hosts[0]
    names = site.fill(sides=["source", "local"])
    assert site.push().files == len(names)
    assert site.certify().report.days[0].verdict.is_final
    for name in names:
        site.place("source", name).unlink()
    return site


def cut(place: Path) -> None:
    os.truncate(place, 3)


def empty(place: Path) -> None:
    place.write_bytes(b"")


def rewrite(place: Path) -> None:
    place.write_bytes(bytes(reversed(place.read_bytes())))


def touch(place: Path) -> None:
    os.utime(place)


def test_files_that_were_damaged_here_after_their_source_had_pruned_them_are_gaps_here_and_are_not_sent(
    site: Site,
) -> None:
    damages = {"0/met_20260305_000.csv": cut, "1/met_20260305_001.csv": empty}
    damages |= {"2/met_20260305_002.csv": rewrite, "0/met_20260305_003.csv": touch}
    good = {name: site.place("gws", name).read_bytes() for name in damages}
    for name, damage in damages.items():
        damage(site.place("local", name))
    for _ in ("pushed before a verification", "pushed after it"):
        due = site.due()
        assert not due.days
        assert "held back of 2026-03-05" in due.why
        report = site.push()
        assert (report.files, report.held.count, report.host) == (0, 4, None)
        assert "differs from what its day was finalized with" in report.held.first[0]
        assert adds_up(report)
        found = site.certify().report.days[0].verdict
        different = {"different size": 2, "different mtime": 2}
        assert {str(kind): count for kind, count in found.here.items()} == different | {"extra": 2}
        assert found.gap_count == 4
        assert found.archive == {Class.IDENTICAL: 6}
        assert found.is_final, "the archive has the day as it was finalized"
        assert {name: site.place("gws", name).read_bytes() for name in damages} == good


def test_bytes_that_changed_here_by_themselves_are_a_gap_and_are_not_sent_to_an_archive_that_lost_the_file(
    site: Site,
) -> None:
    name = "0/met_20260305_003.csv"
    site.flip("local", name)
    site.certify(full=True)
    site.place("gws", name).unlink()
    found = site.certify().report.days[0].verdict
    assert sorted(found.gaps) == [f"{name}: different checksum here", f"{name}: missing in the archive"]
    with site.ledger() as ledger:
        ledger.requeue("gws", [str(site.place("gws", name))])
    report = site.push()
    assert (report.files, report.held.count) == (0, 1)
    assert not site.place("gws", name).exists()


def test_a_repair_says_that_only_the_archive_has_the_good_copy(site: Site) -> None:
    name = "0/met_20260305_000.csv"
    cut(site.place("local", name))
    site.certify()
    with site.records.verification(STREAM, site.places()) as verification:
        [mend] = plan_repair(verification, DAY)
    assert (mend.path, mend.cure) == (name, Cure.NONE)
    assert "the archive has what the day was finalized with" in mend.why


def test_a_late_file_of_a_finalized_day_still_goes_out_beside_one_that_is_held_back(site: Site) -> None:
    cut(site.place("local", "0/met_20260305_000.csv"))
    for side in ("source", "local"):
        site.write(side, "met_20260305_late.csv", b"recovered")
    assert site.due().days == [DAY]
    report = site.push()
    assert (report.files, report.held.count) == (1, 1)
    assert adds_up(report)
    assert site.place("gws", "met_20260305_late.csv").read_bytes() == b"recovered"


def test_what_was_put_into_the_queue_before_it_was_damaged_is_held_back_too(site: Site) -> None:
    name = "0/met_20260305_000.csv"
    place = site.place("local", name)
    good = site.place("gws", name).read_bytes()
    cut(place)
    with site.ledger() as ledger:
        row = ledger.row("gws", str(site.place("gws", name)))
        assert row is not None
        ledger.offer("gws", f"raw/{STREAM}", [Item(str(place), row.remote_path, 3, place.stat().st_mtime_ns, DAY)])
    assert not site.due().days
    assert site.push().held.count == 1
    assert site.place("gws", name).read_bytes() == good
