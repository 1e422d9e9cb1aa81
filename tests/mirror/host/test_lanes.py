"""Live lane and history lane: each has its own locks and work directory, and never waits for the other."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

import pytest

from aurora_platform.errors import BusyError, HostError, TransferError
from aurora_platform.mirror.reports import MirrorReport
from aurora_platform.mirror.sync import Transfer, TransferResult
from aurora_platform.streams.state import DayAtSource, read_days_at_source
from aurora_platform.transport.listing import LocalSource
from tests.mirror.parts import (
    SETTLED,
    ChangingSource,
    Mirror,
    RecordingTransfer,
    adds_up,
    differences,
    left_over,
    stream_of,
    write,
)
from tests.patience import patient

OLD = [date(2026, 3, 1), date(2026, 3, 2)]
LIVE = [date(2026, 3, 4), date(2026, 3, 5)]
LIVE_FROM = date(2026, 3, 4)


def image_of(day: date, minute: int = 0) -> str:
    return f"FISH/{day:%Y%m%d}/10/HDR_{day:%Y%m%d}_10{minute:02}00.jpg"


@pytest.fixture
def mirror(source_root: Path, tmp_path: Path) -> Mirror:
    """A camera with one image on each of four days; two days are live."""
    write(source_root, {image_of(day): str(day).encode() for day in OLD + LIVE})
    return Mirror(stream_of(source_root), tmp_path)


@pytest.fixture
def source_days(tmp_path: Path) -> Path:
    return tmp_path / "state" / "sources" / "wxcam.json"


class Hanging(RecordingTransfer):
    """A real transfer that waits before it begins."""

    def __init__(self, transfer: Transfer) -> None:
        super().__init__(transfer)
        self.began, self.may_go_on = threading.Event(), threading.Event()

    def fetch(
        self, root: str, paths: Sequence[str], target: Path, work: Path, lock: Path, largest: int
    ) -> TransferResult:
        self.began.set()
        assert self.may_go_on.wait(patient(120))
        return super().fetch(root, paths, target, work, lock, largest)


class Broken(RecordingTransfer):
    """A transfer that fails for history."""

    def fetch(
        self, root: str, paths: Sequence[str], target: Path, work: Path, lock: Path, largest: int
    ) -> TransferResult:
        if "history" in work.name:
            raise TransferError("rsync ended with 12")
        return super().fetch(root, paths, target, work, lock, largest)


@contextmanager
def hanging(mirror: Mirror, *days: date) -> Iterator[list[MirrorReport]]:
    """Run a pass over ``days`` that hangs in its transfer until the block ends; yield the list for its report."""
    transfer, reports = Hanging(mirror.transfer), list[MirrorReport]()

    def run() -> None:
        reports.append(mirror.run(*days, transfer=transfer, live_from=LIVE_FROM))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert transfer.began.wait(patient(60))
        yield reports
        assert reports == [], "it hung all the time"
    finally:
        transfer.may_go_on.set()
        thread.join()


def test_live_and_history_days_are_two_transfers_with_own_directories_and_one_report(
    mirror: Mirror, source_root: Path
) -> None:
    transfer = RecordingTransfer(mirror.transfer)
    report = mirror.run(*OLD, *LIVE, transfer=transfer, live_from=LIVE_FROM)
    assert transfer.paths == [[image_of(day) for day in LIVE], [image_of(day) for day in OLD]], (
        "the live days come first"
    )
    work, locks = mirror.raw / ".incoming", mirror.locks
    assert transfer.work_and_lock == [
        (work / "wxcam", locks / "mirror.wxcam.transfer.lock"),
        (work / "wxcam.history", locks / "mirror.wxcam.history.transfer.lock"),
    ]
    assert [(day.day, day.copied) for day in report.days] == [(day, 1) for day in [*LIVE, *OLD]]
    assert report.summary().startswith("seen 4 = copied 4 + unchanged 0 + unsettled 0 + refused 0; 40 B in")
    assert adds_up(report)
    assert differences(source_root, mirror.root) == []
    assert left_over(mirror.raw) == []
    again = mirror.run(*OLD, *LIVE, live_from=LIVE_FROM)
    assert again.total("unchanged") == 4
    assert [day.data_version for day in again.days] == [day.data_version for day in report.days]
    assert {day.day: day.data_version for day in mirror.run(*OLD, *LIVE).days} == {
        day.day: day.data_version for day in report.days
    }, "the data version of a day does not depend on the lane"


def test_a_report_of_two_lanes_has_the_counts_of_both(mirror: Mirror, source_root: Path) -> None:
    write(source_root, {image_of(day, 1).replace("HDR", "AUTO"): b"another kind" for day in (OLD[0], LIVE[0])})
    for day in (OLD[1], LIVE[1]):
        (source_root / image_of(day, 2)).symlink_to("/etc/hostname")
    report = mirror.run(*OLD, *LIVE, live_from=LIVE_FROM)
    assert (report.unexpected, report.total("refused_count"), report.total("seen")) == (2, 2, 6)
    assert report.newest_ns == max((source_root / image_of(day)).stat().st_mtime_ns for day in OLD + LIVE)
    assert adds_up(report)


@pytest.mark.parametrize(("hung_days", "other_days"), [(OLD, LIVE), (LIVE, OLD)], ids=["history", "live"])
def test_a_hanging_lane_does_not_delay_the_other_lane(
    mirror: Mirror, source_root: Path, hung_days: list[date], other_days: list[date]
) -> None:
    with hanging(mirror, *hung_days) as reports:
        for minute in (1, 2):
            write(source_root, {image_of(other_days[-1], minute): b"has just arrived"})
            report = mirror.run(*other_days, live_from=LIVE_FROM, wait=0.1)
            assert report.total("copied") == (3 if minute == 1 else 1)
        with pytest.raises(BusyError, match=rf"mirror\.wxcam{r'\.history' if hung_days == OLD else ''}: another run"):
            mirror.run(hung_days[0], live_from=LIVE_FROM, wait=0.1)
        assert not any((mirror.root / image_of(day)).exists() for day in hung_days)
    (late,) = reports
    assert late.total("copied") == 2
    assert differences(source_root, mirror.root) == []
    assert left_over(mirror.raw) == []


def test_concurrent_lanes_leave_the_same_tree_as_one_pass(mirror: Mirror, source_root: Path, tmp_path: Path) -> None:
    write(source_root, {image_of(day, minute): bytes([minute]) * 100_000 for day in OLD + LIVE for minute in range(30)})
    reports: list[MirrorReport] = []
    passes = [
        threading.Thread(target=lambda days=days: reports.append(mirror.run(*days, live_from=LIVE_FROM)))
        for days in ([OLD[0], LIVE[0]], [OLD[1], LIVE[1]], OLD, LIVE)
    ]
    for thread in passes:
        thread.start()
    for thread in passes:
        thread.join()
    assert sum(report.total("copied") for report in reports) == 4 * 30, "nothing is copied twice"
    quiet = mirror.but(home=tmp_path / "quiet")
    quiet.run(*OLD, *LIVE)
    assert differences(quiet.root, mirror.root) == []
    assert left_over(mirror.raw) == []


def test_only_live_days_are_recorded(mirror: Mirror, source_days: Path) -> None:
    source = LocalSource(lambda: 1_780_000_000 * 10**9)
    mirror.run(*OLD, live_from=LIVE_FROM, source_days=source_days, source=source)
    assert not source_days.exists()
    mirror.run(*OLD, *LIVE, live_from=LIVE_FROM, source_days=source_days, source=source)
    assert read_days_at_source(source_days) == dict.fromkeys(LIVE, DayAtSource(1_780_000_000 * 10**9, 0, 0))


def test_the_recorded_state_counts_files_that_were_not_copied(
    mirror: Mirror, source_root: Path, source_days: Path
) -> None:
    write(source_root, {image_of(LIVE[1], minute): b"x" for minute in (1, 2)})
    write(source_root, {image_of(LIVE[1], 3): b"x"}, at=SETTLED + timedelta(hours=1))
    clock = (source_root / image_of(LIVE[1], 3)).stat().st_mtime_ns + 299 * 10**9
    source = ChangingSource(LocalSource(lambda: clock), (source_root / image_of(LIVE[1], 1)).unlink)
    report = mirror.run(*LIVE, live_from=LIVE_FROM, source_days=source_days, source=source)
    assert (report.total("copied"), report.unsettled, report.total("refused_count")) == (3, 1, 1)
    assert read_days_at_source(source_days) == {LIVE[0]: DayAtSource(clock, 0, 0), LIVE[1]: DayAtSource(clock, 1, 1)}


def test_a_failed_pass_is_not_recorded_but_a_live_pass_is_even_if_history_fails(
    mirror: Mirror, source_days: Path, tmp_path: Path
) -> None:
    with pytest.raises(HostError):
        mirror.but(stream=stream_of(tmp_path / "none")).run(*LIVE, live_from=LIVE_FROM, source_days=source_days)
    assert not source_days.exists()
    with pytest.raises(TransferError):
        mirror.run(*OLD, *LIVE, transfer=Broken(mirror.transfer), live_from=LIVE_FROM, source_days=source_days)
    assert read_days_at_source(source_days).keys() == set(LIVE)
    assert all(day_at_source.is_complete for day_at_source in read_days_at_source(source_days).values())


def test_without_a_live_window_every_day_is_live(mirror: Mirror, source_days: Path) -> None:
    transfer = RecordingTransfer(mirror.transfer)
    mirror.run(*OLD, *LIVE, transfer=transfer, source_days=source_days)
    assert len(transfer.paths) == 1
    assert read_days_at_source(source_days).keys() == {*OLD, *LIVE}
