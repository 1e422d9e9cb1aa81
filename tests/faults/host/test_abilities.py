"""What a file system gives is found by trying it, is kept until another disk is mounted, and is shown by the audit."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from aurora_platform.config.site import Site, load_site
from aurora_platform.fs import abilities
from aurora_platform.fs.abilities import Abilities, FileSystemRecords, Mount, Quota, measure, quota_of
from aurora_platform.layout import Layout
from aurora_platform.operations import grounds
from aurora_platform.operations.audit_result import Level
from tests.disks import tmpfs, with_mounts
from tests.faults.layer import Layer
from tests.faults.steps import make_site
from tests.forking import Forking
from tests.patience import patient

FULL = Abilities("tmpfs", 1, True, True, True, True, ())


def measure_to(directory: str, result: str) -> None:
    """In a process below which the layer lies."""
    found = {**asdict(measure(Path(directory))), "quota": None}
    if (quota := quota_of(Path(directory))) is not None:
        found["quota"] = asdict(quota) | {"free": quota.free}
    Path(result).write_text(json.dumps(found))


@pytest.fixture(scope="module")
def layer(tmp_path_factory: pytest.TempPathFactory) -> Layer:
    directory = tmp_path_factory.mktemp("abilities")
    (directory / "ground" / "inner").mkdir(parents=True)
    return Layer(directory, directory / "ground")


@pytest.fixture(scope="module")
def measured(layer: Layer) -> Iterator[Callable[[], dict[str, Any]]]:
    result = layer.root.parent / "result.json"
    with Forking(f"{__name__}:measure_to", **layer.environment) as forking:

        def run() -> dict[str, Any]:
            forking.start(layer.root, result)
            assert forking.wait(patient(60)) == 0
            found = json.loads(result.read_text())
            assert isinstance(found, dict)
            return found

        yield run


GIVEN = {
    "everything": (lambda layer: None, {}),
    "mtimes of 1 us": (lambda layer: setattr(layer.control, "step_ns", 1000), {"mtime_step_ns": 1000}),
    "mtimes of 2 s": (lambda layer: setattr(layer.control, "step_ns", 2 * 10**9), {"mtime_step_ns": 2 * 10**9}),
    "no mtimes": (lambda layer: setattr(layer.control, "step_ns", 0), {"mtime_step_ns": 0}),
    "no links": (lambda layer: setattr(layer.control, "no_links", errno.EPERM), {"has_links": False}),
    "no exchange": (lambda layer: setattr(layer.control, "no_exchange", errno.EOPNOTSUPP), {"has_exchange": False}),
    "exchange is a rename": (lambda layer: setattr(layer.control, "exchange_is_rename", 1), {"has_exchange": False}),
    "no locks": (lambda layer: setattr(layer.control, "no_locks", errno.ENOSYS), {"has_locks": False}),
    "a disk inside": (lambda layer: layer.separate(layer.root / "inner"), {"apart": ["inner"]}),
    "no shared memory": (
        lambda layer: layer.arm("create", "*-shm", errno.EOPNOTSUPP, count=9),
        {"has_shared_memory": False},
    ),
    "a quota": (
        lambda layer: layer.set_quota(layer.root.parent, limit=1000, used=900),
        {"quota": {"limit": 1000, "used": 900, "free": 100}},
    ),
}


@pytest.mark.parametrize("kind", GIVEN)
def test_what_a_file_system_gives_is_found_by_trying_it(
    kind: str, layer: Layer, measured: Callable[[], dict[str, Any]]
) -> None:
    layer.reset()
    change, differences = GIVEN[kind]
    change(layer)
    found = measured()
    expected = {**asdict(FULL), "apart": [], "kind": found["kind"], "quota": None} | differences
    if found["quota"]:
        assert found["quota"].pop("directory") == str(layer.root.parent)
    assert found == expected
    assert sorted(path.name for path in layer.root.iterdir()) == ["inner"], "nothing is left"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    make_site(tmp_path / "site")
    return load_site(tmp_path / "site" / "site.yaml")


def test_it_is_tried_once_and_again_when_another_disk_is_mounted(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.paths.raw.mkdir()
    assert set(grounds.learn(site, "raw", "products")) == {"raw"}, "a directory that is missing is left out"
    tried = list[Path]()
    real = measure

    def count(directory: Path) -> Abilities:
        tried.append(directory)
        return replace(real(directory), has_links=False)

    monkeypatch.setattr(abilities, "measure", count)
    assert grounds.learn(site, "raw")["raw"].has_links
    assert tried == []
    mounted = with_mounts([tmpfs(site.paths.raw, "1m")], lambda: grounds.learn(site, "raw")["raw"])
    assert (tried, mounted.has_links) == ([site.paths.raw], False)


def test_a_damaged_record_is_learnt_anew(site: Site) -> None:
    site.paths.raw.mkdir()
    file = Layout.of(site).file_systems
    for content in ("", "[]", "{", json.dumps({str(site.paths.raw): {"mount": 5}}), "\0" * 100):
        file.parent.mkdir(exist_ok=True)
        file.write_text(content)
        assert FileSystemRecords(file).get(site.paths.raw) is None
        assert grounds.learn(site, "raw")["raw"].has_links
    entries = json.loads(file.read_text())
    entries[str(site.paths.raw)]["has_links"] = "yes"
    file.write_text(json.dumps(entries))
    assert FileSystemRecords(file).get(site.paths.raw) is None


def lines_of(site: Site, name: str, *, anew: bool = False) -> list[tuple[Level, str]]:
    return [(line.level, line.what) for line in grounds.audits(site, anew=anew)[f"ground {name}"]()]


def test_the_audit_says_what_follows_from_each_lack(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = Layout.of(site)
    for path in (layout.raw, layout.products, layout.state):
        path.mkdir()
    assert lines_of(site, "manifests")[0][1].endswith("not made yet")
    assert "not tried yet; the first run tries it, or `aurora audit --deep` now" in lines_of(site, "raw")[0][1]
    less = Abilities("cifs", 100, False, False, False, False, ("wxcam",))
    monkeypatch.setattr(abilities, "measure", lambda directory: less)
    raw, products, state = (lines_of(site, name, anew=True)[0] for name in ("raw", "products", "state"))
    links = "no hard links, so files that do not change are copied (pixels of a day, manifests, uploads)"
    apart = f"no rename into {layout.raw}/wxcam, so each file there is written twice"
    assert raw == (Level.WARN, f"cifs: mtimes of 100 ns; mtimes are compared by that; {links}; {apart}")
    assert products[0] is Level.FAIL
    assert "SQLite has no shared memory there" in products[1]
    assert "a rebuilt day is missing for a moment" in products[1]
    assert state[0] is Level.FAIL
    assert "no file locks, so two runs could write the same file: every run refuses to begin" in state[1]
    assert lines_of(site, "state") == [state], "it is kept"


def test_a_quota_that_is_nearly_used_up_is_shown(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.paths.raw.mkdir()
    monkeypatch.setattr(grounds, "quota_of", lambda path: Quota("/data", 1000**4, 960 * 1000**3))
    level, what = lines_of(site, "raw", anew=True)[1]
    assert (level, what) == (Level.FAIL, "quota on /data: 40.0 GB free of 1.0 TB, 96 % used")


def test_the_type_alone_warns_before_a_ground_was_tried(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.paths.raw.mkdir()
    monkeypatch.setattr(grounds, "mount_of", lambda path, table: Mount("/", "cifs", "", "/", ""))
    assert lines_of(site, "raw") == [
        (
            Level.WARN,
            "cifs: not tried yet; the first run tries it, or `aurora audit --deep` now. By its type: mtimes of 100 ns",
        )
    ]
