"""File systems that give less than ext4: a site on them has the same files at the end, also after a change."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cameras.sample_media import jpeg
from tests.faults.layer import Layer
from tests.faults.steps import NOON, STEPS, make_site, put
from tests.faults.sweep import contents, run_steps
from tests.forking import Forking

RUNS = ("first", "again", "changed")
"""All steps on an empty site, again without news, and after two files have changed and one has come."""


class Ground:
    """A process that runs the steps on sites below a directory, on a file system that the layer makes."""

    def __init__(self, directory: Path, forking: Forking, layer: Layer) -> None:
        self.directory, self.forking, self.layer = directory, forking, layer
        self.home = layer.root

    def run_all(self) -> list[dict[str, bytes]]:
        """Run all steps three times on a new site; return its content after each time."""
        make_site(self.home)
        found = []
        for number in range(len(RUNS)):
            if number == len(RUNS) - 1:
                put(self.home / "camera/FISH/20260818/12/HDR_20260818_121000.jpg", jpeg(50), NOON, 90)
                put(self.home / "camera/FISH/20260818/12/HDR_20260818_124000.jpg", jpeg(51), NOON, 91)
                put(self.home / "instrument/0/met_20260818_0.csv", b"longer\n" * 1000, NOON, 92)
            errors = run_steps(self.forking, self.home, self.directory / "result.json", *STEPS)
            assert errors == dict.fromkeys(STEPS, "")
            found.append(contents(self.home))
        return found


def ground(directory: Path) -> Iterator[Ground]:
    layer = Layer(directory, directory / "site")
    with Forking("tests.faults.steps:run", **layer.environment) as forking:
        yield Ground(directory, forking, layer)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, bytes]]:
    """The content after each run on a file system that gives everything."""
    (found,) = (ground.run_all() for ground in ground_of(tmp_path_factory))
    return found


def ground_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    yield from ground(tmp_path_factory.mktemp("ground"))


@pytest.fixture
def on(tmp_path: Path) -> Iterator[Ground]:
    yield from ground(tmp_path)


def without_links(code: int) -> Callable[[Layer], None]:
    return lambda layer: setattr(layer.control, "no_links", code)


def without_exchange(code: int) -> Callable[[Layer], None]:
    return lambda layer: setattr(layer.control, "no_exchange", code)


def exchange_is_a_rename(layer: Layer) -> None:
    layer.control.exchange_is_rename = 1


def grain(step_ns: int, rounding: int = 0) -> Callable[[Layer], None]:
    def set_grain(layer: Layer) -> None:
        layer.control.step_ns, layer.control.rounding = step_ns, rounding

    return set_grain


def separate(*names: str) -> Callable[[Layer], None]:
    return lambda layer: layer.separate(*(layer.root / name for name in names))


KINDS: dict[str, Callable[[Layer], None]] = {
    "no links: EPERM": without_links(errno.EPERM),
    "no links: EOPNOTSUPP": without_links(errno.EOPNOTSUPP),
    "no exchange: EINVAL": without_exchange(errno.EINVAL),
    "no exchange: EOPNOTSUPP": without_exchange(errno.EOPNOTSUPP),
    "exchange is a rename": exchange_is_a_rename,
    "mtimes of 100 ns": grain(100),
    "mtimes of 1 us, rounded": grain(1000, 1),
    "mtimes of 1 s": grain(10**9),
    "mtimes of 2 s": grain(2 * 10**9),
    "every stream on its own disk": separate("raw", "raw/wxcam", "raw/met"),
    "directories of a stream on other disks": separate("raw/wxcam/FISH", "raw/wxcam/FISH/20260818/12", "raw/met/1"),
    "products on several disks": separate(
        "products/wxcam", "products/wxcam/daily_videos", "products/wxcam/wxcam.zarr", "products/wxcam/hourly_thumbnails"
    ),
    "each camera on its own disk": separate(
        "products/wxcam/daily_videos/fish_hdr", "products/wxcam/wxcam.zarr/fish_hdr", "products/wxcam/.staging"
    ),
    "manifests on several disks": separate(
        "manifests/latest", "manifests/history", "manifests/finalized", "manifests/days", "manifests/.staging"
    ),
    "the archive's directories on several disks": separate("far/raw/wxcam", "far/raw/met", "far/products/wxcam"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_site_on_a_file_system_that_gives_less_has_the_same_files(
    kind: str, on: Ground, expected: list[dict[str, bytes]]
) -> None:
    KINDS[kind](on.layer)
    for run, found, wanted in zip(RUNS, on.run_all(), expected, strict=True):
        names = found.keys() | wanted.keys()
        wrong = {name for name in names if _without_mtimes(name, found) != _without_mtimes(name, wanted)}
        assert wrong == set(), run


def _without_mtimes(name: str, content: dict[str, bytes]) -> bytes | None:
    """The content of a file, without what is made of the mtimes of its inputs: those are as coarse as the disk."""
    found = content.get(name)
    if found is None or name.endswith(("/mtime_ns/c/0", "/fish_hdr/20260818/zarr.json")):
        return None if found is None else b""
    return re.sub(rb"[0-9a-f]{64}", b"", found) if name.endswith((".jpg", ".mp4", ".json")) else found


def test_without_file_locks_nothing_is_done_and_one_line_says_where_they_are_needed(on: Ground) -> None:
    make_site(on.home)
    on.layer.control.no_locks = errno.EOPNOTSUPP
    errors = run_steps(on.forking, on.home, on.directory / "result.json", *STEPS)
    assert {name for name, error in errors.items() if "has no file locks" in error} >= set(STEPS) - {"video"}
    assert "there is no catalogue yet" in errors.pop("video")  # nothing to lock for
    assert all(f"{on.home}/state" in error and "Keep paths.state on a local disk" in error for error in errors.values())
    assert contents(on.home) == {}
