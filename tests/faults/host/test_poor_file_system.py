"""A file system that gives the least with which a site can work, and one without locks, on which it refuses to."""

from __future__ import annotations

import errno
from pathlib import Path

from tests.faults.ground import (
    RUNS,
    all_of,
    differences,
    grain,
    ground_below,
    separate,
    without_exchange,
    without_links,
)
from tests.faults.steps import STEPS, make_site
from tests.faults.sweep import contents

POOR = all_of(
    without_links(errno.EPERM),
    without_exchange(errno.EOPNOTSUPP),
    grain(1000, rounding=1),
    separate(
        *("raw", "raw/wxcam/FISH", "raw/met", "products/wxcam/daily_videos", "products/wxcam/wxcam.zarr"),
        *("manifests/latest", "manifests/history", "far/raw/wxcam"),
    ),
)


def test_a_site_has_the_same_files_without_links_exchange_full_mtimes_and_renames_between_its_directories(
    tmp_path: Path,
) -> None:
    found = []
    for name in ("full", "poor"):
        (tmp_path / name).mkdir()
        with ground_below(tmp_path / name) as ground:
            if name == "poor":
                POOR(ground.layer)
            found.append(ground.run_all())
    for run, poor, full in zip(RUNS, found[1], found[0], strict=True):
        assert differences(poor, full) == set(), run


def test_without_file_locks_nothing_is_done_and_one_line_says_where_they_are_needed(tmp_path: Path) -> None:
    with ground_below(tmp_path) as ground:
        make_site(ground.home)
        ground.layer.control.no_locks = errno.EOPNOTSUPP
        errors = ground.run()
        assert {name for name, error in errors.items() if "has no file locks" in error} == set(STEPS) - {"video"}
        assert "there is no catalogue yet" in errors.pop("video")  # nothing to lock for
        assert all(
            f"{ground.home}/state" in error and "Keep paths.state on a local disk" in error for error in errors.values()
        )
        assert contents(ground.home) == {}
