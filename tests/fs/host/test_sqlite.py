"""Versions of SQLite files: new ones get them, old ones are adopted and migrated once, newer ones are refused."""

from __future__ import annotations

import multiprocessing
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from aurora_platform.archive.fixity import Evidence
from aurora_platform.archive.ledger import Item, Ledger
from aurora_platform.archive.upload_tree import add_to_upload_tree
from aurora_platform.cameras.catalog import open_readonly, open_writable
from aurora_platform.cameras.workspace import CameraWorkspace
from aurora_platform.errors import NewerError
from aurora_platform.fs.sqlite import Schema, create_verified, open_wal
from aurora_platform.fs.versions import FileVersion
from aurora_platform.layout import CameraLayout
from tests.cameras.sample_media import Sky, at
from tests.patience import patient

ONE = "CREATE TABLE IF NOT EXISTS sky (name TEXT PRIMARY KEY); CREATE INDEX IF NOT EXISTS by_name ON sky (name);"


def with_colour(db: sqlite3.Connection) -> None:
    db.execute("ALTER TABLE sky ADD COLUMN colour TEXT")
    db.execute("UPDATE sky SET colour = name || ' blue'")


OLD, NEW = Schema((ONE,)), Schema((ONE, with_colour))


@contextmanager
def opened(file: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_wal(file, 20)) as db:
        yield db


def version(file: Path) -> int:
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as db:
        return int(db.execute("PRAGMA user_version").fetchone()[0])


def set_version(file: Path, number: int) -> None:
    with closing(sqlite3.connect(file)) as db:
        db.execute(f"PRAGMA user_version = {number}")


def open_ledger(file: Path) -> None:
    with Ledger(file):
        pass


def open_evidence(file: Path) -> None:
    with Evidence(file):
        pass


def workspace_of(catalog: Path) -> CameraWorkspace:
    return CameraWorkspace(CameraLayout(catalog.parent / "raw", catalog.parent), catalog.parent / "locks")


def open_catalog(file: Path) -> None:
    with open_writable(workspace_of(file)):
        pass


def read_catalog(file: Path) -> None:
    with open_readonly(file):
        pass


OURS = [("ledger.sqlite", open_ledger), ("evidence.sqlite", open_evidence), ("wxcam_catalog.sqlite", open_catalog)]
VERSIONS = {"ledger.sqlite": 3, "evidence.sqlite": 5, "wxcam_catalog.sqlite": 1}
of_ours = pytest.mark.parametrize(("name", "open_it"), OURS)


def test_a_new_database_has_every_migration_and_its_version(tmp_path: Path) -> None:
    with opened(tmp_path / "db") as db:
        NEW.migrate(db, tmp_path / "db")
        assert [name for _, name, *_ in db.execute("PRAGMA table_info(sky)")] == ["name", "colour"]
    assert version(tmp_path / "db") == 2


def test_an_older_database_is_migrated_with_its_rows(tmp_path: Path) -> None:
    with opened(tmp_path / "db") as db:
        OLD.migrate(db, tmp_path / "db")
        db.execute("INSERT INTO sky VALUES ('dark')")
    with opened(tmp_path / "db") as db:
        NEW.migrate(db, tmp_path / "db")
        assert db.execute("SELECT * FROM sky").fetchall() == [("dark", "dark blue")]


def test_a_migration_that_fails_leaves_the_database_as_it_was(tmp_path: Path) -> None:
    def fails(db: sqlite3.Connection) -> None:
        with_colour(db)
        raise ValueError("no more")

    with opened(tmp_path / "db") as db:
        OLD.migrate(db, tmp_path / "db")
        db.execute("INSERT INTO sky VALUES ('dark')")
        with pytest.raises(ValueError, match="no more"):
            Schema((ONE, fails)).migrate(db, tmp_path / "db")
        assert db.execute("SELECT * FROM sky").fetchall() == [("dark",)]
        assert not db.in_transaction
    assert version(tmp_path / "db") == 1


def test_an_incomplete_statement_is_refused_and_nothing_is_kept(tmp_path: Path) -> None:
    with opened(tmp_path / "db") as db:
        with pytest.raises(ValueError, match="incomplete statement"):
            Schema((f"{ONE} CREATE TRIGGER t AFTER INSERT ON sky BEGIN DELETE FROM sky;",)).migrate(db, tmp_path / "db")
        assert db.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)


def test_a_trigger_is_one_statement(tmp_path: Path) -> None:
    trigger = "CREATE TRIGGER once AFTER INSERT ON sky BEGIN DELETE FROM sky WHERE name = 'a'; SELECT 1; END;"
    with opened(tmp_path / "db") as db:
        Schema((ONE, trigger)).migrate(db, tmp_path / "db")
        db.execute("INSERT INTO sky VALUES ('a')")
        assert db.execute("SELECT count(*) FROM sky").fetchone() == (0,)


def _migrate(file: Path) -> None:
    with opened(file) as db:
        NEW.migrate(db, file)


def test_each_migration_runs_once_if_several_processes_migrate_at_once(tmp_path: Path) -> None:
    with opened(tmp_path / "db") as db:
        OLD.migrate(db, tmp_path / "db")
    workers = [multiprocessing.get_context("spawn").Process(target=_migrate, args=[tmp_path / "db"]) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(patient(120))
    assert [worker.exitcode for worker in workers] == [0] * 4, "a second ADD COLUMN would have failed"
    assert version(tmp_path / "db") == 2


def test_a_database_that_is_created_and_verified_has_its_version(tmp_path: Path) -> None:
    create_verified(tmp_path / "db", NEW)
    assert version(tmp_path / "db") == 2


@of_ours
def test_each_of_our_databases_has_its_version_and_is_not_written_again_when_opened(
    tmp_path: Path, name: str, open_it: Callable[[Path], None]
) -> None:
    file = tmp_path / name
    open_it(file)
    assert version(file) == VERSIONS[name]
    before = file.read_bytes()
    open_it(file)
    assert file.read_bytes() == before


@pytest.mark.parametrize(("name", "open_it"), OURS[:2])
def test_a_database_from_before_there_were_versions_is_adopted(
    tmp_path: Path, name: str, open_it: Callable[[Path], None]
) -> None:
    file = tmp_path / name
    open_it(file)
    with closing(sqlite3.connect(file)) as db:
        tables = db.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
    set_version(file, 0)
    open_it(file)
    assert version(file) == VERSIONS[name]
    with closing(sqlite3.connect(file)) as db:
        assert db.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall() == tables


def test_a_catalogue_without_a_version_stays_unchanged_until_a_row_changes(tmp_path: Path) -> None:
    sky = Sky(tmp_path)
    sky.image(at(10))
    sky.refresh()
    catalog = sky.layout.catalog
    set_version(catalog, 0)
    before, status = catalog.read_bytes(), catalog.stat()
    sky.refresh()
    assert catalog.read_bytes() == before
    assert catalog.stat().st_mtime_ns == status.st_mtime_ns, "a change would copy it to the archive once more"
    sky.image(at(11))
    sky.refresh()
    assert version(catalog) == 1


def test_a_missing_table_is_made_and_the_version_is_written(tmp_path: Path) -> None:
    file = tmp_path / "wxcam_catalog.sqlite"
    open_catalog(file)
    with closing(sqlite3.connect(file)) as db:
        db.execute("DROP TABLE unreadable_media")
    set_version(file, 0)
    open_catalog(file)
    assert version(file) == 1
    with open_readonly(file) as db:
        assert db.execute("SELECT count(*) FROM unreadable_media").fetchone() == (0,)


@pytest.mark.parametrize(("name", "open_it"), [*OURS, ("wxcam_catalog.sqlite", read_catalog)])
def test_a_database_of_a_newer_aurora_is_refused_with_the_next_step_and_not_changed(
    tmp_path: Path, name: str, open_it: Callable[[Path], None]
) -> None:
    file = tmp_path / name
    dict(OURS)[name](file)
    set_version(file, 7)
    before = file.read_bytes()
    supported = rf"{name}: written by a newer Aurora: version 7; .* up to {VERSIONS[name]}\..*Updating"
    with pytest.raises(NewerError, match=supported):
        open_it(file)
    assert file.read_bytes() == before


def test_a_reader_of_an_older_catalogue_reads_it_and_writes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "wxcam_catalog.sqlite"
    open_catalog(file)
    set_version(file, 0)
    before = file.read_bytes()
    with open_readonly(file) as db:
        assert db.execute("SELECT count(*) FROM images").fetchone() == (0,)
    assert file.read_bytes() == before
    assert version(file) == 0


def test_the_copy_of_a_catalogue_for_the_archive_has_its_version(tmp_path: Path) -> None:
    file = tmp_path / "wxcam_catalog.sqlite"
    open_catalog(file)
    status = file.stat()
    item = Item(str(file), "/gws/wxcam_catalog.sqlite", FileVersion(status.st_size, status.st_mtime_ns))
    assert add_to_upload_tree(item, tmp_path / "copy", in_place=False, is_database=True) is not None
    assert version(tmp_path / "copy") == 1
    with open_readonly(tmp_path / "copy") as db:
        assert db.execute("SELECT count(*) FROM images").fetchone() == (0,)
