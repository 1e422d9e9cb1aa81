"""Installation by pip: each extra has the packages that it needs, and the package needs no checkout."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import metadata, util
from pathlib import Path

import pytest

from aurora_platform.operations import audit_local
from tests.hiding import hiding

ROOT = Path(__file__).resolve().parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = {"base": PROJECT["project"]["dependencies"], **PROJECT["project"]["optional-dependencies"]}
SHIPPED = ("aurora_platform", "aurora_assets", "resources", "sensors", "schedules", "aurora_cli", "aurora_simulator")
OF_THE_SERVER = (
    *("aurora_platform.transport", "aurora_platform.operations", "aurora_platform.health"),
    "aurora_platform.archive.locations",
)
"""Parts of the library that only a running site needs: sessions, pages, mails."""
BASE = [
    ".".join(path.with_suffix("").relative_to(ROOT).parts).removesuffix(".__init__")
    for path in sorted((ROOT / "aurora_platform").rglob("*.py"))
]
BASE = [name for name in BASE if not any(f"{name}.".startswith(f"{part}.") for part in OF_THE_SERVER)]
COMES_WITH = {"dagster-shared": "dagster"}  # always installed together in the same version


@cache
def providers() -> Mapping[str, list[str]]:
    """The installed packages of each import name."""
    return metadata.packages_distributions()


def package_name(requirement: str) -> str:
    """The normalized package name of a requirement."""
    name = re.match(r"[\w.-]+", requirement)
    assert name, requirement
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def with_dependencies(requirements: Iterable[str]) -> set[str]:
    """The packages that pip would install for these requirements, by the metadata of the installed packages."""
    names, new = set(), {package_name(requirement) for requirement in requirements}
    while new:
        names |= new
        needed = [line for name in new for line in metadata.requires(name) or () if "extra ==" not in line]
        new = {name for name in map(package_name, needed) if _is_installed(name)} - names
    return names


def _is_installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False  # for another platform or an older Python
    return True


def packages_of(module: str) -> set[str]:
    """The packages of a top-level module."""
    return {package_name(name) for name in providers().get(module, ())}


def third_party_imports(path: Path) -> set[str]:
    """The top-level names that a file imports anywhere, without those of Python and of this project."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    return {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {*SHIPPED}


def run(code: str, *arguments: str, cwd: Path = ROOT, path: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run Python code in a new process, without AURORA_SITE and DAGSTER_HOME."""
    env = {name: value for name, value in os.environ.items() if name not in ("AURORA_SITE", "DAGSTER_HOME")}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=cwd,
        env=env | {"PYTHONPATH": str(path)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_reading_products_and_site_files_needs_only_the_base_packages() -> None:
    allowed = with_dependencies(EXTRAS["base"])
    hidden = {name for name in providers() if not packages_of(name) & allowed} - {*SHIPPED}
    assert {"dagster", "fabric", "paramiko", "rich", "matplotlib", "jinja2", "requests", "pytest"} <= hidden
    imports = "; ".join(f"import {name}" for name in BASE)
    process = run(
        f"{hiding(hidden)}\n{imports}\nfrom aurora_platform.cameras.reader import open_pixels; print('loaded')"
    )
    assert process.stdout == "loaded\n", process.stderr
    assert len(BASE) > 40


@pytest.mark.parametrize("package", SHIPPED)
def test_the_packages_that_a_module_imports_are_declared(package: str) -> None:
    declared = {package_name(requirement) for extra in ("base", "server") for requirement in EXTRAS[extra]}
    declared |= {package_name(requirement) for requirement in PROJECT["dependency-groups"]["locked"]}
    for path in sorted((ROOT / package).rglob("*.py")):
        for name in third_party_imports(path):
            packages = {COMES_WITH.get(package, package) for package in packages_of(name)}
            assert packages & declared, f"{path.relative_to(ROOT)} imports {name}, of no declared package"


def test_the_lock_has_every_package_that_an_extra_or_a_group_names() -> None:
    locked = set(re.findall(r"^([\w.-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    required = [name for extra in EXTRAS.values() for name in extra] + PROJECT["dependency-groups"]["locked"]
    assert {package_name(name) for name in required} - {package_name(name) for name in locked} == set()


def test_dagsters_own_command_finds_the_definitions() -> None:
    project = PROJECT["tool"]["dg"]["project"]
    target = ROOT / Path(*project["code_location_target_module"].split(".")).with_suffix(".py")
    assert target.is_file()
    assert project["root_module"] in SHIPPED
    workspace = (ROOT / "workspace.yaml").read_text()
    assert f"module_name: {project['code_location_target_module']}" in workspace
    assert f"location_name: {project['code_location_name']}" in workspace


def test_without_dagster_shell_its_job_is_absent_and_the_log_names_it() -> None:
    code = (
        "from aurora_assets.definitions import defs\n"
        "print(*(job.name for job in defs.get_repository_def().get_all_jobs()))"
    )
    with_it, without = run(code), run(f"{hiding({'dagster_shell'})}\n{code}")
    assert set(with_it.stdout.split()) - set(without.stdout.split()) == {"look_at_this_machine"}
    assert without.returncode == 0
    assert "there is no job look_at_this_machine" in without.stderr
    assert "look_at_this_machine" not in with_it.stderr


@pytest.mark.parametrize(("is_installed", "level"), [(True, "ok"), (False, "warn")])
def test_the_audit_reports_whether_dagster_shell_is_installed(
    is_installed: bool, level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = util.find_spec("json") if is_installed else None
    monkeypatch.setattr("importlib.util.find_spec", lambda name: spec)
    (report,) = audit_local.dagster_shell()
    assert report.level.value == level
    assert bool(report.next_step) is not is_installed


COMMAND = "from aurora_cli.entry_point import main; main()"


@pytest.fixture
def shadows(tmp_path: Path) -> Path:
    """A working directory with files that have names of our modules; they must not be imported."""
    for name in ("resources", "cli", "sensors", "schedules", "demo", "site_file", "health"):
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('the file {name}.py of the working directory')\n")
    return tmp_path


@pytest.mark.parametrize("arguments", [["--help"], ["status"], ["audit", "--json"]])
def test_files_of_the_working_directory_with_our_names_do_not_break_the_command(
    shadows: Path, arguments: list[str]
) -> None:
    # `-c` puts the working directory first in sys.path; the installed program does not.
    process = run(COMMAND, *arguments, cwd=shadows)
    assert "of the working directory" not in process.stderr + process.stdout
    assert "Traceback" not in process.stderr
    assert process.stdout


def test_without_the_server_extra_the_command_ends_with_one_line_that_names_it() -> None:
    process = run(f"{hiding({'rich'})}\n{COMMAND}", "status")
    assert process.returncode == 1
    assert process.stdout == ""
    assert process.stderr == (
        "aurora: rich is not installed. The command needs: pip install 'aurora-platform[server]'\n"
    )


def test_a_missing_module_of_ours_gives_a_traceback_and_no_hint_to_an_extra() -> None:
    process = run(f"import sys; sys.modules['aurora_cli.status'] = None\n{COMMAND}", "status")
    assert "ModuleNotFoundError" in process.stderr
    assert "pip install" not in process.stderr
