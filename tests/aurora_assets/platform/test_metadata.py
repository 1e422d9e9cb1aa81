"""Reports as metadata: important values come first, sizes are readable, empty values are left out."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import pytest
from dagster import MetadataValue

from aurora_assets.metadata import check_result, metadata_of, table
from aurora_platform.check_report import CheckReport
from aurora_platform.report_fields import Show
from aurora_platform.text import Count

NAMED = Show()


@dataclass
class Report:
    """Like a report of the library."""

    internal: str = "not shown"
    copied: Annotated[int, NAMED] = 3
    bytes: Annotated[int, Show(unit="bytes")] = 1_300_000_000
    unsettled: Annotated[Count, NAMED] = field(default_factory=Count)
    parked: Annotated[Count, Show(rare=True)] = field(default_factory=Count)
    excluded: Annotated[dict[str, str], NAMED] = field(default_factory=dict)
    target: Annotated[Path | None, Show("path")] = None
    note: Annotated[str, NAMED] = ""
    days: Annotated[list[date], NAMED] = field(default_factory=list)
    seconds: Annotated[float, NAMED] = 1.2346

    @property
    def rate(self) -> Annotated[float, Show(unit="bytes/s")]:
        return self.bytes / self.seconds


def test_values_come_in_the_order_of_the_class_and_numbers_of_bytes_at_the_end() -> None:
    assert metadata_of(Report()) == {
        "copied": 3,
        "size": "1.3 GB",
        "unsettled": 0,
        "excluded": 0,
        "seconds": 1.235,
        "rate": "1.1 GB/s",
        "bytes": 1_300_000_000,
    }
    assert list(metadata_of(Report())) == [
        "copied", "size", "unsettled", "excluded", "seconds", "rate", "bytes"
    ]  # fmt: skip


def test_a_rare_count_is_shown_with_its_first_names_if_it_is_not_zero() -> None:
    report = Report()
    report.parked.add("a.nc")
    report.parked.add("b.nc")
    entries = metadata_of(report)
    assert (entries["parked"], entries["parked_first"]) == (2, "a.nc; b.nc")


def test_paths_days_and_reasons_have_their_own_metadata_types() -> None:
    entries = metadata_of(
        Report(target=Path("/data/20260305.mp4"), days=[date(2026, 3, 5), date(2026, 3, 6)], excluded={"a.jpg": "gray"})
    )
    assert entries["path"] == MetadataValue.path("/data/20260305.mp4")
    assert entries["days"] == "2026-03-05\n2026-03-06"
    assert entries["excluded"] == 1
    assert [dict(record.data) for record in entries["excluded_files"].value.records] == [
        {"file": "a.jpg", "reason": "gray"}
    ]


def test_a_time_span_is_first_and_last() -> None:
    @dataclass
    class Spanned:
        span: Annotated[tuple[datetime, datetime] | None, NAMED] = None

    first, last = datetime(2026, 3, 5, 1, tzinfo=UTC), datetime(2026, 3, 5, 2, 30, tzinfo=UTC)
    assert metadata_of(Spanned((first, last))) == {
        "first": "2026-03-05 01:00:00 UTC",
        "last": "2026-03-05 02:30:00 UTC",
    }
    assert metadata_of(Spanned()) == {}


def test_a_value_of_another_type_is_an_error_and_is_not_left_out_in_silence() -> None:
    @dataclass
    class Odd:
        value: Annotated[object, NAMED]

    with pytest.raises(TypeError, match="value: object cannot be shown"):
        metadata_of(Odd(object()))


def test_a_table_without_rows_and_a_rare_size_of_zero_are_left_out() -> None:
    @dataclass
    class Product:
        bytes: Annotated[int, Show(unit="bytes", rare=True)] = 0

    assert table("offenders", []) == {}
    assert metadata_of(Product()) == {}
    assert metadata_of(Product(1500)) == {"size": "1.5 kB", "bytes": 1500}
    passed = check_result([CheckReport("a.mp4", numbers={"frames": 3})])
    assert (dict(passed.metadata or {}).keys(), passed.description) == ({"frames"}, "a.mp4: as it should be.")


def test_an_enumeration_is_shown_as_its_text() -> None:
    class Level(StrEnum):
        RED = "red"

    @dataclass
    class Report:
        level: Annotated[Level, NAMED] = Level.RED

    assert type(metadata_of(Report())["level"]) is str
    assert metadata_of(Report()) == {"level": "red"}
