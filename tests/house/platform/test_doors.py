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
import functools, importlib, json, os, sys, threading

doors, libraries = json.loads(sys.argv[1])
THREADS = 32
for library in libraries:
    importlib.import_module(library)

def rush(home, way, package):
    door = importlib.import_module(package)
    assert home not in sys.modules, f"{home} is loaded already"
    barrier, seen = threading.Barrier(THREADS), []

    def enter():
        barrier.wait()
        try:
            seen.append(functools.reduce(getattr, way, door))
        except BaseException as error:
            seen.append(repr(error))

    threads = [threading.Thread(target=enter) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ours = getattr(sys.modules[home], way[-1])
    strange = [one for one in seen if one is not ours]
    return f"{len(seen)} threads, {len(strange)} with something else {strange[:3]}"

for home, way, package in doors:
    reader, writer = os.pipe()
    if os.fork() == 0:  # it ends here whatever happens, and never goes on with its parent's work
        try:
            said = rush(home, way, package)
        except BaseException as error:
            said = repr(error)
        os.write(writer, said.encode()[:4000])
        os._exit(0)
    os.close(writer)
    with open(reader) as answer:
        print(f"{home}: {answer.read()}")
    os.wait()
"""
"""At each door, while it is cold: all threads go through it at once, and want what its module defines last."""

STUBS = sorted(ROOT.glob("aurora_*/*/__init__.pyi"))
PUBLIC = ROOT / "aurora_platform" / "__init__.pyi"
"""The library's own door: names, where the others have modules."""
COLD = [
    *("aurora_platform.cameras.pixels", "aurora_platform.cameras.checks", "aurora_platform.transport.ssh_host"),
    *("aurora_platform.health.alerts", "aurora_platform.mirror.sync", "aurora_assets.instance.records"),
]
"""The doors at which no library is loaded yet either: Zarr, PyAV, Paramiko, Jinja2, Dagster, ..."""
WARM = [
    *("zarr", "av", "xarray", "imagecodecs", "fabric", "jinja2", "requests", "dagster"),
    *("dagster._core.storage.event_log", "aurora_platform.config.site"),
]
"""What takes a second or two, which is loaded before one goes to the doors of all the other modules."""


def modules_of(stub: Path) -> list[str]:
    """The modules behind a door."""
    nodes = [node for node in ast.parse(stub.read_text()).body if isinstance(node, ast.ImportFrom)]
    return [f"{stub.parent.parent.name}.{stub.parent.name}.{alias.name}" for node in nodes for alias in node.names]


Door = tuple[str, list[str], str]
"""A module, the attributes by which one comes to the last thing that it defines, and the package where one begins."""


def door_of(name: str) -> Door:
    """The door of a module."""
    package, _, module = name.rpartition(".")
    body = ast.parse((ROOT / f"{name.replace('.', '/')}.py").read_text()).body
    last = [node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)][-1]
    return name, [module, last], package


@pytest.mark.parametrize(
    ("names", "libraries"),
    [
        *(pytest.param([name], [], id=name) for name in COLD),
        pytest.param(sorted({name for stub in STUBS for name in modules_of(stub)} - {*COLD}), WARM, id="all others"),
    ],
)
def test_32_threads_at_a_cold_door_get_one_object_and_no_failure(names: list[str], libraries: list[str]) -> None:
    rush([door_of(name) for name in names], libraries)


def rush(doors: list[Door], libraries: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RUSH, json.dumps([doors, libraries])],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines() == [f"{home}: 32 threads, 0 with something else []" for home, _, _ in doors]


def test_32_threads_at_the_public_door_get_each_name_as_its_module_has_it() -> None:
    nodes = [node for node in ast.parse(PUBLIC.read_text()).body if isinstance(node, ast.ImportFrom)]
    doors = [
        (f"aurora_platform.{node.module}", [name.name], "aurora_platform") for node in nodes for name in node.names
    ]
    assert ("aurora_platform.cameras.reader", ["open_pixels"], "aurora_platform") in doors
    rush(doors, [])


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


@pytest.mark.parametrize("stub", STUBS, ids=lambda stub: stub.parent.name)
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
    for stub in STUBS:
        whole, part = stub.parent.parent.name, stub.parent.name
        for file in sorted(stub.parent.rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.ImportFrom) and node.module == whole:
                    found |= {str(file.relative_to(ROOT)) for alias in node.names if alias.name == part}
    # The one module that makes what a kind of host needs, which nothing behind the door imports.
    assert found == {"aurora_platform/transport/connections.py"}
