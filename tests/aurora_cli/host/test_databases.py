"""A damaged database: its message leads to the cure, and the cure makes it whole again."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from aurora_cli.main import main
from aurora_platform.archive.readonly import ReadOnlyRecords
from aurora_platform.archive.stores import Records
from aurora_platform.cameras.catalog import open_readonly, open_writable
from aurora_platform.config.site import Site, load_site
from aurora_platform.errors import AuroraError, CatalogError
from aurora_platform.fs.sqlite_errors import damage_mark
from aurora_platform.health.models import Level
from aurora_platform.layout import Layout
from aurora_platform.operations.audit_databases import audits, database_checks
from aurora_platform.operations.audit_result import Level as AuditLevel
from tests.faults.steps import CAMERA, DAY, Steps, make_site


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site whose day went through all steps."""
    home = tmp_path_factory.mktemp("databases") / "site"
    make_site(home)
    steps = Steps(home)
    for step in (steps.mirror, steps.catalogue, steps.push, steps.verify):
        step()
    return home


@pytest.fixture
def home(finished: Path) -> Path:
    """The same site, as it was before each test: its paths are those of the module's directory."""
    kept = finished.with_name("kept")
    if not kept.exists():
        shutil.copytree(finished, kept, symlinks=True)
    shutil.rmtree(finished)
    shutil.copytree(kept, finished, symlinks=True)
    return finished


def site_of(home: Path) -> Site:
    return load_site(home / "site.yaml")


def aurora(home: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["--site", str(home / "site.yaml"), *arguments])


def garble(path: Path, first: int, count: int = 2000) -> None:
    """Overwrite some bytes in the middle of a database, and remove its log."""
    for suffix in ("-wal", "-shm"):
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).unlink()
    with path.open("r+b") as file:
        file.seek(first)
        file.write(b"\xa5" * count)


def read_all(home: Path) -> None:
    """Read the whole catalogue, as a reader and as a writer does."""
    with open_readonly(Layout.of(site_of(home)).camera.catalog) as db:
        db.execute("SELECT * FROM images").fetchall()
    with open_writable(Steps(home).workspace) as db:
        db.execute("SELECT * FROM images ORDER BY indexed_at").fetchall()


def read_records(site: Site, name: str) -> None:
    with getattr(ReadOnlyRecords(site), name)() as opened:
        opened._db.execute("PRAGMA integrity_check(1)").fetchall()
        opened._db.execute("SELECT * FROM file").fetchall()
    pytest.fail("it was read")


DAMAGES: dict[str, Callable[[Path], object]] = {
    "not a database": lambda path: path.write_bytes(b"rubbish" * 1000),
    "a page of another content": lambda path: garble(path, 4096),
    "cut in the middle": lambda path: path.write_bytes(path.read_bytes()[:5000]),
    "zeros": lambda path: path.write_bytes(bytes(8192)),
    "a header of nonsense": lambda path: garble(path, 16, 80),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_catalogue_is_seen_by_audit_and_health_and_made_again(home: Path, damage: str) -> None:
    site, catalog = site_of(home), Layout.of(site_of(home)).camera.catalog
    with open_readonly(catalog) as db:
        rows = db.execute("SELECT relative_path, width, size_bytes FROM images ORDER BY 1").fetchall()
    DAMAGES[damage](catalog)
    with pytest.raises(CatalogError, match=r"the catalogue (is damaged|lacks).*`aurora catalog --rebuild`") as raised:
        read_all(home)
    assert str(catalog) in str(raised.value)
    assert AuditLevel.FAIL in [line.level for line in audits(site, deep=True)["catalogue"]()]
    damage_mark(catalog).touch()
    (check,) = database_checks(site)
    assert (check.level, check.component) == (Level.RED, "database catalogue")
    assert "`aurora catalog --rebuild`" in check.details

    before = catalog.read_bytes()
    plan = aurora(home, "catalog", "--rebuild")
    assert plan.exit_code == 0, plan.output
    assert "would open 4 files of 1 day from 2026-08-18 to 2026-08-18" in plan.output
    assert "nothing was changed; with --apply" in plan.output
    assert catalog.read_bytes() == before
    made = aurora(home, "catalog", "--rebuild", "--apply")
    assert made.exit_code == 0, made.output
    with open_readonly(catalog) as db:
        assert db.execute("SELECT relative_path, width, size_bytes FROM images ORDER BY 1").fetchall() == rows
    assert list(database_checks(site)) == []
    assert [place.read_bytes() for place in (home / "state" / "damaged").glob("wxcam_catalog.sqlite.*Z")] == [before]
    shown = aurora(home, "catalog")
    assert (shown.exit_code, "every page was read" in shown.output) == (0, True), shown.output
    Steps(home).pixels()
    assert (home / f"products/wxcam/wxcam.zarr/{CAMERA}/{DAY:%Y%m%d}").is_dir()


def test_rows_of_files_that_were_deleted_here_are_taken_over(home: Path) -> None:
    catalog = Layout.of(site_of(home)).camera.catalog
    earlier = ("/raw/old.jpg", "2026-08-19")
    with closing(sqlite3.connect(catalog)) as db, db:
        names = [row[1] for row in db.execute("PRAGMA table_info(images)")]
        row = dict(zip(names, db.execute("SELECT * FROM images LIMIT 1").fetchone(), strict=True))
        row |= {"raw_path": earlier[0], "day_utc": earlier[1]}
        db.execute(f"INSERT INTO images VALUES ({', '.join('?' * len(names))})", [row[name] for name in names])
    assert "would take over 1 row of files that are in no raw tree" in aurora(home, "catalog", "--rebuild").output
    assert "5 rows, 1 of them taken over" in aurora(home, "catalog", "--rebuild", "--apply").output
    with open_readonly(catalog) as db:
        assert db.execute("SELECT raw_path, day_utc FROM images WHERE day_utc = ?", (earlier[1],)).fetchall() == [
            earlier
        ]


@pytest.mark.parametrize("name", ["ledger", "evidence"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_ledger_or_evidence_is_made_anew_and_what_was_finalized_stays(
    home: Path, damage: str, name: str
) -> None:
    site = site_of(home)
    path = {"ledger": Layout.of(site).ledger, "evidence": Layout.of(site).fixity}[name]
    finalization = Layout.of(site).finalizations.finalization("wxcam", DAY)
    assert "complete: true" in finalization.read_text()
    DAMAGES[damage](path)
    assert AuditLevel.FAIL in [line.level for line in audits(site, deep=True)[name]()]
    damage_mark(path).touch()
    with pytest.raises(AuroraError, match=f"{path}: .*`aurora {name} --rebuild"):
        read_records(site, name)
    steps = Steps(home)
    steps.push()
    steps.verify()
    assert "complete: true" in finalization.read_text()
    notes = sorted((home / "state" / "damaged").glob(f"{path.name}.*.txt"))
    assert len(notes) == 1
    lines = list(audits(site)[name]())
    assert [line.level for line in lines] == [AuditLevel.OK, AuditLevel.WARN]
    assert "1 damaged ones were moved to" in lines[1].what
    (check,) = database_checks(site)
    assert check.level is Level.AMBER


def test_an_error_of_damage_in_the_middle_of_work_lets_the_next_program_look_at_all_of_it(home: Path) -> None:
    site = site_of(home)
    path = Layout.of(site).ledger
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        pages = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'file'").fetchone()[0]
    garble(path, 4096 * (pages - 1), 4000)
    with pytest.raises(AuroraError, match="the ledger of copies is damaged"), Records(site).ledger() as ledger:
        ledger._db.execute("SELECT * FROM file").fetchall()
    assert damage_mark(path).exists()
    with Records(site).ledger() as ledger:
        assert ledger._db.execute("SELECT count(*) FROM file").fetchone() == (0,)
    assert not damage_mark(path).exists()


def test_evidence_is_shown_and_moved_aside_when_asked_twice(home: Path) -> None:
    shown = aurora(home, "evidence")
    assert shown.exit_code == 0, shown.output
    assert "every page was read" in shown.output
    path = Layout.of(site_of(home)).fixity
    dry = aurora(home, "evidence", "--rebuild")
    assert "nothing was changed; with --apply it is moved" in dry.output
    assert path.exists()
    assert aurora(home, "evidence", "--apply").exit_code == 2
    assert "moved to" in aurora(home, "evidence", "--rebuild", "--apply").output
    assert not path.exists()
    assert aurora(home, "evidence").exit_code == 1


def test_a_rebuild_of_the_ledger_can_be_tried_first(home: Path) -> None:
    path = Layout.of(site_of(home)).ledger
    with Records(site_of(home)).ledger() as ledger:
        before = ledger.counts("gws")
    dry = aurora(home, "ledger", "--rebuild", "--dry-run")
    assert dry.exit_code == 0, dry.output
    assert "nothing was changed" in dry.output
    with Records(site_of(home)).ledger() as ledger:
        assert ledger.counts("gws") == before
    path.write_bytes(b"rubbish" * 1000)
    dry = aurora(home, "ledger", "--rebuild", "--dry-run")
    assert "newly found in the archive" in dry.output
    assert path.read_bytes() == b"rubbish" * 1000
