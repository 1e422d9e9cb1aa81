"""The live camera over many hours."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from aurora_simulator import LiveSpec
from aurora_simulator.live import MOST_IN_FLIGHT
from tests.aurora_simulator.unit.test_live import BEGIN, MINUTE, NOW, Clock, image_time, journal, run, tree


@pytest.fixture
def spec(tmp_path: Path) -> LiveSpec:
    """Two hours of a forenoon, 60 times as fast, an image per 20 minutes, 5 % of the real size."""
    return LiveSpec(tmp_path / "camera", BEGIN, every=20 * MINUTE, hours=2, scale=0.05, journal=tmp_path / "journal")


def test_sky_time_catches_up_with_the_clock_and_then_equals_it(spec: LiveSpec) -> None:
    clock = Clock()

    def no_name_is_in_the_future() -> None:
        assert all(image_time(path).timestamp() <= clock.now for path in tree(spec.root))

    clock.watch = no_name_is_in_the_future
    begin = NOW.replace(hour=11, minute=50, microsecond=0)
    _, lines = run(replace(spec, begin=begin, every=MINUTE), clock)
    assert clock.now == datetime(2026, 3, 6, 13, 0, 1, tzinfo=UTC).timestamp()
    images = {
        image_time(entry["path"]): entry["complete_at"] for entry in journal(spec) if entry["path"].endswith("O.jpg")
    }
    fast = [image for image in images if image <= NOW]
    intervals = [images[later] - images[earlier] for earlier, later in pairwise(fast)]
    assert intervals == pytest.approx([1.0] * 10, abs=1e-4)
    assert all(images[time] == time.timestamp() + 1 for time in images if time > NOW)
    assert [line for line in lines if "caught up" in line] == [
        "2026-03-06 12:01:00  sky 2026-03-06 12:01:00  sky time has caught up with the clock; speed is 1 from now on"
    ]


def test_a_long_flight_opens_a_bounded_number_of_files(spec: LiveSpec) -> None:
    most = 0

    def watch() -> None:
        nonlocal most
        most = max(most, len(os.listdir("/proc/self/fd")))

    before = len(os.listdir("/proc/self/fd"))
    report, lines = run(replace(spec, every=timedelta(seconds=30), hours=1, flight=timedelta(hours=1)), Clock(watch))
    assert (report.images, report.clips, report.unfinished) == (240, 2, ())
    assert MOST_IN_FLIGHT <= most - before < MOST_IN_FLIGHT + 20
    assert any("falls behind" in line for line in lines)
