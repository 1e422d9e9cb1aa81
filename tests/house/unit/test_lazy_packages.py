"""Lazy packages list their own modules, and our modules are imported nowhere but at the top of a file."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
OURS = ("aurora_platform", "aurora_assets", "resources", "sensors", "schedules", "aurora_cli", "aurora_simulator")
# Importing the definitions loads the code location of AURORA_SITE; comments in both files say why it must wait.
ALLOWED = {
    ("aurora_assets/command_records.py", "aurora_assets.definitions"),
    ("scripts/demo.py", "aurora_assets.definitions"),
}

STUBS = sorted(ROOT.glob("aurora_*/*/__init__.pyi"))


def files_of_ours() -> list[Path]:
    return [file for name in (*OURS, "benchmarks", "scripts") for file in sorted((ROOT / name).rglob("*.py"))]


def names_in(node: ast.AST) -> list[str]:
    if isinstance(node, ast.ImportFrom):
        return [node.module or "."]
    return [alias.name for alias in node.names] if isinstance(node, ast.Import) else []


def is_ours(name: str) -> bool:
    return name.split(".")[0] in (*OURS, "benchmarks", "")


def test_our_own_modules_are_imported_only_at_the_top_of_a_file() -> None:
    nested = set()
    for file in files_of_ours():
        tree = ast.parse(file.read_text())
        top_level = {id(node) for node in tree.body}
        nested |= {
            (str(file.relative_to(ROOT)), name)
            for node in ast.walk(tree)
            if id(node) not in top_level
            for name in names_in(node)
            if is_ours(name)
        }
    assert sorted(nested) == sorted(ALLOWED)


@pytest.mark.parametrize("stub", STUBS, ids=lambda stub: stub.parent.name)
def test_a_lazy_package_lists_only_its_own_modules(stub: Path) -> None:
    nodes = ast.parse(stub.read_text()).body
    assert nodes
    for node in nodes:
        assert isinstance(node, ast.ImportFrom)
        assert (node.level, node.module) == (1, None)
        assert [name.name for name in node.names if not (stub.parent / f"{name.name}.py").is_file()] == []


def test_a_package_does_not_import_itself() -> None:
    """import-linter would not find such an import cycle."""
    found = set()
    for stub in STUBS:
        whole, part = stub.parent.parent.name, stub.parent.name
        for file in sorted(stub.parent.rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.ImportFrom) and node.module == whole:
                    found |= {str(file.relative_to(ROOT)) for alias in node.names if alias.name == part}
    # The only allowed module: it makes the connections of each host kind, and no module of the package imports it.
    assert found == {"aurora_platform/transport/connections.py"}
