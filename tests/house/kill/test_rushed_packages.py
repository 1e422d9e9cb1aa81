"""32 threads that load a module at once, through its lazy package, get the same object."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

RUSH = """
import functools, importlib, json, os, sys, threading

doors, libraries = json.loads(sys.argv[1])
THREADS = 32
for library in libraries:
    importlib.import_module(library)

def rush(home, path, package):
    door = importlib.import_module(package)
    assert home not in sys.modules, f"{home} is loaded already"
    barrier, results = threading.Barrier(THREADS), []

    def enter():
        barrier.wait()
        try:
            results.append(functools.reduce(getattr, path, door))
        except BaseException as error:
            results.append(repr(error))

    threads = [threading.Thread(target=enter) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = getattr(sys.modules[home], path[-1])
    wrong = [result for result in results if result is not expected]
    return f"{len(results)} threads, {len(wrong)} with something else {wrong[:3]}"

for home, path, package in doors:
    reader, writer = os.pipe()
    if os.fork() == 0:  # the child always ends in this branch and never continues the loop of its parent
        try:
            text = rush(home, path, package)
        except BaseException as error:
            text = repr(error)
        os.write(writer, text.encode()[:4000])
        os._exit(0)
    os.close(writer)
    with open(reader) as output:
        print(f"{home}: {output.read()}")
    os.wait()
"""
"""For each unloaded module, all threads access the last object that it defines, at once, through its package."""

STUBS = sorted(ROOT.glob("aurora_*/*/__init__.pyi"))
PUBLIC = ROOT / "aurora_platform" / "__init__.pyi"
"""The lazy package of the public API: it lists names, the others list modules."""
COLD = [
    *("aurora_platform.cameras.pixels", "aurora_platform.cameras.checks", "aurora_platform.transport.ssh_host"),
    *("aurora_platform.health.alerts", "aurora_platform.mirror.sync", "aurora_assets.instance.records"),
]
"""Modules that are tested before any library is loaded: Zarr, PyAV, Paramiko, Jinja2, Dagster, ..."""
WARM = [
    *("zarr", "av", "xarray", "imagecodecs", "fabric", "jinja2", "requests", "dagster"),
    *("dagster._core.storage.event_log", "aurora_platform.config.site"),
]
"""Slow libraries, which are loaded before the test of all other modules."""


def modules_of(stub: Path) -> list[str]:
    """The modules that a lazy package lists."""
    nodes = [node for node in ast.parse(stub.read_text()).body if isinstance(node, ast.ImportFrom)]
    return [f"{stub.parent.parent.name}.{stub.parent.name}.{alias.name}" for node in nodes for alias in node.names]


Door = tuple[str, list[str], str]
"""A module, the attribute path to the last object that it defines, and the package at which the path begins."""


def door_of(name: str) -> Door:
    """The access to a module through its lazy package."""
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
def test_32_threads_that_load_a_module_at_once_get_one_object(names: list[str], libraries: list[str]) -> None:
    rush([door_of(name) for name in names], libraries)


def rush(doors: list[Door], libraries: list[str]) -> None:
    process = subprocess.run(
        [sys.executable, "-c", RUSH, json.dumps([doors, libraries])],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    assert process.stdout.splitlines() == [f"{home}: 32 threads, 0 with something else []" for home, _, _ in doors]


def test_32_threads_that_load_the_public_api_get_the_objects_of_its_modules() -> None:
    nodes = [node for node in ast.parse(PUBLIC.read_text()).body if isinstance(node, ast.ImportFrom)]
    doors = [
        (f"aurora_platform.{node.module}", [name.name], "aurora_platform") for node in nodes for name in node.names
    ]
    assert ("aurora_platform.cameras.reader", ["open_pixels"], "aurora_platform") in doors
    rush(doors, [])
