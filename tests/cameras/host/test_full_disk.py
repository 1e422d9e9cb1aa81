"""A disk that is full when a database is first made: nothing is left that a later run cannot use."""

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
from tests.cameras.making import Sky, at

ROOT = Path(__file__).resolve().parents[3]

# Runs alone in a mount namespace, on a file system of 1 MB of which a number of pages is free.
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

def said(*of):
    try:
        make(*of)
    except Exception as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        transient = getattr(error, "transient", code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR))
        return {"error": str(error), "transient": transient}
    return {}

def look(kind, file):
    # A copy of the main file, as whoever replicates it has it; and of the log, where there is one.
    if not file.is_file():
        return None
    for old in elsewhere.glob("copy*"):
        old.unlink()
    for end in ("",) if kind == "catalog" else ("", "-wal"):
        if (found := Path(f"{file}{end}")).is_file():
            shutil.copyfile(found, elsewhere / f"copy{end}")
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
        of = kind, disk / name
        found = {"kind": kind, "first": said(*of), "left": look(*of)}
        (disk / "full").unlink()
        print(json.dumps(found | {"later": said(*of), "then": look(*of)}))
        if not found["first"]:
            break
"""

TABLES = {
    "catalog": ["images", "unreadable_media"],
    "ledger": ["file", "meta", "replaced"],
    "evidence": ["accepted_empty", "file", "look", "place", "released", "verdict"],
}


def test_a_disk_that_is_full_when_a_database_is_first_made_leaves_nothing_that_is_broken(tmp_path: Path) -> None:
    if reason := why_no_namespace():
        pytest.skip(reason)
    within = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=1m none /mnt && exec "$@"', "sh"]
    command = [*within, sys.executable, "-c", ON_A_FULL_DISK, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    tries: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    for kind, tables in TABLES.items():
        *failed, last = (one for one in tries if one["kind"] == kind)
        assert len(failed) > 8, "at the first page, at every other, and at the log that the first opening needs"
        assert not last["first"], "at last there was room enough"
        assert all(one["first"]["transient"] for one in failed)
        # The catalogue is whole or not there; the others are made in place, and are whole with what they have by then.
        assert {str(one["left"]) for one in failed} <= {"None", str(["ok", tables])} or kind != "catalog"
        assert {one["left"][0] for one in failed if one["left"]} == {"ok"}
        for one in (*failed, last):
            assert (one["later"], one["then"]) == ({}, ["ok", tables]), one
    said = [one["first"]["error"] for one in tries if one["kind"] == "catalog" and one["first"]]
    assert all("/mnt/wxcam/wxcam_catalog.sqlite: the catalogue" in text and "`df`" in text for text in said)


@pytest.mark.parametrize("tables", ["", "CREATE TABLE other (a); DROP TABLE other"])
def test_a_catalogue_without_a_byte_or_without_tables_is_none_and_is_made(sky: Sky, tables: str) -> None:
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


def test_the_log_of_a_catalogue_that_was_deleted_is_not_played_into_the_new_one(sky: Sky) -> None:
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


def test_a_damaged_catalogue_is_named_with_what_to_do(sky: Sky) -> None:
    sky.image(at(10))
    sky.refresh()
    whole = sky.layout.catalog.read_bytes()
    for damaged in (whole[:4096], b"not a database" * 400):
        sky.layout.catalog.write_bytes(damaged)
        for opened in (open_writable(sky.workspace), open_readonly(sky.layout.catalog)):
            with (
                pytest.raises(CatalogError, match=r"wxcam_catalog\.sqlite: .* is damaged .*Move it away") as raised,
                opened,
            ):
                pass
            assert not is_transient(raised.value)
    sky.layout.catalog.unlink()
    assert sky.refresh().added == 1
