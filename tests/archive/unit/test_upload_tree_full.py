"""A backup without room on the disk is an error of the disk, whatever SQLite calls it, and no attempt of the file."""

import errno
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from aurora_platform.archive import upload_tree
from aurora_platform.archive.ledger import Item
from aurora_platform.archive.upload_tree import UnusableError, add_to_upload_tree
from aurora_platform.fs.versions import FileVersion
from tests.disks import tmpfs, with_mounts


def database(path: Path) -> Item:
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE a (x)")
        db.executemany("INSERT INTO a VALUES (?)", [("x" * 900,)] * 200)
        db.commit()
    status = path.stat()
    return Item(str(path), path.name, FileVersion.of(status))


def outcome(item: Item, target: Path) -> str:
    try:
        add_to_upload_tree(item, target, in_place=True, is_database=True)
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    except UnusableError as error:
        return str(error)
    return "taken"


def test_a_backup_without_room_beside_the_database_counts_no_attempt(tmp_path: Path) -> None:
    # In WAL mode SQLite needs room beside the original too, and reports "disk I/O error" without it.
    def act() -> list[str]:
        item, target = database(tmp_path / "catalog.sqlite"), tmp_path / "tree/catalog.sqlite"
        target.parent.mkdir()
        found = []
        for room in range(0, 400 * 1024, 8 * 1024):
            for left in (*target.parent.iterdir(), *tmp_path.glob("catalog.sqlite-*")):
                left.unlink()
            free = os.statvfs(tmp_path)
            (tmp_path / "full").write_bytes(bytes(max(0, free.f_bavail * free.f_frsize - room)))
            found.append(outcome(item, target))
            (tmp_path / "full").unlink()
            if found[-1] == "taken":
                break
        return found

    *failed, last = with_mounts([tmpfs(tmp_path, "1m")], act)
    assert last == "taken"
    assert len(failed) > 5
    assert set(failed) == {"ENOSPC"}


@pytest.mark.parametrize("code", [sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_CANTOPEN])
@pytest.mark.parametrize("room", ["none", "enough"])
def test_a_write_error_of_sqlite_counts_as_a_full_disk_only_where_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, room: str
) -> None:
    def failing(*_: object) -> None:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = code
        raise error

    item, free = database(tmp_path / "catalog.sqlite"), os.statvfs(tmp_path)

    def full(_: object) -> os.statvfs_result:
        return os.statvfs_result((*free[:4], 0, *free[5:]))

    monkeypatch.setattr(upload_tree, "_back_up_database", failing)
    real: Callable[..., os.statvfs_result] = os.statvfs
    monkeypatch.setattr(upload_tree.os, "statvfs", full if room == "none" else real)
    assert (
        outcome(item, tmp_path / "tree")
        == {
            "none": "ENOSPC",
            "enough": "this database cannot be backed up: disk I/O error",
        }[room]
    )


def test_a_database_that_cannot_be_read_is_unusable_on_a_full_disk_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    item, free = database(tmp_path / "catalog.sqlite"), os.statvfs(tmp_path)
    Path(item.local_path).write_bytes(b"not a database" * 400)
    monkeypatch.setattr(upload_tree.os, "statvfs", lambda _: os.statvfs_result((*free[:4], 0, *free[5:])))
    assert outcome(item, tmp_path / "tree").startswith("this database cannot be backed up: ")
