"""A source with fewer files than before: pruned files are accepted, an unmounted disk is not trusted."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from datetime import timedelta
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

from aurora_assets.archive.assets import manifests_key
from aurora_assets.archive.checks import every_place_was_seen
from aurora_platform.archive.verify_days import Place
from aurora_platform.config.hosts import SshHost
from aurora_platform.layout import Side
from aurora_platform.mirror.scan import scan
from aurora_platform.text import Count
from aurora_platform.transport.bounds import Bounds
from aurora_platform.transport.checksums import LocalHasher
from aurora_platform.transport.connections import Connections
from aurora_platform.transport.listing import ListedEntry, Listing, LocalSource
from tests.archive.places import DAY, STREAM, Observatory, name_of
from tests.patience import patient

NEXT = DAY + timedelta(days=1)


@pytest.fixture
def observatory(tmp_path: Path) -> Observatory:
    """Ten files of a day on the host, six of them also local and in the archive; one verification has listed all."""
    observatory = Observatory(tmp_path)
    for name in observatory.fill(10)[6:]:
        for side in ("local", "gws"):
            observatory.place(side, name).unlink()
    verdict = observatory.verify_and_publish().report.days[0].verdict
    assert (verdict.proved, verdict.problem_count, verdict.is_final) == (6, 8, False)
    return observatory


def unmount(observatory: Observatory) -> None:
    observatory.place("source").rename(observatory.home / "unmounted")
    observatory.place("source").mkdir()


def unmount_another_disk(observatory: Observatory) -> None:
    unmount(observatory)
    observatory.place("source", "lost+found").mkdir()


def lose_all_but_one(observatory: Observatory) -> None:
    for number in range(9):
        observatory.place("source", name_of(number)).unlink()


def lose_most(observatory: Observatory) -> None:
    for number in (0, 1, 3, 4, 6, 7, 9):
        observatory.place("source", name_of(number)).unlink()


def lose_files_only_the_source_has(observatory: Observatory) -> None:
    for number in range(6, 10):
        observatory.place("source", name_of(number)).unlink()


@pytest.mark.parametrize(
    ("lose", "message"),
    [
        (unmount, "instrument is empty, so its listing is not trusted"),
        (unmount_another_disk, "instrument is empty, so its listing is not trusted"),
        (lose_all_but_one, "has lost most of the files of its last listing: 9 of 10 files, 3 of"),
        (lose_most, "has lost most of the files of its last listing: 7 of 10 files, 3 of"),
    ],
)
def test_a_source_that_lost_most_files_is_not_trusted_and_completes_no_day(
    observatory: Observatory, lose: Callable[[Observatory], None], message: str
) -> None:
    lose(observatory)
    for _ in range(2):  # an untrusted listing does not replace the last one
        report = observatory.verify_and_publish().report
        assert message in report.errors["source"]
        assert "Is the disk mounted there?" in report.errors["source"]
        assert report.days[0].verdict.source == 10
        assert not report.days[0].verdict.is_final
        assert observatory.records.finalizations(STREAM).read(DAY) is None
    trusted = observatory.verify_and_publish(accept_loss=True).report
    assert trusted.errors == {}
    assert observatory.verify_and_publish().report.days[0].verdict.is_final is (lose in (unmount, unmount_another_disk))


def test_a_source_that_lost_a_few_files_that_only_it_had_is_trusted_and_completes_no_day(
    observatory: Observatory,
) -> None:
    lose_files_only_the_source_has(observatory)
    for _ in range(2):
        report = observatory.verify_and_publish().report
        assert report.errors == {}
        assert (report.days[0].verdict.source, report.days[0].verdict.is_final) == (6, False)
        assert len(report.days[0].verdict.gaps) == 8, "each is missing locally and in the archive"


def test_a_disk_that_is_mounted_again_is_trusted(observatory: Observatory) -> None:
    unmount(observatory)
    assert observatory.verify_and_publish().report.errors
    observatory.place("source").rmdir()
    (observatory.home / "unmounted").rename(observatory.place("source"))
    shutil.copytree(observatory.place("source"), observatory.place("local"), dirs_exist_ok=True)
    observatory.mirror_to_archive()
    report = observatory.verify_and_publish().report
    assert (report.errors, report.days[0].verdict.proved, report.days[0].verdict.is_final) == ({}, 10, True)


def test_an_accepted_empty_source_stays_accepted_until_it_has_a_file_again(
    observatory: Observatory,
) -> None:
    unmount(observatory)
    observatory.verify_and_publish(accept_loss=True)
    assert observatory.verify_and_publish().report.errors == {}
    observatory.write("source", name_of(12), b"new")
    assert observatory.verify_and_publish().report.errors == {}
    observatory.place("source", name_of(12)).unlink()
    for directory in observatory.place("source").iterdir():
        directory.rmdir()
    assert "is empty" in observatory.verify_and_publish().report.errors["source"]


@pytest.mark.parametrize("names", [("lost+found",), (".snapshots", ".Trash-1000"), ("lost+found", ".hidden")])
def test_a_root_with_only_what_an_empty_disk_has_completes_no_day_that_no_verification_has_seen(
    tmp_path: Path, names: Sequence[str]
) -> None:
    observatory = Observatory(tmp_path)
    observatory.fill(6, sides=["local", "gws"])
    for name in names:
        observatory.place("source", name).mkdir()
        observatory.place("source", f"{name}/left_by_a_repair").write_bytes(b"x")
    for _ in range(2):
        report = observatory.verify_and_publish().report
        assert "instrument is empty, so its listing is not trusted" in report.errors["source"]
        assert observatory.records.finalizations(STREAM).read(DAY) is None
    assert observatory.verify_and_publish(accept_loss=True).report.errors == {}
    assert observatory.verify_and_publish().report.days[0].verdict.is_final


def test_a_root_with_any_other_entry_is_not_empty(tmp_path: Path) -> None:
    observatory = Observatory(tmp_path)
    observatory.fill(6, sides=["local", "gws"])
    for name in ("lost+found", ".hidden", "readme.txt"):
        observatory.place("source", name).write_bytes(b"x")
    assert observatory.verify_and_publish().report.errors == {}


def test_a_lost_and_found_that_nobody_may_read_does_not_hide_an_empty_disk(tmp_path: Path) -> None:
    observatory = Observatory(tmp_path, {"day_dirs": ["%Y/%m/%d"]})
    observatory.place("source", "lost+found").mkdir()

    class NewDisk(LocalSource):
        """A disk with a directory that only its owner can read."""

        def list(self, root: str, below: Sequence[str], without: Sequence[str] = (), named: Any = ()) -> Listing:
            listing = super().list(root, below, without, named)
            if not below and not any(fnmatch("lost+found", pattern) for pattern in without):
                listing.unreadable.add("lost+found: Permission denied")
            return listing

    place = replace(observatory.places()["source"][0], source=NewDisk())
    report = observatory.verify_and_publish(places={"source": [place]}).report
    assert "instrument is empty" in report.errors["source"]


def test_an_unreadable_directory_is_reported_as_unreadable_and_not_as_a_loss(observatory: Observatory) -> None:
    source = observatory.places()["source"][0]

    class Closed:
        """A source with one unreadable directory."""

        def list(self, root: str, below: Any, without: Any = (), named: Any = ()) -> Listing:
            unreadable = Count()

            def entries() -> Generator[ListedEntry]:
                yield from ()
                unreadable.add("0: Permission denied")

            return Listing(source.source.list(root, below).clock_ns, entries(), unreadable)

    for number in range(10):
        observatory.place("source", name_of(number)).unlink()
    closed = replace(source, source=Closed())
    error = observatory.verify_and_publish(places={"source": [closed]}).report.errors["source"]
    assert error == "1 directories not readable: 0: Permission denied"


def test_files_that_the_archive_has_may_be_pruned_all_at_once(observatory: Observatory) -> None:
    for number in range(6):
        observatory.place("source", name_of(number)).unlink()
    report = observatory.verify_and_publish().report
    assert report.errors == {}
    assert (report.days[0].verdict.source, report.days[0].verdict.problem_count) == (4, 8)


def test_the_records_of_a_lost_day_stay_while_other_days_are_verified(observatory: Observatory) -> None:
    observatory.fill(40, day=NEXT, sides=["source", "local"])
    assert observatory.verify_and_publish(DAY, NEXT).report.unverified_days == {}
    lose_most(observatory)
    shutil.copytree(observatory.place("local"), observatory.place("gws"), dirs_exist_ok=True)
    report = observatory.verify_and_publish(DAY, NEXT).report
    assert report.errors == {}
    assert list(report.unverified_days) == [DAY]
    assert [day.verdict.is_final for day in report.days] == [False, True]
    check = every_place_was_seen(manifests_key(STREAM), report, Count())
    assert not check.passed
    assert check.description is not None
    assert f"{DAY}: here:" in check.description


def test_an_empty_source_is_recognized_over_ssh_also_with_day_directories(
    tmp_path: Path, hosts: tuple[SshHost, ...]
) -> None:
    observatory = Observatory(tmp_path, {"day_dirs": ["%Y/%m/%d"]})
    bounds = Bounds(tmp_path / "known_hosts", connect_seconds=patient(20), listing_seconds=patient(20))
    connections = Connections(bounds)
    place = Place("far", connections.source(hosts[0]), LocalHasher(), str(observatory.place("source")))
    remote_places: dict[Side, list[Place]] = {"source": [place]}
    assert "is empty" in observatory.verify_and_publish(places=remote_places).report.errors["source"]
    observatory.place("source", "2026/03/04").mkdir(parents=True)
    assert observatory.verify_and_publish(places=remote_places).report.errors == {}, (
        "a day without files yet is no error"
    )


def test_a_scan_of_an_empty_source_does_not_report_a_complete_day(tmp_path: Path) -> None:
    observatory = Observatory(tmp_path)
    stream = observatory.site.streams[STREAM]
    survey = scan(stream, LocalSource(), observatory.place("local"), [DAY])
    assert survey.days_at_source() == {}
    observatory.write("source", "met_20260306_another_day.csv", b"x", NEXT)
    survey = scan(stream, LocalSource(), observatory.place("local"), [DAY])
    assert survey.days_at_source()[DAY].is_complete
