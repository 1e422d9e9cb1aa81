"""A live camera writes the files of `simulate`, at the right times and as a real camera writes them."""

from __future__ import annotations

import json
import time as wall_clock
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import av
import pytest

from aurora_simulator import CameraSpec, LiveReport, LiveSpec, SpecError, run_live, simulate

BEGIN = datetime(2026, 3, 5, 10, tzinfo=UTC)
NOW = datetime(2026, 3, 6, 12, 0, 0, 250_000, tzinfo=UTC)
START = NOW.timestamp()
MINUTE = timedelta(minutes=1)
FRAMES = ("00", "20", "40")
LATE_PATH = "FISH/20260223/11/HDR_20260223_110000.jpg"
Tree = dict[str, bytes]


class Clock:
    """A clock that only `sleep` advances; it calls `watch` after each sleep."""

    def __init__(self, watch: Callable[[], object] = lambda: None, now: float = START) -> None:
        self.now = now
        self.watch = watch

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.watch()


class SlowClock(Clock):
    """A clock that also advances by `step` s at each read, until `fast_from`: as if all work took time."""

    def __init__(self, step: float, fast_from: float = float("inf")) -> None:
        super().__init__()
        self.step, self.fast_from = step, fast_from

    def __call__(self) -> float:
        self.now += self.step if self.now < self.fast_from else 0
        return self.now


@pytest.fixture
def spec(tmp_path: Path) -> LiveSpec:
    """Two hours of yesterday's forenoon, 60 times as fast, an image per 20 minutes, 5 % of the real size."""
    return LiveSpec(tmp_path / "camera", BEGIN, every=20 * MINUTE, hours=2, scale=0.05, journal=tmp_path / "journal")


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """The same two hours by `simulate`, with all exposures."""
    root = tmp_path_factory.mktemp("simulated")
    simulate(CameraSpec(root, BEGIN.date(), hours=2, every=20 * MINUTE, start_hour=10, scale=0.05))
    return tree(root)


@pytest.fixture
def hdr(simulated: Tree) -> Tree:
    """The same without the exposures that a live camera omits by default."""
    return {path: content for path, content in simulated.items() if "/HDR_" in path}


def tree(root: Path) -> Tree:
    """Content of every file by its path."""
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def run(spec: LiveSpec, clock: Clock | None = None) -> tuple[LiveReport, list[str]]:
    """Run on a simulated clock; return the report and the log lines."""
    lines: list[str] = []
    clock = clock or Clock()
    return run_live(spec, log=lines.append, clock=clock, sleep=clock.sleep), lines


def journal(spec: LiveSpec) -> list[dict[str, Any]]:
    """The objects of the journal."""
    assert spec.journal is not None
    return [json.loads(line) for line in spec.journal.read_text().splitlines()]


def complete_at(spec: LiveSpec) -> dict[str, float]:
    """Time at which each file was whole, in s after the start, to the ms."""
    return {entry["path"]: round(entry["complete_at"] - START, 3) for entry in journal(spec)}


def image_time(path: str | Path) -> datetime:
    """Return the time in the name of a file."""
    return datetime.strptime("".join(Path(path).stem.split("_")[1:3]), "%Y%m%d%H%M%S").replace(tzinfo=UTC)


def stop_when(reached: Callable[[], bool]) -> Callable[[], None]:
    """Make a `watch` that presses Ctrl-C as soon as `reached` is true."""

    def watch() -> None:
        if reached():
            raise KeyboardInterrupt

    return watch


@pytest.mark.parametrize("other", [False, True])
def test_the_tree_is_byte_for_byte_the_tree_of_simulate(
    spec: LiveSpec, simulated: Tree, hdr: Tree, other: bool
) -> None:
    report, _ = run(replace(spec, other=other))
    expected = simulated if other else hdr
    assert tree(spec.root) == expected
    assert (report.images, report.clips, report.others, report.late) == (12, 4, 36 if other else 0, 0)
    assert (report.files, report.bytes) == (len(expected), sum(map(len, expected.values())))
    assert report.unfinished == ()


def test_files_are_whole_after_their_sky_time_and_the_flight(spec: LiveSpec) -> None:
    run(replace(spec, flight=timedelta(seconds=3)))
    expected = {}
    for hour in (0, 1):
        for view, suffix in (("FISH", ""), ("PANO", "_PANO")):
            day = f"{view}/20260305"
            expected[f"{day}/HDR_20260305_{10 + hour}0000{suffix}.mp4"] = 60.0 * (hour + 1) + 3
            for index, minute in enumerate(FRAMES):  # 20 minutes of sky time are 20 s
                path = f"{day}/{10 + hour}/HDR_20260305_{10 + hour}{minute}00{suffix}.jpg"
                expected[path] = 60.0 * hour + 20 * index + 3
    assert complete_at(spec) == expected


def test_every_half_written_file_has_its_final_name(spec: LiveSpec, hdr: Tree) -> None:
    halves: Tree = {}
    most = 0

    def watch() -> None:
        nonlocal most
        present = {path: content for path, content in tree(spec.root).items() if content != hdr[path]}
        halves.update(present)
        most = max(most, len(present))

    run(replace(spec, flight=timedelta(seconds=25)), Clock(watch))
    assert halves == {path: content[: len(content) // 2] for path, content in hdr.items()}
    assert most >= 4  # a flight of 25 s is longer than the 20 s between two images of both views


def test_the_journal_has_each_file_as_soon_as_it_is_whole_and_not_before(spec: LiveSpec, hdr: Tree) -> None:
    def watch() -> None:
        whole = {path: len(content) for path, content in tree(spec.root).items() if content == hdr[path]}
        assert {entry["path"]: entry["bytes"] for entry in journal(spec)} == whole

    run(spec, Clock(watch))
    assert len(journal(spec)) == len(hdr)


def test_a_camera_that_begins_in_the_middle_of_an_hour_writes_its_rest(spec: LiveSpec, hdr: Tree) -> None:
    run(replace(spec, begin=BEGIN + 15 * MINUTE, hours=1))
    written = tree(spec.root)
    images = {path for path in hdr if "/10/" in path and image_time(path) != BEGIN}
    clips = {f"{view}/20260305/HDR_20260305_100000{suffix}.mp4" for view, suffix in (("FISH", ""), ("PANO", "_PANO"))}
    assert set(written) == images | clips
    assert all(written[path] == hdr[path] for path in images)
    for path in clips:
        with av.open(str(spec.root / path)) as container:
            assert len(list(container.decode(video=0))) == 2


def test_a_camera_without_hours_runs_until_it_is_stopped(spec: LiveSpec) -> None:
    clock = Clock()
    clock.watch = stop_when(lambda: clock.now > START + 5 * 60 + 1)
    report, lines = run(replace(spec, hours=None), clock)
    assert (report.images, report.clips) == (32, 10)
    assert [line.split("  ")[:2] for line in lines if " done: " in line] == [
        [f"2026-03-06 12:0{minute}:00", f"sky 2026-03-05 {10 + minute}:00:00"] for minute in (1, 2, 3, 4, 5)
    ]
    assert lines[-1].endswith("stopped")


def test_modification_times_are_those_of_the_last_write(spec: LiveSpec) -> None:
    before = wall_clock.time() - 1  # the clock of a file system may be a tick late
    run(spec)
    assert all(before <= path.stat().st_mtime <= wall_clock.time() for path in spec.root.rglob("*.*"))


def test_a_late_file_is_whole_and_as_old_as_its_name(spec: LiveSpec, tmp_path: Path) -> None:
    read: list[tuple[float, bytes]] = []
    clock = Clock()

    def watch() -> None:
        if not read and (spec.root / LATE_PATH).exists():
            read.append((clock.now, (spec.root / LATE_PATH).read_bytes()))

    clock.watch = watch
    report, lines = run(replace(spec, late_by=timedelta(days=10)), clock)
    other_day = CameraSpec(tmp_path / "day", image_time(LATE_PATH).date(), 1, 20 * MINUTE, start_hour=11, scale=0.05)
    simulate(other_day)
    assert read == [(START + 60, (other_day.root / LATE_PATH).read_bytes())]
    assert (spec.root / LATE_PATH).stat().st_mtime_ns == (other_day.root / LATE_PATH).stat().st_mtime_ns
    assert (report.late, report.files, complete_at(spec)[LATE_PATH]) == (1, 17, 60.0)
    assert sum("late file: " + LATE_PATH in line for line in lines) == 1


def test_in_an_outage_the_root_is_renamed_and_still_written_to(spec: LiveSpec, hdr: Tree) -> None:
    states: dict[str, set[float]] = {"root": set(), "offline": set()}
    begun: set[str] = set()
    clock = Clock()

    def watch() -> None:
        states["root" if spec.root.exists() else "offline"].add(clock.now - START)
        assert spec.root.exists() != spec.offline.exists()
        begun.update(tree(spec.offline) if spec.offline.exists() else ())

    clock.watch = watch
    with_outage = replace(
        spec, outage_after=timedelta(seconds=40.5), outage=timedelta(seconds=40), flight=timedelta(seconds=1)
    )
    _, lines = run(with_outage, clock)
    assert (min(states["offline"]), max(states["offline"])) == (41.0, 80.5)  # the times before the next action
    assert max(time for time in states["root"] if time < 60) == 40.5
    assert any("_110000.jpg" in path for path in begun)
    assert tree(spec.root) == hdr
    assert [line for line in lines if "outage" in line] == [
        f"2026-03-06 12:00:40  sky 2026-03-05 10:40:30  outage begins: {spec.root} is renamed to {spec.offline}",
        f"2026-03-06 12:01:20  sky 2026-03-05 11:20:30  outage ends: {spec.root} has its name back",
    ]


@pytest.mark.parametrize("is_stopped", [False, True])
def test_the_root_gets_its_name_back_when_the_camera_ends_in_an_outage(
    spec: LiveSpec, hdr: Tree, is_stopped: bool
) -> None:
    clock = Clock()
    if is_stopped:
        clock.watch = stop_when(lambda: clock.now >= START + 61)
    report, lines = run(replace(spec, outage_after=timedelta(), outage=timedelta(hours=1)), clock)
    assert not spec.offline.exists()
    assert lines[-1].endswith("outage ends with the camera")
    written = tree(spec.root)
    halves = {path for path, content in written.items() if content != hdr[path]}
    assert halves == set(report.unfinished)
    assert (len(halves) > 0, written.keys() == hdr.keys()) == (is_stopped, not is_stopped)


def test_a_stopped_camera_leaves_half_files_and_the_next_one_completes_them_in_place(spec: LiveSpec, hdr: Tree) -> None:
    clock = Clock()
    clock.watch = stop_when(lambda: clock.now >= START + 40.5)
    report, _ = run(spec, clock)
    inodes = {path: (spec.root / path).stat().st_ino for path in tree(spec.root)}
    assert sorted(report.unfinished) == sorted(path for path in inodes if "_104000" in path)
    assert all(len((spec.root / path).read_bytes()) == len(hdr[path]) // 2 for path in report.unfinished)
    assert report.files == len(journal(spec)) == 4

    again, _ = run(spec)
    assert tree(spec.root) == hdr
    assert {path: (spec.root / path).stat().st_ino for path in inodes} == inodes
    assert len(journal(spec)) == 4 + again.files == 4 + len(hdr)


def test_a_root_that_a_killed_camera_left_offline_is_renamed_back(spec: LiveSpec, hdr: Tree) -> None:
    spec.offline.mkdir()
    (spec.offline / "kept").write_bytes(b"from before")
    _, lines = run(spec)
    assert tree(spec.root) == hdr | {"kept": b"from before"}
    assert not spec.offline.exists()
    assert "killed in an outage" in lines[0]


def test_two_roots_give_an_error_with_the_next_step(spec: LiveSpec) -> None:
    spec.root.mkdir()
    spec.offline.mkdir()
    with pytest.raises(SpecError, match="move one of them away"):
        run(spec)
    assert tree(spec.root) == tree(spec.offline) == {}


def test_a_root_that_appears_in_an_outage_is_not_touched(spec: LiveSpec) -> None:
    clock = Clock()
    clock.watch = lambda: spec.root.mkdir(exist_ok=True) if clock.now > START + 5 else None
    with pytest.raises(SpecError, match="move one of them away"):
        run(replace(spec, outage_after=timedelta(seconds=1), outage=timedelta(seconds=10)), clock)
    assert tree(spec.root) == {}
    assert tree(spec.offline)


def test_a_camera_that_is_too_slow_logs_it_and_skips_nothing(spec: LiveSpec, hdr: Tree) -> None:
    report, lines = run(replace(spec, speed=3600), SlowClock(0.3))
    assert tree(spec.root) == hdr
    assert len([line for line in lines if "falls behind" in line]) == 1
    assert [line for line in lines if " done: " in line and line.endswith(" s late")]
    last_time = START + 2  # two hours of sky time
    assert 0 < journal(spec)[-1]["complete_at"] - (last_time + report.lag) < 5  # one flight on the slow clock


def test_a_camera_that_was_slow_logs_when_it_is_on_time_again(spec: LiveSpec) -> None:
    _, lines = run(replace(spec, speed=600), SlowClock(0.4, fast_from=START + 8))
    messages = [line.split("  ")[2].partition(":")[0] for line in lines if "behind" in line or "on time" in line]
    assert messages == ["falls behind", "is on time again"]
    assert not lines[-1].endswith("late")


def test_a_slow_camera_completes_half_files_in_between(spec: LiveSpec, hdr: Tree) -> None:
    clock = SlowClock(0.3)
    most = 0

    def watch() -> None:
        nonlocal most
        most = max(most, sum(content != hdr[path] for path, content in tree(spec.root).items()))

    clock.watch = watch
    run(replace(spec, speed=1e6), clock)
    assert 0 < most < len(hdr) / 2


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("begin", BEGIN.replace(tzinfo=None)),
        ("begin", datetime(1970, 6, 1, tzinfo=UTC)),
        ("speed", 0.0),
        ("speed", float("nan")),
        ("every", timedelta(seconds=0.5)),
        ("hours", 0),
        ("scale", 0.0),
        ("codec", "vp9"),
        ("seed", -1),
        ("flight", timedelta(seconds=-1)),
        ("late_by", timedelta(minutes=30)),
        ("outage", timedelta(seconds=-1)),
    ],
)
def test_a_wrong_value_is_refused_by_name(spec: LiveSpec, field: str, value: Any) -> None:
    with pytest.raises(SpecError, match=field):
        replace(spec, **{field: value})


def test_a_journal_in_the_tree_is_refused(spec: LiveSpec) -> None:
    with pytest.raises(SpecError, match="journal must lie outside of root"):
        replace(spec, journal=spec.root / "sub" / "journal")


def test_a_begin_in_the_future_is_refused_before_anything_is_written(spec: LiveSpec) -> None:
    with pytest.raises(SpecError, match="begin must not be in the future"):
        run(replace(spec, begin=NOW + MINUTE))
    assert not spec.root.exists()
