"""How things are shown in the Dagster UI: tables, pictures and units, alike for every asset and check.

Part of the Dagster layer. What is shown is decided by the assets and checks themselves.
"""

import base64
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetExecutionContext,
    MetadataValue,
    TableColumn,
    TableRecord,
    TableSchema,
)

from aurora_platform.check_report import CheckReport
from aurora_platform.plots import coverage_strip, strip_days
from aurora_platform.report_fields import shown_fields
from aurora_platform.text import Count, human_size

Metadata = dict[str, Any]


def picture(data: bytes, text: str, kind: str = "jpeg") -> MetadataValue:
    """A picture inline in the UI: a JPEG, or a PNG by its ``kind``."""
    return MetadataValue.md(f"![{text}](data:image/{kind};base64,{base64.b64encode(data).decode('ascii')})")


def coverage(rows: Mapping[str, Mapping[date, float | None]], last: date, title: str) -> Metadata:
    """The 30 days up to ``last`` as a strip of boxes; see :func:`aurora_platform.plots.coverage_strip`."""
    strip = coverage_strip(rows, strip_days(last), title)
    return {"coverage": picture(strip, title, "png")}


def table(name: str, rows: Iterable[Mapping[str, str | int | float]]) -> Metadata:
    """Rows with the same keys as a table of this name; nothing where there are no rows."""
    records = [TableRecord(dict(row)) for row in rows]
    return {name: MetadataValue.table(records)} if records else {}


def metadata_of(report: object) -> Metadata:
    """The shown fields of a report (:mod:`aurora_platform.report_fields`) as metadata; empty ones are left out.

    Sizes come twice: for people where their field stands, and as a number, which the UI can plot, at the end.
    """
    found: Metadata = {}
    numbers: Metadata = {}
    for name, show, value in shown_fields(report):
        if show.rare and not (value.total if isinstance(value, Count) else value):
            continue
        if show.unit == "bytes":
            found[name.replace("bytes", "size")] = human_size(value)
            numbers[name] = value
        elif show.unit == "bytes/s":
            found |= {name: f"{human_size(value)}/s"} if value else {}
        else:
            found |= _entries(name, value)
    return found | numbers


def attach(context: AssetExecutionContext, by_partition: Mapping[str, Metadata], of_run: Metadata) -> Metadata:
    """Attach metadata to the partitions of a run; returns what is left for the materialization itself.

    The UI shows metadata in their order. With one partition, its own values come first, then those of the run.
    """
    alone = len(by_partition) == 1
    for key, metadata in by_partition.items():
        context.add_asset_metadata({**metadata, **of_run} if alone else metadata, partition_key=key)
    return {} if alone else of_run


def _entries(name: str, value: Any) -> Metadata:
    """One value as metadata; a count comes with its first names, a ``path -> reason`` with a table."""
    if value is None or value == "":
        return {}
    match value:
        case Count():
            return {name: value.total} | ({f"{name}_first": "; ".join(value.first)} if value.first else {})
        case Mapping() if all(isinstance(reason, Count) for reason in value.values()):
            return {name: sum(count.total for count in value.values())} | _refused_files(name, value)
        case Mapping():
            return {name: len(value)} | names(f"{name}_files", value)
        case Path():
            return {name: MetadataValue.path(str(value))}
        case (datetime(), datetime()):
            return span(value)
        case datetime():
            return {name: MetadataValue.timestamp(value)}
        case float():
            return {name: round(value, 3)}
        case bool() | int():
            return {name: value}
        case str():
            return {name: str(value)}  # of an enumeration: its text
    if isinstance(value, Iterable):
        texts = [str(one) for one in value]
        return {name: "\n".join(texts)} if texts else {}
    raise TypeError(f"{name}: {type(value).__name__} cannot be shown")


def _refused_files(name: str, reasons: Mapping[str, Count]) -> Metadata:
    """Counts by their reason, as a table with the first names."""
    rows: list[Mapping[str, str | int | float]] = [
        {"reason": reason, "files": count.total, "first": ", ".join(count.first)}
        for reason, count in sorted(reasons.items())
    ]
    return table(f"{name}_files", rows)


def column_schema(columns: Mapping[str, tuple[str, str]]) -> Metadata:
    """The columns of a table or file: name -> (type, meaning)."""
    found = [TableColumn(name, kind, description=meaning) for name, (kind, meaning) in columns.items()]
    return {"dagster/column_schema": TableSchema(columns=found)}


def names(name: str, reasons: Mapping[str, str], most: int = 10) -> Metadata:
    """The first files of a report's ``path -> reason``, as a table of this name."""
    return table(name, ({"file": path, "reason": reason} for path, reason in list(reasons.items())[:most]))


def rate(amount: float, seconds: float) -> float:
    """Per second; 0 where nothing was timed."""
    return round(amount / seconds, 3) if seconds > 0 else 0.0


def span(value: tuple[datetime, datetime] | None) -> Metadata:
    """First and last data time, as text (UTC), where there are any."""
    if value is None:
        return {}
    first, last = (f"{time:%Y-%m-%d %H:%M:%S} UTC" for time in value)
    return {"first": first, "last": last}


def common_version(data_versions: Sequence[str]) -> str:
    """The data version of what one run made: of its partition, or one over several where the run covers a range.

    Dagster records one data version for all partitions of a single-run backfill; each partition's own data version is
    in its metadata.
    """
    if len(data_versions) == 1:
        return data_versions[0]
    return sha256("\0".join(data_versions).encode()).hexdigest()


def check_result(reports: Sequence[CheckReport]) -> AssetCheckResult:
    """One result for all partitions of a run: numbers add up, offenders are named with their subject."""
    failed = [report for report in reports if not report.passed]
    numbers: dict[str, int | float] = {}
    for report in reports:
        for name, number in report.numbers.items():
            numbers[name] = numbers.get(name, 0) + number
    offenders: list[dict[str, str | int | float]] = [
        {"what": report.subject, "wrong": kind, "count": count.total, "first": "; ".join(count.first)}
        for report in failed
        for kind, count in report.wrong.items()
    ]
    excluded = {name: reason for report in reports for name, reason in report.excluded.items()}
    return AssetCheckResult(
        passed=not failed,
        severity=AssetCheckSeverity.WARN,
        description=" ".join(report.sentence for report in (failed or reports)[:5]),
        metadata=numbers | table("offenders", offenders) | names("excluded_files", excluded),
    )
