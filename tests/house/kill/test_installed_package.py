"""The package as pip installs it, away from the checkout: built once, and used."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from aurora_platform.config import package_files
from tests.house.platform.test_packages import COMMAND, ROOT, SHIPPED, run


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory like site-packages after pip install; built from a copy, because a build leaves files behind."""
    source, wheels, target = (tmp_path_factory.mktemp(name) for name in ("source", "wheels", "installed"))
    for name in (*SHIPPED, "benchmarks", "sites", "tests"):
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "dagster.yaml"):
        shutil.copy2(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(wheels), str(source)],
        check=True,
        capture_output=True,
    )
    (wheel,) = wheels.glob("*.whl")
    shutil.unpack_archive(wheel, target, "zip")
    return target


def test_the_wheel_has_our_packages_and_the_settings_of_the_checkout(installed: Path) -> None:
    assert {path.name for path in installed.iterdir() if path.suffix != ".dist-info"} == {*SHIPPED}
    config = installed / "aurora_platform" / "config"
    assert (config / "demo.yaml").read_bytes() == (ROOT / "sites" / "demo.yaml").read_bytes()
    assert (config / "dagster.yaml").read_bytes() == (ROOT / "dagster.yaml").read_bytes()
    assert package_files.CHECKOUT == ROOT


def test_an_installed_package_makes_a_demo_and_uses_its_site(installed: Path, tmp_path: Path) -> None:
    small = ("--hours", "1", "--every", "20m", "--scale", "0.05")
    process = run(COMMAND, "demo", *small, cwd=tmp_path, path=installed)
    assert process.returncode == 0, process.stderr
    directory = tmp_path / "aurora-demo"
    assert f"export AURORA_SITE={directory}/site.yaml DAGSTER_HOME={directory}/dagster" in process.stdout
    # Without AURORA_SITE the demo of the working directory is the site.
    synced = run(COMMAND, "sync", "wxcam", "--day", "2026-08-18", cwd=tmp_path, path=installed)
    assert "wxcam: seen 8 = copied 8" in synced.stdout, synced.stderr
    assert len([*(directory / "raw" / "wxcam").rglob("*.jpg")]) == 6
    code = """
from aurora_assets.definitions import defs
from aurora_platform.config.site import load_site
from aurora_platform.health.snapshot import _software
print(load_site().paths.raw, _software("1").commit, len(list(defs.get_repository_def().get_all_jobs())) > 3)
"""
    loaded = run(code, cwd=tmp_path, path=installed)
    assert loaded.stdout == f"{directory}/raw None True\n", loaded.stderr


def test_an_audit_of_an_installed_package_names_steps_that_need_no_checkout(installed: Path, tmp_path: Path) -> None:
    output = run(COMMAND, "audit", "--json", cwd=tmp_path, path=installed).stdout
    assert "aurora demo first" in output
    assert "make " not in output.replace("make room", "")
    assert str(ROOT) not in output.replace(sys.executable, "python"), (
        "except the interpreter, which may be in the checkout"
    )


def test_a_package_that_pip_installed_from_a_repository_knows_its_commit(installed: Path, tmp_path: Path) -> None:
    shutil.copytree(installed, tmp_path / "installed")
    (info,) = (tmp_path / "installed").glob("*.dist-info")
    origin = {"url": "https://example.org/aurora", "vcs_info": {"vcs": "git", "commit_id": "0123456789abcdef" * 2}}
    (info / "direct_url.json").write_text(json.dumps(origin))
    code = "from aurora_platform.health.snapshot import _software; print(_software('1').commit)"
    assert run(code, cwd=tmp_path, path=tmp_path / "installed").stdout == "0123456789ab\n"
