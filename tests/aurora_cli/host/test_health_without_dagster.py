"""``aurora health`` without Dagster: Dagster's part is unknown, and all other checks are shown."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.hiding import hiding
from tests.site_files import write_site

ROOT = Path(__file__).resolve().parents[3]


def test_health_without_dagster_names_the_cause_and_shows_the_other_checks(tmp_path: Path) -> None:
    home = tmp_path / "dagster"
    (home / "history").mkdir(parents=True)
    file = write_site(tmp_path)
    code = f"{hiding(['dagster'])}\nfrom aurora_cli.entry_point import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "--site", str(file), "health", "--json"],
        cwd=ROOT,
        env=os.environ | {"DAGSTER_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    checks = {check["component"]: check for check in json.loads(done.stdout)["checks"]}
    assert "Dagster is not installed" in checks["dagster"]["message"]
    assert "aurora-platform[server]" in checks["dagster"]["message"]
    assert len(checks) > 3
    assert list(home.iterdir()) == [home / "history"], "nothing is written"
