"""Lazy doors: 32 threads at a cold one get the same object, and nobody goes around by an import in a function."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
OURS = ("aurora_platform", "aurora_assets", "resources", "sensors", "schedules", "aurora_cli", "aurora_simulator")
# To import the definitions is to load the code location of AURORA_SITE: both say there why that has to wait.
ALLOWED = {
    ("aurora_assets/command_records.py", "aurora_assets.definitions"),
    ("scripts/demo.py", "aurora_assets.definitions"),
}

RUSH = """
import importlib, json, sys, threading

doors = json.loads(sys.argv[1])
THREADS = 32
found = {}
for package, module, attribute in doors:
    door = importlib.import_module(package)
    assert f"{package}.{module}" not in sys.modules, f"{package}.{module} is loaded already"
    barrier, seen = threading.Barrier(THREADS), []

    def enter():
        barrier.wait()
        try:
            seen.append(getattr(getattr(door, module), attribute))
        except BaseException as error:
            seen.append(repr(error))

    threads = [threading.Thread(target=enter) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ours = getattr(sys.modules[f"{package}.{module}"], attribute)
    found[f"{package}.{module}"] = [len(seen), sum(one is ours for one in seen), [s for s in seen if s is not ours][:3]]
print(json.dumps(found, default=repr))
"""
"""At each door, while it is cold: all threads go through it at once."""

# Each round is a process; what an earlier door has loaded is there for the later ones, but not their own module.
ROUNDS = [
    [("aurora_platform.cameras", "pixels", "build_pixels"), ("aurora_platform.cameras", "videos", "build_daily_video")],
    [("aurora_platform.cameras", "checks", "daily_video_plays")],
    [("aurora_platform.transport", "ssh_host", "SshAccess"), ("aurora_platform.transport", "mail", "Mailer")],
    [
        ("aurora_platform.health", "alerts", "Alerting"),
        ("aurora_platform.health", "report", "publish_health"),
        ("aurora_platform.archive", "stores", "Records"),
        ("aurora_platform.archive", "verify_and_publish", "certify"),
    ],
    [("aurora_platform.mirror", "sync", "mirror_days"), ("aurora_platform.operations", "observe", "observe")],
    [("aurora_assets.instance", "records", "DagsterRecords")],
]


@pytest.mark.parametrize("doors", ROUNDS, ids=lambda doors: "-".join(module for _, module, _ in doors))
def test_32_threads_at_a_cold_door_get_one_object_and_no_failure(doors: list[tuple[str, str, str]]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RUSH, json.dumps(doors)], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert json.loads(done.stdout) == {f"{package}.{module}": [32, 32, []] for package, module, _ in doors}


def files_of_ours() -> list[Path]:
    return [file for name in (*OURS, "benchmarks", "scripts") for file in sorted((ROOT / name).rglob("*.py"))]


def names_in(node: ast.AST) -> list[str]:
    if isinstance(node, ast.ImportFrom):
        return [node.module or "."]
    return [alias.name for alias in node.names] if isinstance(node, ast.Import) else []


def is_ours(name: str) -> bool:
    return name.split(".")[0] in (*OURS, "benchmarks", "")


def test_our_own_modules_are_imported_at_the_top_and_for_no_type_checker_alone() -> None:
    below = set()
    for file in files_of_ours():
        tree = ast.parse(file.read_text())
        at_the_top = {id(node) for node in tree.body}
        below |= {
            (str(file.relative_to(ROOT)), name)
            for node in ast.walk(tree)
            if id(node) not in at_the_top
            for name in names_in(node)
            if is_ours(name)
        }
    assert sorted(below) == sorted(ALLOWED)


@pytest.mark.parametrize("stub", sorted(ROOT.glob("aurora_*/*/__init__.pyi")), ids=lambda stub: stub.parent.name)
def test_a_door_lists_modules_of_its_own_part_alone(stub: Path) -> None:
    nodes = ast.parse(stub.read_text()).body
    assert nodes
    for node in nodes:
        assert isinstance(node, ast.ImportFrom)
        assert (node.level, node.module) == (1, None)
        assert [name.name for name in node.names if not (stub.parent / f"{name.name}.py").is_file()] == []


def test_a_part_does_not_go_in_by_its_own_door() -> None:
    """A circle of such accesses would be none to import-linter."""
    found = set()
    for stub in sorted(ROOT.glob("aurora_*/*/__init__.pyi")):
        whole, part = stub.parent.parent.name, stub.parent.name
        for file in sorted(stub.parent.rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.ImportFrom) and node.module == whole:
                    found |= {str(file.relative_to(ROOT)) for alias in node.names if alias.name == part}
    # The one module that makes what a kind of host needs, which nothing behind the door imports.
    assert found == {"aurora_platform/transport/connections.py"}
