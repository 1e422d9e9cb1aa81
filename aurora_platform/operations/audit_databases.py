"""Audits the databases: those of the site, and Dagster's records. It writes nothing."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

from aurora_platform.archive import fixity, ledger
from aurora_platform.archive.fixity_tables import SCHEMA as EVIDENCE
from aurora_platform.archive.ledger_tables import SCHEMA as LEDGER
from aurora_platform.cameras import catalog
from aurora_platform.cameras.catalog_tables import SCHEMA as CATALOG
from aurora_platform.config.site import Site
from aurora_platform.errors import AuroraError, NewerError
from aurora_platform.fs.sqlite import Schema
from aurora_platform.fs.sqlite_aside import moved_aside, what_is_wrong
from aurora_platform.fs.sqlite_errors import (
    Holding,
    check_whole,
    damage_mark,
    damaged,
    describe,
    explaining,
    is_damage,
    open_beside_writers,
)
from aurora_platform.health.models import Check
from aurora_platform.health.models import Level as HealthLevel
from aurora_platform.layout import WXCAM, Layout
from aurora_platform.operations.audit_result import AuditLine, Level
from aurora_platform.text import human_size

_DAGSTER = Holding("Dagster's record", lambda text, _: AuroraError(text), "aurora audit --deep", "aurora audit --deep")
_MOST_OF_DAGSTER = 2000  # files: one for each run, and some for all


def audits(site: Site, *, deep: bool = False) -> dict[str, partial[Iterator[AuditLine]]]:
    """The audit of each database by its component; ``deep`` reads all of it, which takes seconds a GB."""
    return {**_audits_of_site(site, deep=deep), "Dagster's records": partial(_audit_dagster, deep)}


def _audits_of_site(site: Site, *, deep: bool) -> dict[str, partial[Iterator[AuditLine]]]:
    layout = Layout.of(site)
    found = {"ledger": partial(_audit, "ledger", layout.ledger, LEDGER, ledger.HOLDING, deep)}
    found["evidence"] = partial(_audit, "evidence", layout.fixity, EVIDENCE, fixity.HOLDING, deep)
    if WXCAM in site.streams:
        found["catalogue"] = partial(_audit, "catalogue", layout.camera.catalog, CATALOG, catalog.HOLDING, deep)
    return found


def _audit(component: str, path: Path, schema: Schema, holding: Holding, deep: bool) -> Iterator[AuditLine]:
    if not path.exists() or not path.stat().st_size:
        yield AuditLine(component, Level.OK, f"{path}: not made yet")
    else:
        try:
            with explaining(path, replace(holding, leaves_mark=False)):
                yield _audit_one(component, path, schema, holding, deep)
        except (AuroraError, OSError) as error:
            yield AuditLine(component, Level.FAIL, str(error))
    if aside := moved_aside(path):
        why = aside[-1].read_text().strip()[:200]
        what = f"{len(aside)} damaged ones were moved to {aside[-1].parent}, the last: {why}"
        yield AuditLine(component, Level.WARN, what, f"look for the cause (dmesg), then delete {aside[-1].parent}")


def _audit_one(component: str, path: Path, schema: Schema, holding: Holding, deep: bool) -> AuditLine:
    is_marked = damage_mark(path).exists()
    if reason := what_is_wrong(path, schema) if deep or is_marked else _open_and_compare(path, schema):
        return AuditLine(component, Level.FAIL, damaged(path, reason, holding), f"`{holding.rebuild}`")
    how = "every page was read" if deep or is_marked else "it opens; --deep reads all of it"
    return AuditLine(component, Level.OK, f"{path}: {human_size(path.stat().st_size)}, {how}")


def _open_and_compare(path: Path, schema: Schema) -> str:
    """Open a database and read its tables; an empty text, or what is wrong."""
    with closing(open_beside_writers(path)) as db:
        try:
            schema.check(db, path)
        except NewerError:
            return ""  # another line of the audit says so
        version = db.execute("PRAGMA user_version").fetchone()[0]
        missing = schema.missing_from(db) if version == schema.version else []
    return f"no such table or column: {', '.join(missing[:3])}" if missing else ""


def _audit_dagster(deep: bool) -> Iterator[AuditLine]:
    home = os.environ.get("DAGSTER_HOME")
    files = sorted(Path(home).rglob("*.db"), key=lambda file: -file.stat().st_mtime) if home else []
    wrong, unread = [], []
    for file in files[:_MOST_OF_DAGSTER]:
        try:
            reason = check_whole(file) if deep else _header(file)
        except sqlite3.Error as error:  # in use, or not allowed: no damage
            unread.append(describe(error, file, _DAGSTER))
            continue
        if reason:
            wrong.append(f"{file}: {reason}")
    if unread:
        yield AuditLine("Dagster's records", Level.WARN, f"{len(unread)} were not read: {unread[0]}", "try again")
    if wrong:
        what = f"{len(wrong)} of {len(files)} are damaged: {'; '.join(wrong[:3])}"
        step = (
            "stop Dagster, move these files away, and start it again (docs/operating.md, Runbook: a damaged database)"
        )
        yield AuditLine("Dagster's records", Level.FAIL, what, step)
    elif files:
        how = "every page was read" if deep else "each opens; --deep reads all"
        yield AuditLine("Dagster's records", Level.OK, f"{len(files)} files below {home}: {how}")


def _header(file: Path) -> str:
    """Read the first page of a database: an empty text, or what is wrong with it."""
    if not file.stat().st_size:
        return ""
    with closing(open_beside_writers(file, wait=1)) as db:
        try:
            db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.DatabaseError as error:
            if is_damage(error):
                return str(error)
            raise
    return ""


def database_checks(site: Site) -> Iterator[Check]:
    """The databases for the health of a site: red where readers see a damaged one; nothing if all is well.

    Each is opened, and read whole only if an error has marked it as damaged. Without Dagster's own records: those are
    a file for each run, too many for each snapshot.
    """
    for component, job in _audits_of_site(site, deep=False).items():
        for line in job():
            if line.level in (Level.FAIL, Level.WARN):
                level = HealthLevel.RED if line.level is Level.FAIL else HealthLevel.AMBER
                step = line.next_step or "run aurora audit"
                details = f"Stage: platform. Next: {step}. Runbook: `a damaged database`"
                yield Check(level=level, component=f"database {component}", message=line.what, details=details)
