"""The check of a stream's manifests fails with the error of one day's finalization."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from aurora_assets.archive.assets import manifests_key
from aurora_assets.archive.checks import no_settled_gap
from tests.archive.places import DAY, STREAM, Observatory


def test_a_day_with_a_damaged_finalization_fails_the_check_with_its_error(tmp_path: Path) -> None:
    observatory = Observatory(tmp_path)
    observatory.fill(3)
    observatory.fill(3, day=DAY + timedelta(days=1))
    observatory.verify_and_publish(DAY, DAY + timedelta(days=1))
    observatory.records.finalizations(STREAM).file(DAY).write_text("complete: true\nfiles: 3\n")
    outcome = observatory.verify_and_publish(DAY, DAY + timedelta(days=1))
    check = no_settled_gap(manifests_key(STREAM), outcome.report, {})
    assert not check.passed
    (error,) = [day.error for day in outcome.report.days if day.error]
    assert f"{DAY}_{STREAM}" in error
    assert error in str(check.description)
