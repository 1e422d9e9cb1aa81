"""``aurora explain``: what it prints, its JSON, its exit codes, and what it does not do."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aurora_platform.layout import Layout
from tests.archive import places
from tests.archive.places import DAY
from tests.aurora_cli.parts import FILES, ROOT, SECOND, Observatory, parse_json, run_aurora, stat_trees
from tests.hiding import hiding

NAME = "0/met_20260305_000.csv"
SECTIONS = [
    "What it is",
    "Verdict",
    "Copies (times are UTC)",
    f"Finalization of {DAY}",
    "Runs and checks",
    "What happens next",
]


@pytest.fixture
def finalized(tmp_path: Path) -> places.Observatory:
    """A finalized day of six files, whose archive is a directory."""
    made = places.Observatory(tmp_path)
    made.fill()
    assert made.verify_and_publish().report.days[0].verdict.is_final
    return made


def explain(site: places.Observatory, *arguments: str) -> Any:
    return run_aurora(site.home / "site.yaml", "explain", *arguments)


def test_the_answer_about_a_verified_file_has_every_section_in_order_and_exits_with_0(
    finalized: places.Observatory,
) -> None:
    path = finalized.place("local", NAME)
    result = explain(finalized, str(path))
    assert result.exit_code == 0
    lines = [line.rstrip() for line in result.stdout.splitlines()]
    assert [line for line in lines if line in SECTIONS] == SECTIONS
    assert "  COPIED AND VERIFIED: source, local and archive are identical" in lines
    digits = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    assert sum(digits in line for line in lines) == 3, "a row per place"
    assert f"  local: {path}" in lines
    assert "  complete, revision 1, since " in result.stdout
    assert "has no records: was the platform ever started with it?" in result.stdout


def test_a_file_that_waits_for_an_operator_exits_with_1_and_names_the_command(finalized: places.Observatory) -> None:
    finalized.place("local", NAME).unlink()
    result = explain(finalized, NAME)
    assert result.exit_code == 1
    assert "  MISSING LOCAL: on its host and not local; it was expected 10m after it settled\n" in result.stdout
    assert f"  waits for an operator: aurora sync met --day {DAY}\n" in result.stdout


def test_json_has_the_same_answer_with_whole_checksums(finalized: places.Observatory) -> None:
    result = explain(finalized, NAME, "--json")
    answer = parse_json(result)
    assert (result.exit_code, answer["needs_operator"]) == (0, False)
    assert (answer["subject"]["stream"], answer["subject"]["day"]) == ("met", str(DAY))
    assert answer["conclusion"]["state"] == "copied and verified"
    content = finalized.place("gws", NAME).read_bytes()
    assert {copy["sha256"] for copy in answer["copies"]} == {hashlib.sha256(content).hexdigest()}
    assert answer["copies"][2]["mtime_ns"] == finalized.place("gws", NAME).stat().st_mtime_ns
    assert answer["dagster"][0]["asset"] == "raw/met"
    assert "DAGSTER_HOME" in answer["dagster"][0]["missing"]
    assert answer["next_steps"][0].startswith("verified again ")


def test_a_damaged_evidence_is_named_under_problems_and_exits_with_1(finalized: places.Observatory) -> None:
    evidence = Layout.of(finalized.site).fixity
    evidence.write_bytes(b"rubbish" * 1000)
    result = explain(finalized, NAME)
    assert result.exit_code == 1
    assert f"  evidence: {evidence}: the evidence is damaged (file is not a database). " in result.stdout
    assert "  complete, revision 1, since " in result.stdout, "the finalization is a file of its own"


def test_a_hostile_name_is_printable(finalized: places.Observatory) -> None:
    name = "met_20260305_\x1b[31m\n\u202e.csv"
    finalized.write("source", name, b"x")
    result = explain(finalized, name)
    assert result.exit_code == 1
    assert "refused, and never copied: control character in the name" in result.stdout
    assert "\\x1b[31m\\n\\u202e" in result.stdout
    assert result.stdout.replace("\n", "").isprintable()
    assert parse_json(explain(finalized, name, "--json"))["conclusion"]["state"] == "refused"


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("raw/radar/2026-03-05", "no asset of this site. Its assets: source/met, raw/met, gws/raw/met, manifests/met"),
        ("raw/met/2026-02-30", "2026-02-30: not a partition of raw/met, which are YYYY-MM-DD (UTC)"),
        ("nonsense", "no stream includes this path"),
        ("ops/health/2026-03-05", "ops/health has no partitions: ask for ops/health"),
    ],
)
def test_a_wrong_argument_exits_with_2_and_says_what_is_right(
    finalized: places.Observatory, what: str, message: str
) -> None:
    result = explain(finalized, what)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert explain(finalized).exit_code == 2


def test_source_lists_the_day_on_its_host_and_nothing_is_written(site_file: Path, observatory: Observatory) -> None:
    before = stat_trees(site_file.parent, observatory.source)
    day = f"raw/cl61/{SECOND}"
    without = parse_json(run_aurora(site_file, "explain", day, "--json"))
    listed = parse_json(run_aurora(site_file, "explain", day, "--json", "--source"))
    assert [answer["copies"][0]["files"] for answer in (without, listed)] == [None, FILES["cl61"]]
    assert (without["conclusion"]["state"], listed["conclusion"]["state"]) == ("unknown", "incomplete")
    assert f"{FILES['cl61']} settled files of the source missing local" in listed["conclusion"]["sentence"]
    assert stat_trees(site_file.parent, observatory.source) == before


def test_without_dagster_one_line_says_how_to_get_it(finalized: places.Observatory, tmp_path: Path) -> None:
    home = tmp_path / "dagster"
    (home / "history").mkdir(parents=True)
    code = f"{hiding(['dagster'])}\nfrom aurora_cli.entry_point import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "--site", str(finalized.home / "site.yaml"), "explain", NAME, "--json"],
        cwd=ROOT,
        env=os.environ | {"DAGSTER_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)["dagster"]
    assert {one["missing"] for one in facts} == {
        "Dagster is not installed: make setup, or pip install 'aurora-platform[server]'"
    }


def test_a_dagster_that_cannot_be_imported_is_a_problem_and_the_rest_is_shown(
    finalized: places.Observatory, tmp_path: Path
) -> None:
    (tmp_path / "home" / "history").mkdir(parents=True)
    (tmp_path / "broken" / "dagster").mkdir(parents=True)
    (tmp_path / "broken" / "dagster" / "__init__.py").write_text("raise ImportError('no GLIBC_2.99')\n")
    done = subprocess.run(
        [sys.executable, "-m", "aurora_cli.main", "--site", str(finalized.home / "site.yaml"), "explain", NAME],
        cwd=ROOT,
        env=os.environ | {"DAGSTER_HOME": str(tmp_path / "home"), "PYTHONPATH": f"{tmp_path / 'broken'}:{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert "  COPIED AND VERIFIED: " in done.stdout
    problem = "Dagster's records cannot be opened: ImportError: no GLIBC_2.99"
    assert f"  runs and checks: {problem}\n" in done.stdout
    assert "  waits for an operator: mend what is named under PROBLEMS\n" in done.stdout
