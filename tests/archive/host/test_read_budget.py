"""How much a verification reads on an instrument host, which may run on solar power."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from aurora_platform.archive import backlog
from aurora_platform.archive.compare import MatchClass
from aurora_platform.errors import SiteError
from tests.archive.places import DAY, STREAM, Observatory, name_of

TODAY = datetime.now(UTC).date()
MEGABYTE = 10**6


def fill(observatory: Observatory, count: int, size: int = 400_000) -> list[str]:
    names = [name_of(number) for number in range(count)]
    for number, name in enumerate(names):
        for side in ("source", "local", "gws"):
            observatory.write(side, name, bytes([number]) * size, number=number)
    return names


def verified(observatory: Observatory, **options: Any) -> Any:
    return observatory.verify_and_publish(**options).report


def used(observatory: Observatory, day: date = TODAY) -> int:
    with observatory.records.evidence() as evidence:
        return evidence.budget.used("here", day)


def another_day(observatory: Observatory) -> None:
    """Move what was read to yesterday, as a night does."""
    with observatory.records.evidence() as evidence, evidence._writing() as db:
        db.execute("UPDATE OR REPLACE read_budget SET day = ?", (str(TODAY - timedelta(days=1)),))


def test_a_budget_holds_over_restarts_and_what_is_not_read_is_pending(tmp_path: Path) -> None:
    observatory = Observatory(tmp_path, {"verify": {"budget": "1MB/d"}})
    fill(observatory, 6)
    report = verified(observatory)
    assert (report.read["source"], report.read["local"], report.read["gws"]) == (2, 6, 6)
    found = report.days[0].verdict
    assert (found.local_classes, found.is_final) == ({MatchClass.IDENTICAL: 2, MatchClass.PENDING: 4}, False)
    assert "1.0 MB were read today" in report.summary()
    again = verified(Observatory(tmp_path, {"verify": {"budget": "1MB/d"}}))
    assert (again.read.get("source", 0), used(observatory)) == (0, 800_000)
    for complete in (False, True):
        another_day(observatory)
        report = verified(observatory)
        assert report.read["source"] == 2
        assert report.days[0].verdict.is_final is complete
    assert not report.budget_used_up


def test_a_file_larger_than_the_budget_is_read_alone_on_a_day(tmp_path: Path) -> None:
    observatory = Observatory(tmp_path, {"verify": {"budget": "1MB/d"}})
    fill(observatory, 2, size=3 * MEGABYTE)
    assert verified(observatory).read["source"] == 1
    another_day(observatory)
    assert verified(observatory).days[0].verdict.is_final


def test_files_that_wait_for_the_budget_of_another_day_ask_for_no_verification_now(tmp_path: Path) -> None:
    observatory = Observatory(tmp_path, {"verify": {"budget": "1MB/d"}})
    fill(observatory, 6)
    observatory.verify_all()
    now = datetime.now(UTC)
    assert "pending" not in backlog.verification(observatory.records, STREAM, [DAY], now).why.split(";")[0]
    assert backlog.verification(observatory.records, STREAM, [DAY], now).days == ()
    another_day(observatory)
    assert list(backlog.verification(observatory.records, STREAM, [DAY], now).days) == [DAY]


def test_a_source_that_is_not_read_is_compared_by_size_and_mtime_and_prunes_nothing(tmp_path: Path) -> None:
    observatory = Observatory(tmp_path, {"verify": {"source": "size"}})
    names = fill(observatory, 4)
    report = verified(observatory, full=True)
    assert "source" not in report.read
    found = report.days[0].verdict
    assert (found.local_classes, found.is_final, found.proved) == ({MatchClass.LISTED: 4}, True, 4)
    assert "4 same size and mtime" in found.sentence()
    assert observatory.verify_all().summary.prune_candidate_count == 0
    observatory.write("source", names[0], b"shorter", number=0)
    assert verified(observatory).days[0].verdict.local_classes[MatchClass.LISTED] == 3


@pytest.mark.parametrize("verify", [{"budget": "20GB"}, {"budget": "0GB/d"}, {"budget": 20}, {"source": "mtime"}])
def test_a_wrong_budget_is_one_error_that_names_its_key(tmp_path: Path, verify: dict[str, Any]) -> None:
    with pytest.raises(SiteError, match=rf"streams\.met\.verify\.{next(iter(verify))}: "):
        Observatory(tmp_path, {"verify": verify})
