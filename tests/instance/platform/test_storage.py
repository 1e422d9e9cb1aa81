"""Dagster's records with our storage: the same files as Dagster's own, with one engine per database."""

import errno
import os
import shutil
import sqlite3
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
import yaml
from alembic.config import Config
from alembic.script import ScriptDirectory
from dagster import DagsterInstance, DagsterRunStatus, OpExecutionContext, RunsFilter, job, op
from dagster._core.instance import InstanceRef
from dagster._core.storage.runs import SqliteRunStorage
from dagster._serdes import deserialize_value, serialize_value
from sqlalchemy import create_engine

from aurora_assets.instance import storage
from tests.daemon import ROOT, make_home


@op
def log_20_lines(context: OpExecutionContext) -> None:
    for number in range(20):
        context.log.info(f"line {number}")


@job
def log_job() -> None:
    log_20_lines()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return make_home(tmp_path / "dagster")


def dagsters_own(home: Path) -> DagsterInstance:
    """The same home with Dagster's own storage."""
    other = home.with_name("dagsters_own")
    other.mkdir(exist_ok=True)
    (other / "dagster.yaml").write_text(
        f"telemetry: {{enabled: false}}\nstorage: {{sqlite: {{base_dir: {str(home)!r}}}}}\n"
    )
    return DagsterInstance.from_config(str(other))


def log_lines(instance: DagsterInstance, run_id: str) -> list[str]:
    return [entry.user_message for entry in instance.all_logs(run_id) if entry.user_message.startswith("line ")]


def test_dagsters_own_storage_and_ours_read_the_same_home(home: Path) -> None:
    lines = [f"line {number}" for number in range(20)]
    with dagsters_own(home) as instance:
        assert type(instance.run_storage) is SqliteRunStorage
        before = log_job.execute_in_process(instance=instance).run_id
    with DagsterInstance.from_config(str(home)) as instance:
        assert isinstance(instance.run_storage, storage._Runs)
        assert log_lines(instance, before) == lines
        after = log_job.execute_in_process(instance=instance).run_id
    with dagsters_own(home) as instance:
        assert log_lines(instance, after) == lines
        assert {run.run_id for run in instance.get_runs()} == {before, after}


@pytest.mark.parametrize("exported", ["dagster", "other", None])
def test_an_instance_opened_with_a_directory_has_the_records_of_that_directory(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exported: str | None
) -> None:
    other = make_home(tmp_path / "other")
    if exported:
        monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / exported))
    else:
        monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    with DagsterInstance.from_config("dagster") as instance:  # as typed in a shell
        run = log_job.execute_in_process(instance=instance).run_id
        reference = serialize_value(instance.get_ref())  # a run's process gets this
        # Check the class and the databases, not only the settings.
        assert isinstance(instance.run_storage, storage._Runs)
        instance.daemon_cursor_storage.set_cursor_values({"cursor": "value"})
    monkeypatch.chdir("/")
    with DagsterInstance.from_ref(deserialize_value(reference, InstanceRef)) as instance:
        assert log_lines(instance, run) == [f"line {number}" for number in range(20)]
    assert "history/runs.db" in databases_with(run, home)
    assert databases_with(run, other) == []
    monkeypatch.setenv("DAGSTER_HOME", str(other))
    with DagsterInstance.get() as instance:
        assert instance.get_runs() == []
        assert instance.daemon_cursor_storage.get_cursor_values({"cursor"}) == {}


def databases_with(run_id: str, home: Path) -> list[str]:
    """The databases with records of a run, read with SQLite."""
    found = []
    for file in sorted(home.rglob("*.db")):
        with closing(sqlite3.connect(file)) as db:
            for (table,) in db.execute(
                "SELECT name FROM sqlite_master WHERE name IN ('runs', 'event_logs')"
            ).fetchall():
                if db.execute(f"SELECT 1 FROM {table} WHERE run_id = ?", (run_id,)).fetchone():
                    found.append(str(file.relative_to(home)))
    return found


def test_an_old_dagster_yaml_has_its_records_in_dagster_home(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = yaml.safe_load((home / "dagster.yaml").read_text())
    settings.pop("instance_class", None)
    settings["storage"] = {
        "custom": {
            "module": "resources.storage",
            "class": "SqliteStorage",
            "config": {"base_dir": {"env": "DAGSTER_HOME"}},
        }
    }
    (home / "dagster.yaml").write_text(yaml.safe_dump(settings))
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    with DagsterInstance.get() as instance:
        run = log_job.execute_in_process(instance=instance).run_id
    # The operator takes over the new dagster.yaml: the records are still found.
    shutil.copyfile(ROOT / "dagster.yaml", home / "dagster.yaml")
    with DagsterInstance.get() as instance:
        assert isinstance(instance.run_storage, storage._Runs)
        assert [found.run_id for found in instance.get_runs()] == [run]


def test_a_database_has_one_engine_for_any_number_of_queries(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: Counter[str] = Counter()
    monkeypatch.setattr(
        storage, "create_engine", lambda url, **how: made.update([Path(url).name]) or create_engine(url, **how)
    )
    runs = []
    for _ in range(2):
        with DagsterInstance.from_config(str(home)) as instance:
            runs.append(log_job.execute_in_process(instance=instance).run_id)
            for _ in range(5):
                instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.QUEUED]))
                instance.all_instigator_state()
                instance.event_log_storage.get_maximum_record_id()
    assert made == dict.fromkeys(("runs.db", "schedules.db", "index.db", *(f"{run}.db" for run in runs)), 1)


def test_a_process_compares_the_databases_with_dagsters_migrations_once(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[str] = []

    def comparing(config: Config) -> ScriptDirectory:
        compared.append(str(config.config_file_name))
        return of_files(config)

    of_files = ScriptDirectory.from_config
    monkeypatch.setattr(ScriptDirectory, "from_config", comparing)
    with DagsterInstance.from_config(str(home)) as instance:
        run = log_job.execute_in_process(instance=instance).run_id
    assert compared
    compared.clear()
    for _ in range(3):
        with DagsterInstance.from_config(str(home)) as instance:
            assert [found.run_id for found in instance.get_runs()] == [run]
            instance.all_instigator_state()
            instance.event_log_storage.get_maximum_record_id()
    assert compared == []


def test_a_runs_database_equals_dagsters_own_and_needs_no_migration(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[Config] = []
    of_files = ScriptDirectory.from_config
    with DagsterInstance.from_config(str(home)) as instance:
        log_job.execute_in_process(instance=instance)
        monkeypatch.setattr(ScriptDirectory, "from_config", lambda config: loaded.append(config) or of_files(config))
        ours = [log_job.execute_in_process(instance=instance).run_id for _ in range(3)]
    assert loaded == []
    with dagsters_own(home) as instance:
        theirs = log_job.execute_in_process(instance=instance).run_id
    assert loaded
    assert len({schema_of(home / "history" / "runs" / f"{run}.db") for run in (*ours, theirs)}) == 1


def schema_of(database: Path) -> str:
    """Tables, indices, the version of Dagster's migrations and the journal mode."""
    with closing(sqlite3.connect(database)) as db:
        found = db.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name").fetchall()
        version, mode = db.execute("SELECT * FROM alembic_version").fetchall(), db.execute("PRAGMA journal_mode")
        return repr((found, version, mode.fetchall()))


@pytest.mark.parametrize("fault", ["no files without a name", "the disk is full", "no room to make the first"])
def test_if_no_copy_can_be_written_dagster_makes_the_database_itself(
    home: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    met = []

    def refuse(*_: Any, **__: Any) -> None:
        met.append(fault)
        raise OSError(errno.ENOSPC, fault)

    def open_named(path: Any, flags: int, *more: Any, **how: Any) -> int:
        return refuse() if flags & os.O_TMPFILE == os.O_TMPFILE else opened(path, flags, *more, **how)  # type: ignore[return-value]

    opened = os.open
    with DagsterInstance.from_config(str(home)) as instance:
        if fault == "no room to make the first":
            storage._empty_database.cache_clear()
            monkeypatch.setattr(storage, "TemporaryDirectory", refuse)
        elif fault == "the disk is full":
            monkeypatch.setattr(os, "fsync", refuse)
        else:
            monkeypatch.setattr(os, "open", open_named)
        run = log_job.execute_in_process(instance=instance).run_id
        assert log_lines(instance, run) == [f"line {number}" for number in range(20)]
    assert met


@pytest.mark.parametrize("left", ["nothing", "an empty file", "half of it", "a log of one that is gone"])
def test_any_leftover_of_a_crash_becomes_a_database(tmp_path: Path, left: str) -> None:
    place, other = tmp_path / "one.db", tmp_path / "other.db"
    events = storage._Events(str(tmp_path / "events"))
    events._initdb(storage._engine(f"sqlite:///{other}"))
    if left == "an empty file":
        place.touch()
    elif left == "half of it":
        with closing(sqlite3.connect(other)) as db, closing(sqlite3.connect(place)) as half:
            for (made,) in db.execute("SELECT sql FROM sqlite_master WHERE name = 'event_logs'").fetchall():
                half.execute(made)
    elif left == "a log of one that is gone":
        with closing(sqlite3.connect(place)) as db:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("CREATE TABLE rows_of_before (x)")
            db.commit()
            (tmp_path / "kept").write_bytes(Path(f"{place}-wal").read_bytes())
        place.unlink()
        (tmp_path / "kept").rename(f"{place}-wal")
    events._initdb(storage._engine(f"sqlite:///{place}"))
    assert "rows_of_before" not in schema_of(place)
    assert tables_of(place) == tables_of(other)


def tables_of(database: Path) -> set[tuple[str, str]]:
    with closing(sqlite3.connect(database)) as db:
        return set(db.execute("SELECT type, name FROM sqlite_master WHERE type = 'table'"))


def test_concurrent_makers_of_a_runs_database_end_with_one(tmp_path: Path) -> None:
    events = [storage._Events(str(tmp_path / "events")) for _ in range(4)]
    others, begin = [storage._engine(f"sqlite:///{tmp_path / f'{number}.db'}") for number in range(20)], Barrier(4)

    def make(one: storage._Events) -> None:
        for engine in others:
            begin.wait()
            one._initdb(engine)

    with ThreadPoolExecutor(4) as programs:
        list(programs.map(make, events))
    assert len({schema_of(tmp_path / f"{number}.db") for number in range(20)}) == 1


def test_a_home_that_is_removed_during_a_process_is_made_again(home: Path) -> None:
    for _ in range(2):
        with DagsterInstance.from_config(str(home)) as instance:
            run = log_job.execute_in_process(instance=instance).run_id
            assert [found.run_id for found in instance.get_runs()] == [run]
            assert log_lines(instance, run)
            instance.all_instigator_state()
        for directory in ("history", "schedules"):
            shutil.rmtree(home / directory)


def test_a_new_database_file_is_not_mistaken_for_the_compared_one(home: Path) -> None:
    with DagsterInstance.from_config(str(home)) as instance:
        log_job.execute_in_process(instance=instance)
    for database in [*home.rglob("runs.db*"), *home.rglob("index.db*"), *home.rglob("schedules.db*")]:
        database.rename(database.with_name(f"old_{database.name}"))
        if database.suffix == ".db":
            database.touch()
    with DagsterInstance.from_config(str(home)) as instance:
        run = log_job.execute_in_process(instance=instance).run_id
        assert [found.run_id for found in instance.get_runs()] == [run]
        instance.all_instigator_state()


def test_concurrent_reads_and_writes_of_threads_lose_nothing(home: Path) -> None:
    with DagsterInstance.from_config(str(home)) as instance, ThreadPoolExecutor(4) as pool:
        run = log_job.execute_in_process(instance=instance).run_id

        def mark(number: int) -> None:
            instance.daemon_cursor_storage.set_cursor_values({f"cursor-{number}": str(number)})
            assert log_lines(instance, run)

        list(pool.map(mark, range(40)))
        wanted = {f"cursor-{number}": str(number) for number in range(40)}
        assert instance.daemon_cursor_storage.get_cursor_values(set(wanted)) == wanted
