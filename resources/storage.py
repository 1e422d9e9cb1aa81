"""Dagster's records in SQLite, with what is needed to speak to a database kept from one query to the next.

Dagster's own storage makes an SQLAlchemy engine for each query, which asks the database for its abilities and compiles
the statement each time: a third of what an idle daemon does, and a part of each run. Here a database has one engine in
a process. Connections are opened and closed for each use, as by Dagster, so no lock and no file stays open.

Named in ``dagster.yaml``. The files are Dagster's own, in the same places: a home can be used with it and without.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property, lru_cache
from typing import Any

from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.runs import SqliteRunStorage
from dagster._core.storage.schedules import SqliteScheduleStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._core.storage.sqlite_storage import (
    DagsterSqliteStorage,
    _event_logs_directory,
    _runs_directory,
    _schedule_directory,
)
from dagster._serdes import ConfigurableClassData
from sqlalchemy import Connection, Engine, NullPool, create_engine

_MOST = 32  # databases of runs, of which each has one of its own


def _engine(url: str) -> Engine:
    return create_engine(url, poolclass=NullPool, connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS})


class _Runs(SqliteRunStorage):
    @cached_property
    def _kept(self) -> Engine:
        return _engine(self._conn_string)

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        with self._kept.connect() as connection, connection.begin():
            yield connection


class _Schedules(SqliteScheduleStorage):
    @cached_property
    def _kept(self) -> Engine:
        return _engine(self._conn_string)

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        with self._kept.connect() as connection, connection.begin():
            yield connection


class _Events(SqliteEventLogStorage):
    @cached_property
    def _kept(self) -> Any:
        return lru_cache(_MOST)(lambda shard: _engine(self.conn_string_for_shard(shard)))

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock:
            engine = self._kept(shard)
            if shard not in self._initialized_dbs:
                self._initdb(engine)
                self._initialized_dbs.add(shard)
            with engine.connect() as connection, connection.begin():
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
