"""The records of a site, opened without writing: for whoever only asks, also on a disk that is full or read-only."""

from __future__ import annotations

import re
import sqlite3
from dataclasses import replace
from pathlib import Path

from aurora_platform.archive import fixity, ledger
from aurora_platform.archive.fixity import Evidence
from aurora_platform.archive.fixity_tables import SCHEMA as EVIDENCE
from aurora_platform.archive.fixity_tables import TABLES_SINCE_1
from aurora_platform.archive.ledger import Ledger
from aurora_platform.archive.ledger_tables import SCHEMA as LEDGER
from aurora_platform.archive.stores import Records
from aurora_platform.errors import EvidenceError, LedgerError
from aurora_platform.fs.sqlite_errors import Holding, explaining

_WAIT_SECONDS = 10.0
_EVIDENCE, _LEDGER = replace(fixity.HOLDING, leaves_mark=False), replace(ledger.HOLDING, leaves_mark=False)


class ReadOnlyEvidence(Evidence):
    """The evidence as it is; :class:`EvidenceError` where there is none, or it cannot be read."""

    def _open_database(self, path: Path, script: str) -> None:
        if not path.exists():
            raise EvidenceError(f"{path}: there is no evidence yet. The first verification makes it.")
        self._open_readonly(path, _WAIT_SECONDS, script, EVIDENCE, _EVIDENCE)
        with explaining(path, _EVIDENCE):
            _require_tables(self._db, path, _EVIDENCE)
            _add_empty_tables(self._db)


class ReadOnlyLedger(Ledger):
    """The ledger as it is; :class:`LedgerError` where there is none, or it cannot be read."""

    def _open_database(self, path: Path) -> None:
        if not path.exists():
            raise LedgerError(f"{path}: there is no ledger yet. The first push makes it.")
        self._open_readonly(path, _WAIT_SECONDS, "", LEDGER, _LEDGER)
        with explaining(path, _LEDGER):
            _require_tables(self._db, path, _LEDGER)


def _add_empty_tables(db: sqlite3.Connection) -> None:
    """Add the tables that evidence of an older version lacks, empty and for this connection only."""
    for statement in TABLES_SINCE_1:
        (name,) = re.findall(r"CREATE TABLE IF NOT EXISTS (\w+)", statement)
        if db.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (name,)).fetchone() is None:
            db.execute(statement.replace("CREATE TABLE", "CREATE TEMP TABLE"))


def _require_tables(db: sqlite3.Connection, path: Path, holding: Holding) -> None:
    """Raise where a database is empty, as a full disk leaves it: the next writer makes its tables."""
    if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'file'").fetchone() is None:
        db.close()
        raise holding.error(f"{path}: {holding.name} is empty. The next run that writes makes its tables.", False)


class ReadOnlyRecords(Records):
    """The records of a site as they are."""

    def ledger(self) -> Ledger:
        return ReadOnlyLedger(self.layout.ledger)

    def evidence(self) -> Evidence:
        return ReadOnlyEvidence(self.layout.fixity)
