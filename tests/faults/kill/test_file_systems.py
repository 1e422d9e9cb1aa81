"""File systems that give less than ext4, one lack at a time: a site on them has the same files at the end."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from tests.faults.ground import (
    RUNS,
    Change,
    differences,
    exchange_is_a_rename,
    grain,
    ground_below,
    separate,
    without_exchange,
    without_links,
)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, bytes]]:
    """The content after each run on a file system that gives everything."""
    with ground_below(tmp_path_factory.mktemp("ground")) as ground:
        return ground.run_all()


KINDS: dict[str, Change] = {
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
    kind: str, tmp_path: Path, expected: list[dict[str, bytes]]
) -> None:
    with ground_below(tmp_path) as ground:
        KINDS[kind](ground.layer)
        for run, found, wanted in zip(RUNS, ground.run_all(), expected, strict=True):
            assert differences(found, wanted) == set(), run
