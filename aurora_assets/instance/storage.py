"""Dagster's records in SQLite, with what is needed to speak to a database kept from one query to the next.

Dagster's own storage makes an SQLAlchemy engine for each query, which asks the database for its abilities and compiles
the statement each time: a third of what an idle daemon does, and a part of each run. And it loads all of its migrations
from their files for each tick, to compare the databases with them, and for each run, whose database it makes. Here a
database has one engine in a process, those that stay are compared once, and a run's is a copy of an empty one that
Dagster has made. Connections are opened and closed for each use, as by Dagster, so no lock and no file stays open.

``dagster.yaml`` names :class:`HomeInstance`, whose records are in this storage, in the directory that the instance was
opened by. The files are Dagster's own, in the same places: a home can be used with it and without.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache, lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import yaml
from dagster import DagsterInstance
from dagster._core.instance import InstanceRef
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME
from dagster._core.storage.runs import SqliteRunStorage
from dagster._core.storage.schedules import SqliteScheduleStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS, create_db_conn_string
from dagster._core.storage.sqlite_storage import (
    DagsterSqliteStorage,
    _event_logs_directory,
    _runs_directory,
    _schedule_directory,
)
from dagster._serdes import ConfigurableClassData
from sqlalchemy import Connection, Engine, NullPool, create_engine, make_url, text
from sqlalchemy.exc import DatabaseError

_MOST = 64  # databases; each run has one of its own

_compared: dict[str, tuple[int, int]] = {}
"""The databases that this process has found, or made, as this version of Dagster has them: which file each was."""


@lru_cache(_MOST)
def _engine(url: str) -> Engine:
    return create_engine(url, poolclass=NullPool, connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS})


@contextmanager
def _transaction(url: str) -> Iterator[Connection]:
    with _engine(url).connect() as connection, connection.begin():
        yield connection


def _is_compared(url: str) -> bool:
    """Whether it is the very file that was compared before: another process may be about to make a new one."""
    return url in _compared and _compared[url] == _file_of(url)


def _file_of(url: str) -> tuple[int, int] | None:
    try:
        status = os.stat(str(make_url(url).database))
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _note_compared(url: str) -> None:
    if found := _file_of(url):
        _compared[url] = found


class _Kept:
    """A storage that is one database in a directory; before a class of Dagster's, which has the rest."""

    _name: ClassVar[str]
    _conn_string: str

    @classmethod
    def from_local(cls, base_dir: str, inst_data: ConfigurableClassData | None = None) -> Any:
        url = create_db_conn_string(base_dir, cls._name)
        if _is_compared(url):
            return cls(url, inst_data)  # type: ignore[call-arg] # Dagster's constructor
        found = super().from_local(base_dir, inst_data)  # type: ignore[misc] # Dagster's
        _note_compared(url)
        return found

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        with _transaction(self._conn_string) as connection:
            yield connection


class _Runs(_Kept, SqliteRunStorage):
    _name = "runs"


class _Schedules(_Kept, SqliteScheduleStorage):
    _name = "schedules"


@cache
def _empty() -> bytes:
    """The file of a run's database in which nothing is recorded yet, as Dagster itself makes it."""
    with TemporaryDirectory(prefix="aurora-records-") as directory:
        Path(directory, f"{INDEX_SHARD_NAME}.db").touch()  # is not asked for, and would be made first
        of_a_run = "run"
        with SqliteEventLogStorage(directory).run_connection(of_a_run):
            pass
        return Path(directory, f"{of_a_run}.db").read_bytes()


def _is_put(database: Path) -> bool:
    """Put a new database where there is none, whole; False where there is one, or it cannot be done so."""
    # A log that one of before has left would be replayed onto it.
    if any(Path(f"{database}{suffix}").exists() for suffix in ("", "-wal", "-journal")):
        return False
    try:
        with open(os.open(database.parent, os.O_TMPFILE | os.O_WRONLY, 0o644), "wb") as file:
            file.write(_empty())
            file.flush()
            os.fsync(file.fileno())
            # With a descriptor of a directory, although none is needed: else Python links the link in /proc itself.
            os.link(f"/proc/self/fd/{file.fileno()}", database, src_dir_fd=file.fileno())
    except (OSError, DatabaseError):  # another was faster, a disk is full, the file system has no files without a name
        return False
    return True


def _is_made(engine: Engine) -> bool:
    """Whether Dagster, or who put it there, has come to the end of making a database."""
    try:
        with engine.connect() as connection:
            return connection.execute(text("SELECT 1 FROM alembic_version")).first() is not None
    except DatabaseError:
        return False


class _Events(SqliteEventLogStorage):
    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(base_dir, inst_data)
        # Of the runs' databases none is taken for known: they come and go.
        if _is_compared(self.conn_string_for_shard(INDEX_SHARD_NAME)):
            self._initialized_dbs.add(INDEX_SHARD_NAME)

    def _initdb(self, engine: Engine, for_index_shard: bool = False) -> None:
        database = Path(str(engine.url.database))
        if database.stem != INDEX_SHARD_NAME and (_is_put(database) or _is_made(engine)):
            return
        super()._initdb(engine, for_index_shard)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        url = self.conn_string_for_shard(shard)
        with self._db_lock:
            if shard not in self._initialized_dbs:
                self._initdb(_engine(url))
                self._initialized_dbs.add(shard)
                if shard == INDEX_SHARD_NAME:
                    _note_compared(url)
            with _transaction(url) as connection:
                yield connection


class SqliteStorage(DagsterSqliteStorage):
    """Below ``base_dir``, as :class:`dagster._core.storage.sqlite_storage.DagsterSqliteStorage` has it."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self.base_dir = base_dir
        self._inst_data = inst_data
        self._run_storage = _Runs.from_local(_runs_directory(base_dir))
        self._event_log_storage = _Events(_event_logs_directory(base_dir))
        self._schedule_storage = _Schedules.from_local(_schedule_directory(base_dir))
        # Not that of its parent, which would open everything once more, by Dagster's own classes.
        super(DagsterSqliteStorage, self).__init__()  # type: ignore[no-untyped-call]

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "SqliteStorage":
        return cls.from_local(inst_data=inst_data, **config_value)


class HomeInstance(DagsterInstance):
    """An instance whose records are in the directory that it was opened by.

    In ``dagster.yaml`` the place of a custom storage is a text or an environment variable, and neither need be that
    directory: ``DagsterInstance.from_config(home)`` opened the databases of whatever ``DAGSTER_HOME`` was exported. So
    the storage is no setting but this class's default, which Dagster asks for by directory. It stands in the reference
    that a run's process is given too.
    """

    @classmethod
    def config_schema(cls) -> dict[str, Any]:
        """Keys of ``dagster.yaml`` beside Dagster's own: none."""
        return {}

    @staticmethod
    def config_defaults(base_dir: str) -> dict[str, ConfigurableClassData | None]:
        """What is used where ``dagster.yaml`` says nothing, as in :meth:`dagster._core.instance.InstanceRef`."""
        home = os.path.abspath(base_dir)  # a run's process may have another working directory
        ours = ConfigurableClassData(__name__, SqliteStorage.__name__, yaml.safe_dump({"base_dir": home}))
        return {**InstanceRef.config_defaults(home), "storage": ours}
