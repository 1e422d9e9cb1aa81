"""The ledger: several archives and writers, versions, attempts, and rebuilding."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import replace
from datetime import UTC, date, datetime
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path, PurePosixPath

import pytest

from aurora_platform.archive.fixity import Evidence
from aurora_platform.archive.ledger import DIFFERS, REGISTERED, Item, Ledger
from aurora_platform.errors import LedgerError
from aurora_platform.fs.sqlite_aside import moved_aside
from aurora_platform.fs.versions import FileVersion, ScannedEntry
from tests.patience import patient

DAY, BEFORE = date(2026, 3, 5), date(2026, 3, 4)
SECOND = 10**9
fork = get_context("fork")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "ledger.sqlite"


def item(name: str, size: int = 1, mtime_ns: int = SECOND + 1, day: date | None = DAY) -> Item:
    return Item(f"/raw/{name}", f"/gws/{name}", FileVersion(size, mtime_ns), day)


def listed_entry(file: Item) -> ScannedEntry[str]:
    return ScannedEntry(file.remote_path, file.version)


def test_queued_files_are_listed_newest_day_first_until_they_are_copied(path: Path) -> None:
    with Ledger(path) as ledger:
        a, b, c = item("a", day=BEFORE), item("b"), item("c")
        ledger.offer("gws", "met", [a, c, b])
        assert ledger.to_send("gws", "met") == [b, c, a]
        assert ledger.to_send("gws", "met", [BEFORE]) == [a]
        assert ledger.days_to_send("gws", "met") == {DAY, BEFORE}
        assert ledger.mark_copied("gws", [listed_entry(b)]) == 1
        assert ledger.to_send("gws", "met") == [c, a]
        ledger.offer("gws", "met", [a, b, c])
        assert ledger.to_send("gws", "met") == [c, a], "it has a row in this version"
        row = ledger.row("gws", b.remote_path)
    assert row is not None
    assert row.queued_at <= (row.copied_at or "") <= datetime.now(UTC).isoformat()


def test_only_the_same_version_counts_as_copied(path: Path) -> None:
    with Ledger(path) as ledger:
        ledger.offer("gws", "met", [item("a", size=5, mtime_ns=7 * SECOND + 3)])
        others = [("/gws/a", 4, 7 * SECOND + 3), ("/gws/a", 5, 7 * SECOND + 4), ("/gws/other", 5, 7 * SECOND + 3)]
        for path, size, mtime_ns in others:
            assert ledger.mark_copied("gws", [ScannedEntry(path, FileVersion(size, mtime_ns))]) == 0
        assert ledger.mark_copied("gws", [ScannedEntry("/gws/a", FileVersion(5, 7 * SECOND))]) == 1, (
            "a file system that keeps seconds"
        )


def test_a_file_that_fails_too_often_is_parked_until_it_changes(path: Path) -> None:
    with Ledger(path) as ledger:
        a = item("a")
        ledger.offer("gws", "met", [a])
        assert ledger.mark_failed("gws", [(a.remote_path, "no"), ("/gws/unknown", "no")], 3) == []
        assert ledger.mark_failed("gws", [(a.remote_path, "no")], 3) == []
        assert ledger.to_send("gws", "met") == [a]
        assert ledger.mark_failed("gws", [(a.remote_path, "still no")], 3) == [a.remote_path]
        assert ledger.to_send("gws", "met") == []
        (row,) = ledger.parked("gws")
        assert (row.attempts, row.last_error) == (3, "still no")
        assert ledger.parked("gws", "another") == []
        ledger.offer("gws", "met", [a])
        assert ledger.to_send("gws", "met") == [], "the same version stays parked"
        changed = item("a", size=2)
        ledger.offer("gws", "met", [changed])
        assert ledger.to_send("gws", "met") == [changed]
        row_now = ledger.row("gws", a.remote_path)
        assert row_now is not None
        assert (row_now.attempts, row_now.last_error, row_now.parked_at) == (0, None, None)


def test_a_parked_file_can_be_queued_again(path: Path) -> None:
    with Ledger(path) as ledger:
        a = item("a")
        ledger.offer("gws", "met", [a])
        ledger.mark_failed("gws", [(a.remote_path, "no")], 1)
        ledger.requeue("gws", [a.remote_path])
        assert ledger.to_send("gws", "met") == [a]
        assert ledger.parked("gws") == []


def test_a_new_version_clears_the_proof_of_the_old_version(path: Path) -> None:
    with Ledger(path) as ledger:
        a = item("a")
        ledger.offer("gws", "met", [a])
        ledger.mark_copied("gws", [listed_entry(a)])
        ledger.mark_verified("gws", [(listed_entry(a), "11", "11")])
        row = ledger.row("gws", a.remote_path)
        assert row is not None
        assert row.verified_at
        assert (row.local_sha256, row.remote_sha256) == ("11", "11")
        ledger.offer("gws", "met", [item("a", mtime_ns=9 * SECOND)])
        row = ledger.row("gws", a.remote_path)
        assert row is not None
        assert (row.copied_at, row.verified_at, row.local_sha256, row.remote_sha256) == (None, None, None, None)


def test_a_proof_of_one_version_does_not_apply_to_a_queued_version_of_the_same_size(path: Path) -> None:
    with Ledger(path) as ledger:
        old, new = item("a"), item("a", mtime_ns=9 * SECOND)
        ledger.offer("gws", "met", [old])
        ledger.mark_copied("gws", [listed_entry(old)])
        ledger.offer("gws", "met", [new])  # while a verification reads the old version on both sides
        ledger.mark_verified("gws", [(listed_entry(old), "11", "11")])
        row = ledger.row("gws", new.remote_path)
        assert row is not None
        assert (row.copied_at, row.verified_at) == (None, None)
        assert ledger.to_send("gws", "met") == [new]


def test_different_checksums_do_not_verify_a_file(path: Path) -> None:
    with Ledger(path) as ledger:
        a = item("a")
        ledger.offer("gws", "met", [a])
        ledger.mark_verified("gws", [(listed_entry(a), "11", "22")])
        row = ledger.row("gws", a.remote_path)
    assert row is not None
    assert (row.verified_at, row.last_error) == (None, DIFFERS)


def test_a_file_that_a_listing_lacks_is_queued_again(path: Path) -> None:
    with Ledger(path) as ledger:
        a = item("a")
        ledger.offer("gws", "met", [a])
        ledger.mark_copied("gws", [listed_entry(a)])
        ledger.requeue_lost("gws", [a.remote_path], "missing in the listing")
        assert ledger.to_send("gws", "met") == [a]


def test_each_archive_has_its_own_rows(path: Path) -> None:
    with Ledger(path) as ledger:
        a = item("a")
        for archive in ("gws", "tape"):
            ledger.offer(archive, "met", [a])
        ledger.mark_copied("gws", [listed_entry(a)])
        assert ledger.to_send("tape", "met") == [a]
        assert [(count.files, count.copied, count.queued) for count in ledger.counts("tape")] == [(1, 0, 1)]


def test_counts_add_up(path: Path) -> None:
    with Ledger(path) as ledger:
        items = [item(str(n), size=n) for n in range(6)]
        ledger.offer("gws", "met", items)
        ledger.mark_copied("gws", [listed_entry(file) for file in items[:3]])
        ledger.mark_verified("gws", [(listed_entry(items[0]), "1", "1")])
        ledger.mark_failed("gws", [(items[5].remote_path, "no")], 1)
        (count,) = ledger.counts("gws")
    assert (count.files, count.bytes, count.copied, count.parked, count.queued, count.verified) == (6, 15, 3, 1, 2, 1)


def test_an_acquisition_program_registers_its_own_files(path: Path, tmp_path: Path) -> None:
    file = tmp_path / "run.dat"
    file.write_bytes(b"content")
    os.utime(file, ns=(1, 1_780_000_000_123_456_789))
    with Ledger(path) as ledger:
        ledger.add_archive("gws")
        ledger.add_file(file, "/gws/raw/run.dat", "gws")
        ledger.add_file(file, PurePosixPath("/gws/raw/run.dat"), "gws")
        assert ledger.to_send("gws", REGISTERED) == [
            Item(str(file), "/gws/raw/run.dat", FileVersion(7, 1_780_000_000_123_456_789))
        ]


def test_a_file_cannot_be_registered_for_an_archive_that_no_site_names(path: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with Ledger(path) as ledger:
        with pytest.raises(LedgerError, match=r"'gws': not an archive of this ledger \(none yet"):
            ledger.add_file(tmp_path / "file", "/gws/x", "gws")
        ledger.add_archive("gws")
        with pytest.raises(LedgerError, match=r"'typo': not an archive of this ledger \(gws"):
            ledger.add_file(tmp_path / "file", "/gws/x", "typo")


def test_a_ledger_of_the_version_before_has_the_archive_of_its_rows(path: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with Ledger(path) as ledger:
        ledger.offer("gws", "raw/met", [item("1")])
        ledger.offer("typo", REGISTERED, [item("2")])
        assert ledger.archives == ["gws"]
        assert ledger.count_unknown("gws") == {"typo": 1}


@pytest.mark.parametrize("remote", ["relative", "", "/a/../b", "/a//b", "/a/./b", "/a/b/", "/a\nb", "/a/\x00"])
def test_an_invalid_remote_path_is_refused(path: Path, tmp_path: Path, remote: str) -> None:
    (tmp_path / "file").touch()
    with Ledger(path) as ledger, pytest.raises(LedgerError, match="an absolute path"):
        ledger.add_file(tmp_path / "file", remote, "gws")


def test_only_a_regular_file_can_be_registered(path: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/hostname")
    with Ledger(path) as ledger:
        for name in ("link", "."):
            with pytest.raises(LedgerError, match="not a regular file"):
                ledger.add_file(tmp_path / name, "/gws/x", "gws")
        with pytest.raises(FileNotFoundError):
            ledger.add_file(tmp_path / "missing", "/gws/x", "gws")
        assert ledger.counts("gws") == []


def write_rows(path: Path, name: str) -> None:
    with Ledger(path) as ledger:
        for number in range(40):
            file = item(f"{name}/{number}")
            ledger.offer("gws", name, [file])
            ledger.mark_copied("gws", [listed_entry(file)])


def test_three_processes_write_concurrently_and_no_row_is_lost(path: Path) -> None:
    writers = [fork.Process(target=write_rows, args=(path, name)) for name in ("first", "second", "third")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(patient(60))
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    with Ledger(path) as ledger:
        assert {count.group: count.copied for count in ledger.counts("gws")} == {"first": 40, "second": 40, "third": 40}


def open_at_once(path: Path, gate: Barrier) -> None:
    gate.wait(patient(60))
    for kind in (Ledger, Evidence):
        with kind(path.with_name(kind.__name__)):
            pass


def test_programs_that_create_the_databases_concurrently_wait_for_each_other(path: Path) -> None:
    for attempt in range(10):
        gate = fork.Barrier(8)
        makers = [fork.Process(target=open_at_once, args=(path / str(attempt) / "db", gate)) for _ in range(8)]
        for maker in makers:
            maker.start()
        for maker in makers:
            maker.join(patient(60))
        assert [maker.exitcode for maker in makers] == [0] * 8


def test_a_writer_that_fails_in_the_middle_writes_no_row(path: Path) -> None:
    def items():  # type: ignore[no-untyped-def]
        yield item("a")
        raise RuntimeError("the disk vanished")

    with Ledger(path) as ledger:
        with pytest.raises(RuntimeError, match="the disk vanished"):
            ledger.offer("gws", "met", items())
        assert ledger.counts("gws") == []
        ledger.offer("gws", "met", [item("b")])
        assert ledger.counts("gws") != []


def test_a_ledger_that_was_rebuilt_from_the_trees_has_the_time_of_the_rebuild(path: Path) -> None:
    both, local_only, other_version = item("both"), item("local"), item("other", size=9)
    with Ledger(path) as ledger:
        assert ledger.counts("gws") == []
        assert ledger.rebuilt_at is None
        listed = [
            listed_entry(both),
            listed_entry(replace(other_version, version=FileVersion(8, other_version.version.mtime_ns))),
        ]
        listed += [ScannedEntry("/gws/extra", FileVersion(1, 1))]
        assert ledger.rebuild("gws", "met", [both, local_only, other_version], listed) == 1
        assert ledger.to_send("gws", "met") == [local_only, other_version]
    with Ledger(path) as ledger:
        assert ledger.rebuilt_at is not None
        assert ledger.rebuilt_at <= datetime.now(UTC).isoformat()
        row = ledger.row("gws", both.remote_path)
    assert row is not None
    assert row.copied_at
    assert row.verified_at is None, "a listing does not prove the content"


@pytest.mark.parametrize("content", [b"rubbish" * 1000, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_corrupt_file_is_moved_aside_and_a_new_ledger_is_made(
    path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with Ledger(path) as ledger:
        assert ledger.archives == []
    aside = moved_aside(path)
    assert [note.with_suffix("").read_bytes() for note in aside] == [content]
    assert f"{path} was damaged" in caplog.text
    assert str(aside[0].with_suffix("")) in caplog.text


def test_a_database_of_another_program_is_refused(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE file (name TEXT)")
    database.close()
    with pytest.raises(LedgerError, match=r"lacks .*archive.*another program.*`aurora ledger --rebuild`"):
        Ledger(path)
    assert moved_aside(path) == []
