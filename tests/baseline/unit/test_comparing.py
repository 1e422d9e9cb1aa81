"""The comparison of two homes detects real changes, and ignores only measured values."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from tests.baseline import comparing

HOME_ARCHIVE = Path(__file__).resolve().parents[1] / "home.tar.xz"
SUMMARY, HEALTH, REPORT = (
    "manifests/history/20260306T120000Z/summary.json",  # manifests/latest is a link to it
    "products/ops_monitor/health/latest_health.json",
    "products/ops_monitor/health/latest_report.md",
)
SNAPSHOT, SOURCE = "raw/ops_monitor/latest.json", "state/sources/wxcam.json"


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Reports of the stored golden day."""
    home, names = tmp_path_factory.mktemp("home"), (SUMMARY, HEALTH, REPORT, SNAPSHOT, SOURCE)
    subprocess.run(["tar", "-xJf", HOME_ARCHIVE, "-C", home, *(f"./{name}" for name in names)], check=True)
    return {name: (home / name).read_text() for name in names}


def is_detected(texts: dict[str, str], name: str, old: str, new: str, home: Path) -> bool:
    """Return whether the comparison detects one change in a report."""
    assert old in texts[name], "the report has no such text"
    reports = []
    for text in (texts[name], texts[name].replace(old, new, 1)):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
        reports.append(comparing.reports_of(home))
    assert list(reports[0]) == [name]
    return reports[0] != reports[1]


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        (SUMMARY, '"refused_count": 5', '"refused_count": 6'),
        (SUMMARY, '"generated_at_utc": "2026', '"generated_at_utc": "2027'),
        (SUMMARY, '"refused_count": 5,', ""),
        (HEALTH, '"stale_after_s": 5400.0', '"stale_after_s": 5401.0'),
        (HEALTH, "34 % in use, 71.5 GB free, 5 % of inodes", "not seen"),
        (HEALTH, "host archive 127.0.0.2: clock", "host archive 127.0.0.3: clock"),
        (SNAPSHOT, '"schema_version":', '"schema":'),
        (SNAPSHOT, '"run_id":', '"run":'),
        (REPORT, "newest data 11.9 h old", "newest data 12.9 h old"),
        (REPORT, "**AMBER** host archive", "**RED** host archive"),
        (REPORT, "; looked for", "; it looked for"),
        (SOURCE, "0, 1]", "0, 2]"),
    ],
)
def test_real_content_is_compared(texts: dict[str, str], name: str, old: str, new: str, tmp_path: Path) -> None:
    assert is_detected(texts, name, old, new, tmp_path)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        (HEALTH, "34 % in use, 71.5 GB free, 5 % of inodes", "7 % in use, 1.2 TB free, 60 % of inodes"),
        (HEALTH, "clock +23175503.3 s against", "clock -2.0 s against"),
        (REPORT, "clock +23175503.3 s against", "clock -2.0 s against"),
        (REPORT, "looked for 0.2 s.", "looked for 11.0 s."),
        (REPORT, "Software 0.1.1, commit 01fdda2535bc;", "Software 0.2.0;"),
        (REPORT, "commit 01fdda2535bc; Dagster 1.13.27;", "commit 00fdda2535bc (modified); Dagster 1.14;"),
    ],
)
def test_measured_values_are_not_compared(texts: dict[str, str], name: str, old: str, new: str, tmp_path: Path) -> None:
    assert not is_detected(texts, name, old, new, tmp_path)


def test_each_measured_key_still_occurs_in_a_report(texts: dict[str, str]) -> None:
    found: set[str] = set()
    json.loads(texts[SNAPSHOT], object_hook=found.update)
    assert found >= comparing.MEASURED


@pytest.mark.parametrize("change", ["CREATE INDEX by_size ON image (size)", "ALTER TABLE image ADD COLUMN colour TEXT"])
def test_a_changed_schema_is_detected_without_rows(tmp_path: Path, change: str) -> None:
    file = tmp_path / "a.sqlite"
    with closing(sqlite3.connect(file)) as database:
        database.execute("CREATE TABLE image (path TEXT PRIMARY KEY, size INTEGER)")
        before = comparing.schema_of(file)
        assert len(before) == 2
        database.execute(change)
        database.commit()
    assert comparing.schema_of(file) != before


def test_a_rewritten_finalized_manifest_is_detected_and_a_rewritten_latest_one_is_not(
    tmp_path: Path,
) -> None:
    finalized, latest = tmp_path / "manifests/finalized/met/day.tsv", tmp_path / "manifests/latest/met/local.tsv"
    for file in (finalized, latest):
        file.parent.mkdir(parents=True)
        file.write_text("same")
    before = comparing.file_states_of(tmp_path)
    assert list(before) == ["manifests/finalized/met/day.tsv"]
    staged = tmp_path / "staged"
    staged.write_text("same")
    staged.replace(finalized)
    assert comparing.file_states_of(tmp_path) != before


@pytest.mark.parametrize("name", [HEALTH, REPORT])
def test_the_lines_about_a_new_product_are_left_out_and_no_others(
    texts: dict[str, str], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = str(comparing.read_report(name, texts[name])).replace("\\", "")
    monkeypatch.setattr(comparing, "NEW_PRODUCTS", frozenset({"pixels"}))
    after = str(comparing.read_report(name, texts[name])).replace("\\", "")
    assert (before.count("/pixels"), after.count("/pixels")) == (4, 0)
    assert before.count("/daily_video") == after.count("/daily_video") == 4
