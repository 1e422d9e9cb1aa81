"""Loading is cheap: a run or a verb loads its libraries itself, the code location and the command do not."""

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
"""Heavy libraries: media, arrays, sessions, pages, mails, Dagster's own databases."""


def modules_of(code: str, site: Path) -> set[str]:
    """The modules that are loaded after a new process has run ``code``."""
    process = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport json, sys; print(json.dumps(sorted(sys.modules)))"],
        cwd=ROOT,
        env=os.environ | {"AURORA_SITE": str(site)},
        check=True,
        capture_output=True,
        text=True,
    )
    return set(json.loads(process.stdout.splitlines()[-1]))  # the lines before are the output of the code


@pytest.mark.parametrize("site", ["gamb2le", "demo"])
def test_loading_the_code_location_loads_no_heavy_library(site: str) -> None:
    code = "from aurora_assets.definitions import defs; assert defs.get_repository_def().get_all_jobs"
    file = ROOT / "sites" / f"{site}.yaml"
    ours = modules_of(code, file) - modules_of("import dagster", file)
    assert "aurora_assets.definitions" in ours
    assert sorted(HEAVY & {name.split(".")[0] for name in ours}) == []


def test_the_help_of_the_command_loads_no_verb_and_nothing_of_the_library() -> None:
    code = 'from aurora_cli.main import main; main(["--help"], standalone_mode=False)'
    loaded = modules_of(code, ROOT / "sites" / "demo.yaml")
    packages = {name.split(".")[0] for name in loaded}
    assert {name for name in loaded if name.startswith("aurora_")} == {
        "aurora_cli",
        "aurora_cli.main",
        "aurora_cli.process",
        "aurora_cli.lazy_group",
    }
    assert sorted(packages & (HEAVY | {"dagster", "pydantic", "rich", "yaml"})) == []


@pytest.mark.parametrize("arguments", [["--help"], ["--json"]])
def test_the_status_of_a_local_site_loads_no_heavy_library(arguments: list[str], tmp_path: Path) -> None:
    site = tmp_path / "site.yaml"
    site.write_text((ROOT / "sites" / "demo.yaml").read_text().replace("../.aurora", str(tmp_path)))
    code = f'from aurora_cli.main import main; main(["status", *{arguments}], standalone_mode=False)'
    loaded = modules_of(code, site)
    assert "aurora_cli.status" in loaded
    assert sorted({name.split(".")[0] for name in loaded} & (HEAVY | {"dagster"})) == []
    assert {name for name in loaded if name.startswith(("aurora_cli.", "aurora_assets", "resources"))} <= {
        *(
            "aurora_cli.main",
            "aurora_cli.process",
            "aurora_cli.lazy_group",
            "aurora_cli.status",
            "aurora_cli.console",
            "aurora_cli.context",
        )
    }
