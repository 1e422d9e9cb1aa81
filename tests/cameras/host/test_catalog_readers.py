"""Other users of the catalogue: read-only copies, unprivileged readers, several writers, tables of earlier scripts."""

import multiprocessing
import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from aurora_platform.cameras.catalog import day_media, media_between, newest_clips, open_readonly
from aurora_platform.errors import CatalogError
from tests.cameras.sample_media import DAY, NOW, Film, Sky, at
from tests.patience import patient

NOBODY = 65534
ROUNDS = 8
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def as_nobody(call: Callable[[], object]) -> str:
    """What an unprivileged process gets from ``call``."""
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            answer = repr(call())
        except BaseException as error:
            answer = f"{type(error).__name__}: {error}"
        os.write(writable, answer.encode())
        os._exit(0)
    os.close(writable)
    with os.fdopen(readable, "rb") as pipe:
        answer = pipe.read().decode()
    os.waitpid(child, 0)
    return answer


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that all users may enter and read."""
    path = Path(tempfile.mkdtemp(prefix="aurora-public-"))
    path.chmod(0o755)
    yield path
    path.chmod(0o755)
    shutil.rmtree(path)


def filenames(path: Path) -> list[str]:
    with open_readonly(path) as db:
        return [name for (name,) in db.execute("SELECT filename FROM images ORDER BY time_epoch_ns, raw_path")]


@needs_root
def test_an_unprivileged_reader_reads_a_read_only_copy_of_the_main_file(sky: Sky, public: Path) -> None:
    paths = [sky.image(at(10)), sky.image(at(11))]
    sky.refresh()
    copy = public / "copy of 100% & more?.sqlite"
    shutil.copyfile(sky.layout.catalog, copy)
    copy.chmod(0o444)
    public.chmod(0o555)
    assert as_nobody(lambda: filenames(copy)) == repr([path.name for path in paths])
    assert [path.name for path in public.iterdir()] == [copy.name]


@needs_root
def test_an_unprivileged_reader_reads_the_live_catalogue_while_it_is_written(public: Path) -> None:
    sky = Sky(public)
    paths = [sky.image(at(10)), sky.image(at(11))]
    sky.refresh()
    before = repr([path.name for path in paths])
    assert as_nobody(lambda: filenames(sky.layout.catalog)) == before
    with closing(sqlite3.connect(sky.layout.catalog, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("DELETE FROM images")
        assert as_nobody(lambda: filenames(sky.layout.catalog)) == before
        writer.execute("COMMIT")
        assert as_nobody(lambda: filenames(sky.layout.catalog)) == "[]"


def test_a_reader_cannot_write(sky: Sky) -> None:
    sky.image(at(10))
    sky.refresh()
    with open_readonly(sky.layout.catalog) as db, pytest.raises(sqlite3.OperationalError, match="readonly"):
        db.execute("DELETE FROM images")


def test_a_missing_catalogue_is_an_error_with_the_next_step(sky: Sky) -> None:
    with pytest.raises(CatalogError, match="Materialize wxcam/catalog"), open_readonly(sky.layout.catalog):
        pass
    assert not sky.layout.catalog.exists()


def refresh_concurrently(root: Path, day_number: int, barrier: Barrier) -> None:
    """In its own process: refresh one day in several new product trees, at the same time as another process."""
    for number in range(ROUNDS):
        sky = Sky(root / str(number))
        barrier.wait(patient(60))
        sky.refresh(DAY + timedelta(days=day_number))


def test_two_processes_refresh_two_days_of_a_new_catalogue_at_once(tmp_path: Path) -> None:
    for number in range(ROUNDS):
        for day in (DAY, DAY + timedelta(days=1)):
            for hour in range(5):
                Sky(tmp_path / str(number)).image(at(hour, day=day))
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(2)
    processes = [spawn.Process(target=refresh_concurrently, args=(tmp_path, n, barrier)) for n in (0, 1)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(patient(100))
    assert [process.exitcode for process in processes] == [0, 0]
    for number in range(ROUNDS):
        assert len(filenames(Sky(tmp_path / str(number)).layout.catalog)) == 10


def test_a_catalogue_of_the_earlier_scripts_is_used_and_extended(sky: Sky) -> None:
    catalogued, new = sky.image(at(10)), sky.image(at(11))
    broken = sky.image(at(12), b"")
    sky.layout.products.mkdir(parents=True)
    with closing(sqlite3.connect(sky.layout.catalog)) as old:
        # The same columns in another order, one more column, no index.
        old.execute(
            "CREATE TABLE images (image_type TEXT NOT NULL, media_kind TEXT NOT NULL, mime_type TEXT NOT NULL,"
            " stream TEXT NOT NULL, label TEXT NOT NULL, raw_path TEXT PRIMARY KEY, time_utc TEXT NOT NULL,"
            " time_epoch_ns INTEGER NOT NULL, day_utc TEXT NOT NULL, filename TEXT NOT NULL,"
            " relative_path TEXT NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL,"
            " size_bytes INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, indexed_at TEXT NOT NULL, note TEXT)"
        )
        old.execute(
            "CREATE TABLE unreadable_media (error TEXT NOT NULL, raw_path TEXT PRIMARY KEY, indexed_at TEXT NOT NULL,"
            " size_bytes INTEGER NOT NULL, mtime_ns INTEGER NOT NULL)"
        )
        status = catalogued.stat()
        old.execute(
            "INSERT INTO images VALUES ('fish_hdr', 'image', 'image/jpeg', 'FISH', 'FISH HDR', ?,"
            " '2026-08-18 10:00:00', ?, '2026-08-18', ?, ?, 64, 48, ?, ?, '2026-08-18T10:10:00+00:00', 'kept')",
            (
                str(catalogued), int(at(10).timestamp()) * 10**9, catalogued.name,
                f"FISH/20260818/10/{catalogued.name}", status.st_size, status.st_mtime_ns,
            ),
        )  # fmt: skip
        old.commit()
    report = sky.refresh()
    assert (report.unchanged, report.added, list(report.unreadable.values())) == (1, 1, ["the file is empty"])
    with closing(sqlite3.connect(sky.layout.catalog)) as db:
        assert db.execute("SELECT filename, note FROM images ORDER BY time_epoch_ns").fetchall() == [
            (catalogued.name, "kept"),
            (new.name, None),
        ]
        assert db.execute("SELECT raw_path, size_bytes, error FROM unreadable_media").fetchall() == [
            (str(broken), 0, "the file is empty")
        ]
        plan = db.execute("EXPLAIN QUERY PLAN SELECT * FROM images WHERE day_utc = '2026-08-18'").fetchall()
        assert "USING INDEX images_by_day" in plan[0][3]
    report = sky.refresh()
    assert (report.added, report.changed, report.removed) == (0, 0, 0)


def test_clips_and_images_are_found_by_time_across_midnight(sky: Sky) -> None:
    next_day = DAY + timedelta(days=1)
    clips = [sky.clip(at(hour, day=day), Film(frames=1)) for day in (DAY, next_day) for hour in (0, 12, 23)]
    images = [sky.image(at(23, 59, 59)), sky.image(at(0, day=next_day)), sky.image(at(0, 0, 1, day=next_day))]
    sky.image(at(0, day=next_day), camera="pano_hdr")
    for day in (DAY, next_day):
        sky.refresh(day)
    with open_readonly(sky.layout.catalog) as db:
        assert [m.path for m in newest_clips(db, "fish_hdr", 4)] == clips[2:]
        start, stop = (int(moment.timestamp()) * 10**9 for moment in (at(23, 59, 59), at(0, 0, 1, day=next_day)))
        assert [m.path for m in media_between(db, "fish_hdr", "image", start, stop)] == images[:2]
        assert [m.path for m in day_media(db, next_day, "fish_hdr", "image")] == images[1:]
        assert len(day_media(db, next_day)) == 3 + 2 + 1


# -- the work of a refresh ---------------------------------------------------------------------------------------------

_scanned: list[str] | None = None


def _record_scandir(event: str, args: tuple) -> None:
    if _scanned is not None and event == "os.scandir":
        _scanned.append(os.fspath(args[0]))


sys.addaudithook(_record_scandir)


@contextmanager
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[list[int], list[str]]]:
    """Count the steps of SQLite's virtual machine in all connections, and record the directories that are listed."""
    global _scanned  # noqa: PLW0603 - an audit hook cannot be removed, only disabled
    steps, _scanned = [0], []
    connect = sqlite3.connect

    def counting(*args: object, **options: object) -> sqlite3.Connection:
        db = connect(*args, **options)  # type: ignore[call-overload]

        def step() -> int:
            steps[0] += 1
            return 0

        db.set_progress_handler(step, 1)
        return db

    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", counting)
        yield steps, _scanned
    _scanned = None


def fill_with_other_days(sky: Sky, count: int) -> None:
    """Add rows of past days, as their refreshes would have written them."""
    with closing(sqlite3.connect(sky.layout.catalog)) as db:
        db.executemany(
            "INSERT INTO images VALUES (?, 'fish_hdr', 'image', 'image/jpeg', 'FISH', 'FISH HDR', ?, ?, ?, ?, ?,"
            " 3120, 3040, 1000000, 1, '2026-08-18T00:00:00+00:00')",
            (
                (
                    f"{sky.layout.raw}/FISH/{moment:%Y%m%d/%H/HDR_%Y%m%d_%H%M%S}.jpg", f"{moment:%Y-%m-%d %H:%M:%S}",
                    int(moment.timestamp()) * 10**9, f"{moment:%Y-%m-%d}", f"FISH/{number}", f"{number}.jpg",
                )
                for number in range(count)
                for moment in [at(0) - (number + 1) * timedelta(minutes=5)]
            ),
        )  # fmt: skip
        db.executemany(
            "INSERT INTO unreadable_media VALUES (?, 1, 1, 'the file is empty', '2026-08-18T00:00:00+00:00')",
            ((f"{sky.layout.raw}/FISH/2025{number:04}/broken.jpg",) for number in range(count // 100)),
        )
        db.commit()


def work_of_a_day(root: Path, rows: int, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, list[str]]]:
    """SQLite's steps and the listed directories of four refreshes: new, unchanged, changed, removed files."""
    sky = Sky(root)
    sky.refresh(DAY - timedelta(days=1000))
    fill_with_other_days(sky, rows)
    paths = [sky.image(at(10, minute)) for minute in range(0, 50, 5)]
    sky.image(at(11), b"")
    passes = []
    for change in (lambda: None, lambda: None, lambda: os.utime(paths[0], ns=(7, 7)), paths[1].unlink):
        change()
        with watched(monkeypatch) as (steps, scanned):
            sky.refresh(now=NOW)
        listed = [os.path.relpath(path, sky.layout.raw) for path in scanned if path.startswith(str(sky.layout.raw))]
        passes.append((steps[0], listed))
    return passes


def test_a_refresh_does_the_same_work_in_a_small_archive_and_in_a_large_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = work_of_a_day(tmp_path / "a", 1_000, monkeypatch)
    large = work_of_a_day(tmp_path / "b", 20_000, monkeypatch)
    assert small == large
    assert all(0 < steps < 5_000 for steps, _ in small)
    days = {f"{tree}/202608{day}" for tree in ("FISH", "PANO") for day in (17, 18, 19)}
    hours = {"FISH/20260818/10", "FISH/20260818/11"}
    assert [set(listed) for _, listed in small] == [days | hours] * 4
