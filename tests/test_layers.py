"""The rules that keep the house easy to live in, held against the source."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DAGSTER_FILES = {
    *("assets.py", "checks.py", "definitions.py", "jobs.py", "partitions.py", "presentation.py"),
    *("automation.py", "failures.py", "lanes.py", "tools_job.py"),
}
PLAIN = [p for p in sorted((ROOT / "aurora_assets").rglob("*.py")) if p.name not in DAGSTER_FILES]
PARTS = {"mirror", "wxcam", "archive", "health"}


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", PLAIN, ids=name_of)
def test_a_plain_module_knows_neither_dagster_nor_the_outside_world(path: Path) -> None:
    above = {"dagster", "dagster_shell", "resources", "sensors", "schedules", "cli"}
    assert not {name for name in imports_of(path) if name.split(".")[0] in above}


@pytest.mark.parametrize("path", PLAIN, ids=name_of)
def test_a_plain_module_imports_no_module_of_the_dagster_layer(path: Path) -> None:
    layer = {"." + name.removesuffix(".py") for name in DAGSTER_FILES}
    assert not {name for name in imports_of(path) if name.startswith("aurora_assets") and name.endswith(tuple(layer))}


@pytest.mark.parametrize("part", sorted(PARTS))
def test_a_part_does_not_import_the_insides_of_another(part: str) -> None:
    others = tuple(f"aurora_assets.{other}" for other in PARTS - {part})
    for path in (ROOT / "aurora_assets" / part).rglob("*.py"):
        assert not [name for name in imports_of(path) if name.startswith(others)], path


def test_the_simulator_knows_nothing_of_the_platform() -> None:
    for path in (ROOT / "simulator").rglob("*.py"):
        assert not [name for name in imports_of(path) if name.startswith(("aurora_assets", "resources", "dagster"))], (
            path
        )


def test_nothing_below_knows_the_command_line() -> None:
    for folder in ("aurora_assets", "resources", "sensors", "schedules"):
        for path in (ROOT / folder).rglob("*.py"):
            assert not [name for name in imports_of(path) if name.split(".")[0] == "cli"], path


def test_no_module_is_longer_than_it_should_be() -> None:
    sources = [
        p for folder in ("aurora_assets", "resources", "cli", "simulator") for p in (ROOT / folder).rglob("*.py")
    ]
    assert not [name_of(path) for path in sources if len(path.read_text().splitlines()) > 400]


def test_no_source_formats_a_shell_string() -> None:
    for folder in ("aurora_assets", "resources", "cli", "simulator", "deploy"):
        for path in (ROOT / folder).rglob("*.py"):
            text = path.read_text()
            assert "shell=True" not in text, path
            assert "os.system" not in text, path
