"""A local file that differs from its finalized version never replaces the good copy in the archive."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aurora_platform.archive.compare import MatchClass
from aurora_platform.archive.ledger import Item
from aurora_platform.archive.push_plan import Pushing
from aurora_platform.archive.repair import RepairKind, plan_repair
from aurora_platform.config.hosts import SshHost
from aurora_platform.fs.sqlite_aside import moved_aside
from aurora_platform.fs.versions import FileVersion
from aurora_platform.layout import Layout
from tests.archive.parts import adds_up
from tests.archive.places import DAY, STREAM
from tests.archive.pushed import PushedSite, hosts_of_kind

BOTH_KINDS = pytest.mark.parametrize("site", ["ssh", "local"], indirect=True)


@pytest.fixture
def site(request: pytest.FixtureRequest, tmp_path: Path, hosts: tuple[SshHost, ...]) -> PushedSite:
    """A finalized day of six files that the source has pruned since; by default the archive is behind SSH."""
    site = PushedSite(tmp_path)
    site.hosts = hosts_of_kind(getattr(request, "param", "ssh"), hosts[:1])
    for name in site.finalize():
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


@BOTH_KINDS
def test_local_files_damaged_after_the_source_pruned_them_are_reported_and_not_sent(
    site: PushedSite,
) -> None:
    damages = {"0/met_20260305_000.csv": cut, "1/met_20260305_001.csv": empty}
    damages |= {"2/met_20260305_002.csv": rewrite, "0/met_20260305_003.csv": touch}
    good = {name: site.place("gws", name).read_bytes() for name in damages}
    for name, damage in damages.items():
        damage(site.place("local", name))
    for _ in ("pushed before a verification", "pushed after it"):
        backlog = site.raw_backlog()
        assert not backlog.days
        assert "held back (2026-03-05)" in backlog.why
        report = site.push()
        assert (report.files, report.held.total, report.host) == (0, 4, None)
        assert "differs from the version that its day was finalized with" in report.held.first[0]
        assert adds_up(report)
        found = site.verify_and_publish().report.days[0].verdict
        different = {"different size": 2, "different mtime": 2}
        assert {str(kind): count for kind, count in found.local_classes.items()} == different | {"extra": 2}
        assert found.problem_count == 4
        assert found.archive_classes == {MatchClass.IDENTICAL: 6}
        assert found.is_final, "the archive has the finalized versions"
        assert {name: site.place("gws", name).read_bytes() for name in damages} == good


def test_a_local_file_with_changed_bytes_is_reported_and_not_sent_to_an_archive_that_lost_it(
    site: PushedSite,
) -> None:
    name = "0/met_20260305_003.csv"
    site.flip("local", name)
    site.verify_and_publish(full=True)
    site.place("gws", name).unlink()
    found = site.verify_and_publish().report.days[0].verdict
    assert sorted(found.gaps) == [f"{name}: different checksum locally", f"{name}: missing in the archive"]
    with site.ledger() as ledger:
        ledger.requeue("gws", [str(site.place("gws", name))])
    report = site.push()
    assert (report.files, report.held.total) == (0, 1)
    assert not site.place("gws", name).exists()


def test_the_repair_plan_restores_a_damaged_or_deleted_file_from_the_archive(site: PushedSite) -> None:
    name = "0/met_20260305_000.csv"
    for damage in (cut, Path.unlink):
        damage(site.place("local", name))
        site.verify_and_publish()
        with site.records.verification(STREAM, site.places()) as verification:
            [step] = plan_repair(verification, DAY)
        assert (step.path, step.kind) == (name, RepairKind.RESTORE)
        assert step.right == FileVersion.of(site.place("gws", name).stat())
    site.place("gws", name).unlink()
    site.verify_and_publish()
    with site.records.verification(STREAM, site.places()) as verification:
        assert [step.kind for step in plan_repair(verification, DAY)] == [RepairKind.NONE]


@BOTH_KINDS
def test_a_late_file_of_a_finalized_day_is_sent_while_a_damaged_one_is_held_back(site: PushedSite) -> None:
    cut(site.place("local", "0/met_20260305_000.csv"))
    for side in ("source", "local"):
        site.write(side, "met_20260305_late.csv", b"recovered")
    assert site.raw_backlog().days == [DAY]
    report = site.push()
    assert (report.files, report.held.total) == (1, 1)
    assert adds_up(report)
    assert site.place("gws", "met_20260305_late.csv").read_bytes() == b"recovered"


def test_a_file_that_was_damaged_after_it_was_queued_is_held_back(site: PushedSite) -> None:
    name = "0/met_20260305_000.csv"
    place = site.place("local", name)
    good = site.place("gws", name).read_bytes()
    cut(place)
    with site.ledger() as ledger:
        row = ledger.row("gws", str(site.place("gws", name)))
        assert row is not None
        ledger.offer(
            "gws", f"raw/{STREAM}", [Item(str(place), row.remote_path, FileVersion(3, place.stat().st_mtime_ns), DAY)]
        )
    assert not site.raw_backlog().days
    assert site.push().held.total == 1
    assert site.place("gws", name).read_bytes() == good


@pytest.fixture
def incomplete(tmp_path: Path, hosts: tuple[SshHost, ...]) -> PushedSite:
    """A day with six pushed files and one that was not mirrored: it is not finalized."""
    site = PushedSite(tmp_path)
    site.hosts = hosts[:1]
    site.fill(sides=["source", "local"])
    site.write("source", "met_20260305_not_mirrored.csv", b"so the day is not complete")
    assert site.push().files == 6
    assert not site.verify_and_publish().report.days[0].verdict.is_final
    return site


def test_the_archive_keeps_a_pruned_file_of_a_day_that_was_never_finalized(
    incomplete: PushedSite,
) -> None:
    site, name = incomplete, "0/met_20260305_000.csv"
    good = site.place("gws", name).read_bytes()
    site.place("source", name).unlink()
    cut(site.place("local", name))
    site.verify_and_publish()
    report = site.push()
    assert (report.files, report.held.total) == (0, 1)
    assert "differs from the version in the archive" in report.held.first[0]
    assert site.place("gws", name).read_bytes() == good
    assert not site.raw_backlog().days


def test_damaged_evidence_is_named_and_holds_back_only_files_that_differ_from_a_finalization(site: PushedSite) -> None:
    name = "0/met_20260305_000.csv"
    cut(site.place("local", name))
    site.write("local", "met_20260305_late.csv", b"recovered")
    evidence = Layout.of(site.site).fixity
    evidence.write_bytes(b"rubbish" * 1000)
    assert site.raw_backlog().days == [DAY]
    report = site.push()
    assert (report.files, report.held.total) == (1, 1)
    verdict = site.verify_and_publish().report.days[0].verdict
    assert [note.with_suffix("").read_bytes() for note in moved_aside(evidence)] == [b"rubbish" * 1000]
    assert (verdict.is_final, verdict.gaps) == (True, [f"{name}: different size locally"])


def test_a_local_file_with_a_wrong_checksum_is_not_sent_after_the_ledger_was_lost(
    incomplete: PushedSite,
) -> None:
    site, name = incomplete, "0/met_20260305_000.csv"
    site.flip("local", name)
    assert site.verify_and_publish(full=True).report.days[0].verdict.gaps[0] == f"{name}: different checksum locally"
    good = site.place("gws", name).read_bytes()
    (site.site.paths.state / "ledger.sqlite").unlink()
    assert site.push().held.total == 1
    assert site.place("gws", name).read_bytes() == good


def test_a_registered_file_is_not_sent_into_the_directory_of_a_stream(site: PushedSite) -> None:
    place = site.place("gws", "0/met_20260305_000.csv")
    good = place.read_bytes()
    other = site.home / "other.dat"
    other.write_bytes(b"of another program")
    with site.ledger() as ledger:
        ledger.add_file(other, str(place), "gws")
        report = Pushing(site.site, site.archive_settings, site.archive_hosts(), ledger).core_products()
    assert (report.files, report.parked.total) == (0, 1)
    assert "is in the directory of a stream" in report.parked.first[0]
    assert place.read_bytes() == good
