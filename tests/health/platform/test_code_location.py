"""If the code location does not load, ``aurora health`` reports that and shows everything else."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from dagster import DagsterInstance, DagsterInvalidDefinitionError

from aurora_cli.main import main
from aurora_platform.health.models import Assessment, Level
from tests.daemon import make_home
from tests.health.check_results import MATCHES, Records
from tests.site_files import write_site

RUNBOOK = (Path(__file__).resolve().parents[3] / "docs/operating.md").read_text().partition("## Runbook, by symptom")[2]


def broken_import(patch: pytest.MonkeyPatch) -> str:
    patch.setitem(sys.modules, "aurora_assets.definitions", None)
    return "cannot be loaded: ModuleNotFoundError: import of aurora_assets.definitions halted"


def refused_by_dagster(patch: pytest.MonkeyPatch) -> str:
    def build(site: object) -> None:
        raise DagsterInvalidDefinitionError("Found invalid cron schedule\n  of schedule retention")

    patch.setattr("aurora_assets.definitions.build", build)
    return "cannot be loaded: DagsterInvalidDefinitionError: Found invalid cron schedule"


@pytest.mark.parametrize("fault", [broken_import, refused_by_dagster])
def test_the_command_shows_everything_else_if_the_code_does_not_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault
) -> None:
    home = make_home(tmp_path / "home")
    with DagsterInstance.from_config(str(home)) as instance:
        Records(instance).evaluate(MATCHES)
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    message = fault(monkeypatch)
    done = CliRunner().invoke(main, ["--site", str(write_site(tmp_path)), "health", "--json"])
    found = {check.component: check for check in Assessment.model_validate_json(done.output).checks}
    line = found["code location"]
    assert (line.level, done.exit_code) == (Level.RED, 2)
    assert line.message.startswith(message)
    assert "dagster definitions validate" in line.details
    assert "check raw/met:matches_source" in found
    assert "**`code location`, `cannot be loaded: ...`**" in RUNBOOK


def test_a_code_location_that_loads_has_no_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(make_home(tmp_path / "home")))
    done = CliRunner().invoke(main, ["--site", str(write_site(tmp_path)), "health", "--json"])
    assert "code location" not in {check.component for check in Assessment.model_validate_json(done.output).checks}
