"""The audit of the mirror's work directories, by their devices."""

from pathlib import Path

import pytest

from aurora_platform.config.site import Site
from aurora_platform.layout import Layout
from aurora_platform.operations.audit_file_systems import work_directories
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


def test_a_stream_or_a_directory_below_it_on_another_device_is_reported_and_nothing_is_written(site: Site) -> None:
    deep = site.paths.raw / "radar" / "deep"
    deep.mkdir(parents=True)
    assert [level for level, _ in levels_and_texts([*work_directories(site)])] == [Level.OK]
    directories = (Layout.of(site).raw_root("wxcam"), deep)

    def audit() -> list[tuple[Level, str]]:
        before = sorted(site.paths.raw.parent.rglob("*"))
        found = levels_and_texts([*work_directories(site)])
        assert sorted(site.paths.raw.parent.rglob("*")) == before
        return found

    own, copied = with_mounts([tmpfs(directory, "1m") for directory in directories], audit)
    assert own == (
        Level.OK,
        f"wxcam: {directories[0]}/.incoming, because files cannot be renamed from {site.paths.raw}/.incoming to it",
    )
    assert copied[0] is Level.WARN
    assert copied[1].startswith(f"radar: {deep} is another disk: each file there is copied twice")
