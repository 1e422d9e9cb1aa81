"""Dagster's records by our storage: the same files, asked with one engine for each database."""

import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from dagster import DagsterInstance, DagsterRunStatus, OpExecutionContext, RunsFilter, job, op
from dagster._core.storage.runs import SqliteRunStorage
from sqlalchemy import create_engine

from resources import storage
from tests.daemon import make_home


@op
def say(context: OpExecutionContext) -> None:
    for number in range(20):
        context.log.info(f"line {number}")


@job
def talk() -> None:
    say()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return make_home(tmp_path / "dagster")


def stock(home: Path) -> DagsterInstance:
    """The same home with Dagster's own storage."""
    other = home.with_name("stock")
    other.mkdir(exist_ok=True)
    (other / "dagster.yaml").write_text(
        f"telemetry: {{enabled: false}}\nstorage: {{sqlite: {{base_dir: {str(home)!r}}}}}\n"
    )
    return DagsterInstance.from_config(str(other))


def said(instance: DagsterInstance, run_id: str) -> list[str]:
    return [entry.user_message for entry in instance.all_logs(run_id) if entry.user_message.startswith("line ")]


def test_a_home_is_read_alike_by_dagsters_own_storage_and_by_ours(home: Path) -> None:
    lines = [f"line {number}" for number in range(20)]
    with stock(home) as instance:
        assert type(instance.run_storage) is SqliteRunStorage
        before = talk.execute_in_process(instance=instance).run_id
    with DagsterInstance.from_config(str(home)) as instance:
        assert isinstance(instance.run_storage, storage._Runs)
        assert said(instance, before) == lines
        after = talk.execute_in_process(instance=instance).run_id
    with stock(home) as instance:
        assert said(instance, after) == lines
        assert {run.run_id for run in instance.get_runs()} == {before, after}


def test_a_database_has_one_engine_however_often_it_is_asked(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: Counter[str] = Counter()
    monkeypatch.setattr(
        storage, "create_engine", lambda url, **how: made.update([Path(url).name]) or create_engine(url, **how)
    )
    runs = []
    for _ in range(2):
        with DagsterInstance.from_config(str(home)) as instance:
            runs.append(talk.execute_in_process(instance=instance).run_id)
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
        run = talk.execute_in_process(instance=instance).run_id
    assert compared
    compared.clear()
    for _ in range(3):
        with DagsterInstance.from_config(str(home)) as instance:
            assert [found.run_id for found in instance.get_runs()] == [run]
            instance.all_instigator_state()
            instance.event_log_storage.get_maximum_record_id()
    assert compared == []


def test_a_home_that_is_removed_under_a_process_is_made_anew(home: Path) -> None:
    for _ in range(2):
        with DagsterInstance.from_config(str(home)) as instance:
            run = talk.execute_in_process(instance=instance).run_id
            assert [found.run_id for found in instance.get_runs()] == [run]
            assert said(instance, run)
            instance.all_instigator_state()
        for directory in ("history", "schedules"):
            shutil.rmtree(home / directory)


def test_a_database_that_another_process_is_about_to_make_is_not_taken_for_the_one_before(home: Path) -> None:
    with DagsterInstance.from_config(str(home)) as instance:
        talk.execute_in_process(instance=instance)
    for database in [*home.rglob("runs.db*"), *home.rglob("index.db*"), *home.rglob("schedules.db*")]:
        database.rename(database.with_name(f"old_{database.name}"))
        if database.suffix == ".db":
            database.touch()
    with DagsterInstance.from_config(str(home)) as instance:
        run = talk.execute_in_process(instance=instance).run_id
        assert [found.run_id for found in instance.get_runs()] == [run]
        instance.all_instigator_state()


def test_threads_ask_and_write_at_once_and_nothing_is_lost(home: Path) -> None:
    with DagsterInstance.from_config(str(home)) as instance, ThreadPoolExecutor(4) as pool:
        run = talk.execute_in_process(instance=instance).run_id

        def mark(number: int) -> None:
            instance.daemon_cursor_storage.set_cursor_values({f"cursor-{number}": str(number)})
            assert said(instance, run)

        list(pool.map(mark, range(40)))
        wanted = {f"cursor-{number}": str(number) for number in range(40)}
        assert instance.daemon_cursor_storage.get_cursor_values(set(wanted)) == wanted
