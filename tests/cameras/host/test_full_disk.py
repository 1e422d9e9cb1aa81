"""A disk that is full when a database is created leaves nothing that a later run cannot use."""

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from aurora_platform.cameras.catalog import open_readonly, open_writable
from aurora_platform.errors import CatalogError, is_transient
from tests.archive.parts import why_no_namespace
from tests.cameras.sample_media import Sky, at

ROOT = Path(__file__).resolve().parents[3]

# Runs in its own mount namespace, on a file system of 1 MB with a given number of free pages.
ON_A_FULL_DISK = """
import json, os, shutil, sqlite3, sys
from pathlib import Path
from aurora_platform.archive.fixity import Evidence
from aurora_platform.archive.ledger import Ledger
from aurora_platform.cameras.catalog import open_writable
from aurora_platform.cameras.workspace import CameraWorkspace
from aurora_platform.layout import CameraLayout

disk, elsewhere = Path("/mnt"), Path(sys.argv[1])

def make(kind, file):
    if kind == "catalog":
        with open_writable(CameraWorkspace(CameraLayout(elsewhere / "raw", disk / "wxcam"), elsewhere / "locks")):
            return
    with (Ledger if kind == "ledger" else Evidence)(file):
        return

def try_to_make(*arguments):
    try:
        make(*arguments)
    except Exception as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        transient = getattr(error, "transient", code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR))
        return {"error": str(error), "transient": transient}
    return {}

def inspect(kind, file):
    # Copies the main file, as a replication does, and the log if there is one; the catalogue needs no log.
    if not file.is_file():
        return None
    for old in elsewhere.glob("copy*"):
        old.unlink()
    for suffix in ("",) if kind == "catalog" else ("", "-wal"):
        if (source := Path(f"{file}{suffix}")).is_file():
            shutil.copyfile(source, elsewhere / f"copy{suffix}")
    db = sqlite3.connect(elsewhere / "copy")
    try:
        tables = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        return [db.execute("PRAGMA integrity_check").fetchone()[0], tables]
    except sqlite3.Error as error:
        return [str(error), []]
    finally:
        db.close()

files = {"catalog": "wxcam/wxcam_catalog.sqlite", "ledger": "ledger.sqlite", "evidence": "evidence.sqlite"}
for kind, name in files.items():
    for pages in range(40):
        for old in disk.iterdir():
            shutil.rmtree(old) if old.is_dir() else old.unlink()
        free = os.statvfs(disk).f_bavail * 4096
        (disk / "full").write_bytes(bytes(free - pages * 4096))
        database = kind, disk / name
        result = {"kind": kind, "first": try_to_make(*database), "left": inspect(*database)}
        (disk / "full").unlink()
        print(json.dumps(result | {"later": try_to_make(*database), "then": inspect(*database)}))
        if not result["first"]:
            break
"""

TABLES = {
    "catalog": ["images", "unreadable_media"],
    "ledger": ["file", "meta", "replaced", "sending"],
    "evidence": [
        *("accepted_empty", "day_changed", "day_manifest", "file", "finalized", "look", "place", "read_budget"),
        *("released", "revised", "source_change", "vanished", "verdict"),
    ],
}


def test_a_full_disk_while_a_database_is_created_leaves_no_broken_database(tmp_path: Path) -> None:
    if reason := why_no_namespace():
        pytest.skip(reason)
    in_namespace = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=1m none /mnt && exec "$@"', "sh"]
    command = [*in_namespace, sys.executable, "-c", ON_A_FULL_DISK, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    tries: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    for kind, tables in TABLES.items():
        *failed, last = (attempt for attempt in tries if attempt["kind"] == kind)
        assert len(failed) > 8, "creation fails at every page, and at the log that the first opening needs"
        assert not last["first"], "the last attempt had enough room"
        assert all(attempt["first"]["transient"] for attempt in failed)
        # The catalogue is complete or missing; the others are made in place, and have no damage at any time.
        assert {str(attempt["left"]) for attempt in failed} <= {"None", str(["ok", tables])} or kind != "catalog"
        assert {attempt["left"][0] for attempt in failed if attempt["left"]} == {"ok"}
        for attempt in (*failed, last):
            assert (attempt["later"], attempt["then"]) == ({}, ["ok", tables]), attempt
    messages = [attempt["first"]["error"] for attempt in tries if attempt["kind"] == "catalog" and attempt["first"]]
    of_catalogue = "/mnt/wxcam/wxcam_catalog.sqlite: the catalogue"
    assert [text for text in messages if of_catalogue not in text or "`df -h " not in text] == []


@pytest.mark.parametrize("tables", ["", "CREATE TABLE other (a); DROP TABLE other"])
def test_an_empty_catalogue_file_or_one_without_tables_counts_as_missing_and_is_created(sky: Sky, tables: str) -> None:
    sky.layout.products.mkdir(parents=True)
    with closing(sqlite3.connect(sky.layout.catalog)) as db:
        db.executescript(tables)
    sky.layout.catalog.touch()
    with pytest.raises(CatalogError, match="there is no catalogue yet"), open_readonly(sky.layout.catalog):
        pass
    sky.image(at(10))
    assert sky.refresh().added == 1
    with open_readonly(sky.layout.catalog) as db:
        assert db.execute("SELECT count(*) FROM images").fetchone() == (1,)


def test_the_log_of_a_deleted_catalogue_is_not_replayed_into_the_new_one(sky: Sky) -> None:
    sky.image(at(10))
    sky.refresh()
    log = sky.layout.catalog.with_name(f"{sky.layout.catalog.name}-wal")
    with closing(sqlite3.connect(sky.layout.catalog, isolation_level=None)) as other:
        other.execute("INSERT INTO unreadable_media VALUES ('of the old one', 1, 1, '', '')")
        old = log.read_bytes()
        assert old
    sky.layout.catalog.unlink()
    log.write_bytes(old)
    assert sky.refresh().added == 1
    with open_readonly(sky.layout.catalog) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("SELECT count(*) FROM unreadable_media").fetchone() == (0,)


def test_a_damaged_catalogue_is_reported_with_the_next_step(sky: Sky) -> None:
    sky.image(at(10))
    sky.refresh()
    whole = sky.layout.catalog.read_bytes()
    for damaged in (whole[:4096], b"not a database" * 400):
        sky.layout.catalog.write_bytes(damaged)
        for opened in (open_writable(sky.workspace), open_readonly(sky.layout.catalog)):
            with (
                pytest.raises(CatalogError, match=r"wxcam_catalog\.sqlite: .* is damaged .*`aurora catalog") as raised,
                opened,
            ):
                pass
            assert not is_transient(raised.value)
    sky.layout.catalog.unlink()
    assert sky.refresh().added == 1
