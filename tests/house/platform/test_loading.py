"""Loading the code location is cheap: what a run needs is loaded by that run, not by all that Dagster loads it for."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

HEAVY = {
    *("av", "imagecodecs", "matplotlib", "numpy", "PIL", "xarray", "zarr", "dask"),
    *("fabric", "invoke", "paramiko", "cryptography"),
    *("jinja2", "requests", "urllib3", "smtplib", "mailbox"),
    *("alembic", "sqlalchemy"),
}
"""Libraries of the work: media, arrays, sessions, pages, mails, Dagster's own databases."""


def modules_of(code: str, site: Path) -> set[str]:
    """What is loaded in a fresh process that has run ``code``."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport json, sys; print(json.dumps(sorted(sys.modules)))"],
        cwd=ROOT,
        env=os.environ | {"AURORA_SITE": str(site)},
        check=True,
        capture_output=True,
        text=True,
    )
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("site", ["gamb2le", "demo"])
def test_loading_the_code_location_loads_no_library_of_the_work(site: str) -> None:
    code = "from aurora_assets.definitions import defs; assert defs.get_repository_def().get_all_jobs"
    file = ROOT / "sites" / f"{site}.yaml"
    ours = modules_of(code, file) - modules_of("import dagster", file)
    assert "aurora_assets.definitions" in ours
    assert sorted(HEAVY & {name.split(".")[0] for name in ours}) == []
