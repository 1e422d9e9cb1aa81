"""``aurora health`` without Dagster: Dagster's part is unknown, and all other checks are shown."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.hiding import hiding
from tests.site_files import write_site

ROOT = Path(__file__).resolve().parents[3]


def checks_of(tmp_path: Path, before: str, **environment: str) -> dict[str, dict[str, str]]:
    home = tmp_path / "home"
    (home / "history").mkdir(parents=True)
    done = subprocess.run(
        [
            *(sys.executable, "-c", f"{before}\nfrom aurora_cli.entry_point import main; main()"),
            *("--site", str(write_site(tmp_path)), "health", "--json"),
        ],
        cwd=ROOT,
        env=os.environ | {"DAGSTER_HOME": str(home)} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return {check["component"]: check for check in json.loads(done.stdout)["checks"]}


def test_a_dagster_that_cannot_be_loaded_is_red_and_the_other_checks_are_shown(tmp_path: Path) -> None:
    (tmp_path / "broken" / "dagster").mkdir(parents=True)
    (tmp_path / "broken" / "dagster" / "__init__.py").write_text("raise ImportError('no GLIBC_2.99')\n")
    checks = checks_of(tmp_path, "", PYTHONPATH=str(tmp_path / "broken"))
    message = "Dagster cannot be loaded: ImportError: no GLIBC_2.99"
    assert (checks["dagster installation"]["level"], checks["dagster installation"]["message"]) == ("red", message)
    assert len(checks) > 4


def test_health_without_dagster_names_the_cause_and_shows_the_other_checks(tmp_path: Path) -> None:
    checks = checks_of(tmp_path, hiding(["dagster"]))
    home = tmp_path / "home"
    assert "Dagster is not installed" in checks["dagster"]["message"]
    assert "aurora-platform[server]" in checks["dagster"]["message"]
    assert len(checks) > 3
    assert list(home.iterdir()) == [home / "history"], "nothing is written"
