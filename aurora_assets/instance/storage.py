"""Dagster's records in SQLite, with one SQLAlchemy engine per database and process.

Dagster's own storage makes an engine per query, which asks the database for its features and compiles the statement
every time: a third of the work of an idle daemon, and a part of every run. It also loads all its migrations from their
files, for every tick (to compare the databases with them) and for every run (to make the run's database). In this
storage a database has one engine per process, lasting databases are compared once, and a run's database is a copy of an
empty one that Dagster has made. Connections are opened and closed for every use, as by Dagster, so no lock and no file
stays open.

``dagster.yaml`` names :class:`HomeInstance`, which has this storage in the directory that the instance was opened with.
The files are Dagster's own, in the same places: a home can be used with this storage and with Dagster's.
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

_MAX_ENGINES = 64  # databases; every run has its own

_checked: dict[str, tuple[int, int]] = {}
"""Device and inode of every database that this process has compared with Dagster's migrations, or made."""


@lru_cache(_MAX_ENGINES)
def _engine(url: str) -> Engine:
    return create_engine(url, poolclass=NullPool, connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS})


@contextmanager
def _transaction(url: str) -> Iterator[Connection]:
    with _engine(url).connect() as connection, connection.begin():
        yield connection


def _is_checked(url: str) -> bool:
    """Whether it is the same file that was compared before: another process may be making a new one."""
    return url in _checked and _checked[url] == _file_id(url)


def _file_id(url: str) -> tuple[int, int] | None:
    try:
        status = os.stat(str(make_url(url).database))
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _record_checked(url: str) -> None:
    if found := _file_id(url):
        _checked[url] = found


class _CachedStorage:
    """Mixin for Dagster's storages that are one database in a directory: one engine, compared once."""

    _name: ClassVar[str]
    _conn_string: str

    @classmethod
    def from_local(cls, base_dir: str, inst_data: ConfigurableClassData | None = None) -> Any:
        url = create_db_conn_string(base_dir, cls._name)
        if _is_checked(url):
            return cls(url, inst_data)  # type: ignore[call-arg] # Dagster's constructor
        found = super().from_local(base_dir, inst_data)  # type: ignore[misc] # Dagster's
        _record_checked(url)
        return found

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        with _transaction(self._conn_string) as connection:
            yield connection


class _Runs(_CachedStorage, SqliteRunStorage):
    _name = "runs"


class _Schedules(_CachedStorage, SqliteScheduleStorage):
    _name = "schedules"


@cache
def _empty_database() -> bytes:
    """The bytes of an empty run database, as Dagster itself makes it."""
    with TemporaryDirectory(prefix="aurora-records-") as directory:
        Path(directory, f"{INDEX_SHARD_NAME}.db").touch()  # not needed; Dagster would make it first
        shard = "run"
        with SqliteEventLogStorage(directory).run_connection(shard):
            pass
        return Path(directory, f"{shard}.db").read_bytes()


def _put_empty_database(database: Path) -> bool:
    """Create a complete new database; False if a database already exists, or if this way is not possible."""
    # SQLite would replay a leftover log of an earlier database onto it.
    if any(Path(f"{database}{suffix}").exists() for suffix in ("", "-wal", "-journal")):
        return False
    try:
        with open(os.open(database.parent, os.O_TMPFILE | os.O_WRONLY, 0o644), "wb") as file:
            file.write(_empty_database())
            file.flush()
            os.fsync(file.fileno())
            # With a directory descriptor, although none is needed: otherwise Python links the link in /proc itself.
            os.link(f"/proc/self/fd/{file.fileno()}", database, src_dir_fd=file.fileno())
    except (OSError, DatabaseError):  # another process was faster, the disk is full, or there is no O_TMPFILE
        return False
    return True


def _is_initialized(engine: Engine) -> bool:
    """Whether the making of a database was completed."""
    try:
        with engine.connect() as connection:
            return connection.execute(text("SELECT 1 FROM alembic_version")).first() is not None
    except DatabaseError:
        return False


class _Events(SqliteEventLogStorage):
    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(base_dir, inst_data)
        # Only the index: the runs' databases are made and removed all the time.
        if _is_checked(self.conn_string_for_shard(INDEX_SHARD_NAME)):
            self._initialized_dbs.add(INDEX_SHARD_NAME)

    def _initdb(self, engine: Engine, for_index_shard: bool = False) -> None:
        database = Path(str(engine.url.database))
        if database.stem != INDEX_SHARD_NAME and (_put_empty_database(database) or _is_initialized(engine)):
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
                    _record_checked(url)
            with _transaction(url) as connection:
                yield connection


class SqliteStorage(DagsterSqliteStorage):
    """The storage below ``base_dir``, as in :class:`dagster._core.storage.sqlite_storage.DagsterSqliteStorage`."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self.base_dir = base_dir
        self._inst_data = inst_data
        self._run_storage = _Runs.from_local(_runs_directory(base_dir))
        self._event_log_storage = _Events(_event_logs_directory(base_dir))
        self._schedule_storage = _Schedules.from_local(_schedule_directory(base_dir))
        # Not the parent's constructor, which would open all databases again with Dagster's own classes.
        super(DagsterSqliteStorage, self).__init__()  # type: ignore[no-untyped-call]

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "SqliteStorage":
        return cls.from_local(inst_data=inst_data, **config_value)


class HomeInstance(DagsterInstance):
    """An instance whose records are in the directory that it was opened with.

    In ``dagster.yaml`` the path of a custom storage is a text or an environment variable, and may be another directory:
    ``DagsterInstance.from_config(home)`` opened the databases of the exported ``DAGSTER_HOME``. So the storage is not a
    setting but the default of this class, which Dagster requests per directory. It is also in the reference that a
    run's process gets.
    """

    @classmethod
    def config_schema(cls) -> dict[str, Any]:
        """Keys of ``dagster.yaml`` in addition to Dagster's own: none."""
        return {}

    @staticmethod
    def config_defaults(base_dir: str) -> dict[str, ConfigurableClassData | None]:
        """The defaults for keys that ``dagster.yaml`` does not have (:meth:`dagster._core.instance.InstanceRef`)."""
        home = os.path.abspath(base_dir)  # a run's process may have another working directory
        storage = ConfigurableClassData(__name__, SqliteStorage.__name__, yaml.safe_dump({"base_dir": home}))
        return {**InstanceRef.config_defaults(home), "storage": storage}
