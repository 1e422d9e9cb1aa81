"""The audit of file systems: by the record of the mirror, by their types, and by their devices."""

from pathlib import Path

import pytest

from aurora_platform.config.site import Site
from aurora_platform.layout import Layout
from aurora_platform.mirror.mtime_resolution import MtimeResolution, save_resolution
from aurora_platform.operations.audit_file_systems import raw_mtimes, staging, work_directories
from aurora_platform.operations.audit_result import AuditLine, Level
from tests.disks import tmpfs, with_mounts
from tests.mirror.parts import CAMERA


@pytest.fixture
def site(tmp_path: Path) -> Site:
    paths = {name: str(tmp_path / name) for name in ("raw", "products", "state", "manifests")}
    (tmp_path / "raw" / "wxcam").mkdir(parents=True)
    return Site.model_validate(
        {
            "name": "disks",
            "paths": paths,
            "hosts": {"camera": {"kind": "local"}},
            "streams": {name: {**CAMERA, "path": "/source", "raw": name} for name in ("wxcam", "radar")},
        }
    )


def levels_and_texts(lines: list[AuditLine]) -> list[tuple[Level, str]]:
    return [(line.level, line.what) for line in lines]


@pytest.mark.parametrize("kind", ["vfat", "cifs", "ceph", "ext4"])
def test_a_type_of_file_system_with_coarse_mtimes_is_a_warning(site: Site, tmp_path: Path, kind: str) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/a / ext4 rw 0 0\n/dev/b {tmp_path}/raw/wxcam {kind} rw 0 0\n")
    found = list(raw_mtimes(site, mounts))
    expected = {"vfat": "2 s", "cifs": "100 ns", "ceph": "1 us before Linux 5.3"}
    if kind in expected:
        what = (
            f"wxcam: {kind} stores mtimes with a resolution of {expected[kind]} (by its type); the mirror will measure "
            "it and compare with that"
        )
        assert levels_and_texts(found) == [(Level.WARN, what)]
    else:
        assert levels_and_texts(found) == [(Level.OK, "the full mtime is stored (ext4)")]


def test_the_mtime_resolution_that_the_mirror_has_measured_is_reported(site: Site, tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text("/dev/a / ext4 rw 0 0\n")
    (site.paths.raw / ".incoming").mkdir()
    save_resolution(site.paths.raw / ".incoming", MtimeResolution(1000, "near"))
    assert [line.what.partition(":")[0] for line in raw_mtimes(site, mounts)] == ["wxcam", "radar"]
    assert "stores mtimes with a resolution of 1 us, measured by the mirror" in next(raw_mtimes(site, mounts)).what
    save_resolution(site.paths.raw / ".incoming", MtimeResolution())
    assert [line.level for line in raw_mtimes(site, mounts)] == [Level.OK]


def test_a_stream_or_a_directory_below_it_on_another_device_is_reported_and_nothing_is_written(site: Site) -> None:
    deep = site.paths.raw / "radar" / "deep"
    deep.mkdir(parents=True)
    (site.paths.products / "wxcam").mkdir(parents=True)
    one_device = levels_and_texts([*work_directories(site), *staging(site.paths.products)])
    assert [level for level, _ in one_device] == [Level.OK, Level.OK]
    directories = (Layout.of(site).raw_root("wxcam"), deep, site.paths.products / "wxcam")

    def audit() -> list[tuple[Level, str]]:
        before = sorted(site.paths.raw.parent.rglob("*"))
        found = levels_and_texts([*work_directories(site), *staging(site.paths.products)])
        assert sorted(site.paths.raw.parent.rglob("*")) == before
        return found

    own, copied, products = with_mounts([tmpfs(directory, "1m") for directory in directories], audit)
    assert own == (
        Level.OK,
        f"wxcam: {directories[0]}/.incoming, because files cannot be renamed from {site.paths.raw}/.incoming to it",
    )
    assert copied[0] is Level.WARN
    assert copied[1].startswith(f"radar: {deep} is another disk: each file there is copied twice")
    assert products[0] is Level.WARN
    assert "no product can be published there" in products[1]
