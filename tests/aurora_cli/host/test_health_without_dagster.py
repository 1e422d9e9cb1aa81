"""``aurora health`` where Dagster is not installed: its part is not known, and the rest is said."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.hiding import hiding
from tests.site_files import write_site

ROOT = Path(__file__).resolve().parents[3]


def test_health_without_dagster_says_so_and_everything_else(tmp_path: Path) -> None:
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
    found = {check["component"]: check for check in json.loads(done.stdout)["checks"]}
    assert "Dagster is not installed here" in found["dagster"]["message"]
    assert "aurora-platform[server]" in found["dagster"]["message"]
    assert len(found) > 3
    assert list(home.iterdir()) == [home / "history"], "nothing is written"
