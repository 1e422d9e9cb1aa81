"""Pushes with concurrent events: kills, files that vanish, change and grow, and other pushes."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from multiprocessing import get_context

import pytest

from aurora_platform.fs.versions import FileVersion
from tests.archive.parts import Observatory, adds_up, arriving, receivers, running, write_raw
from tests.mirror.parts import differences, left_over, once, write
from tests.patience import patient, until

BIG = random.Random(7).randbytes(3_000_000)
fork = get_context("fork")


@contextmanager
def paused_receivers(observatory: Observatory) -> Iterator[None]:
    """Pause the remote rsync of a started push while the block runs, however long that takes."""
    until(lambda: arriving(observatory.gws) > 200_000)
    remote_pids = receivers(observatory.gws)
    assert remote_pids
    for pid in remote_pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in remote_pids:
            os.kill(pid, signal.SIGCONT)


def test_the_archive_never_has_a_partial_file_under_its_name_even_after_a_kill(observatory: Observatory) -> None:
    write_raw(observatory, {"20260305.csv": BIG})
    target = observatory.gws / "raw" / "met" / "20260305.csv"
    slow = observatory.but(bandwidth=1000, known_hosts=None)
    polls = 0
    run = fork.Process(target=slow.push_raw)
    run.start()
    while arriving(observatory.gws) < 1_000_000:
        assert not target.exists()
        assert run.is_alive()
        polls += 1
        time.sleep(0.005)
    remote_pids = receivers(observatory.gws)
    assert remote_pids
    for pid in remote_pids:
        os.kill(pid, signal.SIGKILL)
    run.kill()
    run.join()
    until(lambda: not receivers(observatory.gws))
    assert polls > 3
    assert not target.exists()
    row = observatory.row(target)
    assert row is not None
    assert row.copied_at is None
    assert left_over(observatory.home / "raw") != [], "the upload tree of the killed run"
    with running(observatory.push_raw) as results:
        while not results:
            assert not target.exists() or target.stat().st_size == len(BIG)
            time.sleep(0.002)
    assert results[0].files == 1
    assert target.read_bytes() == BIG
    assert left_over(observatory.home / "raw") == []


def test_runs_killed_at_any_moment_never_leave_a_copied_row_without_its_file(
    observatory: Observatory,
) -> None:
    chance = random.Random(11)
    archived = observatory.gws / "raw" / "met"
    for attempt in range(6):
        write_raw(observatory, {f"20260305_{attempt}_{n}.csv": chance.randbytes(50_000) for n in range(10)})
        run = fork.Process(target=observatory.but(bandwidth=2000, known_hosts=None).push_raw)
        run.start()
        time.sleep(patient(chance.uniform(0.05, 0.7)))  # at any moment of its work, also on a slow machine
        run.kill()
        run.join()
        for path in observatory.raw.glob("*.csv"):
            row = observatory.row(archived / path.name)
            if row is not None and row.copied_at:
                status = (archived / path.name).stat()
                assert FileVersion.of(status) == row.version
    observatory.push_raw()
    assert differences(observatory.raw, archived) == []
    assert left_over(observatory.home / "raw") == []
    assert observatory.push_raw().files == 0


def test_a_local_file_that_vanishes_during_the_transfer_is_a_success_with_a_note(observatory: Observatory) -> None:
    write_raw(observatory, {"20260305_a.csv": BIG, "20260305_z.csv": b"z"})

    def vanish() -> None:
        for place in (observatory.home / "raw" / ".outgoing").rglob("20260305_z.csv"):
            place.unlink()

    slow = observatory.but(bandwidth=2000)
    with once(lambda: arriving(observatory.gws) > 500_000, vanish):
        report = slow.push_raw()
    assert report.host_errors == {}
    assert (report.files, report.failed.total) == (1, 1)
    assert "local files vanished while they were sent (rsync's exit code 24)" in report.notes
    assert any("vanished" in note for note in report.notes)
    row = observatory.row(observatory.gws / "raw" / "met" / "20260305_z.csv")
    assert row is not None
    assert (row.copied_at, row.attempts) == (None, 1)
    assert observatory.push_raw().files == 1


def test_a_file_replaced_locally_during_the_push_arrives_complete_as_old_and_then_new(observatory: Observatory) -> None:
    write_raw(observatory, {"20260305.csv": BIG})
    target = observatory.gws / "raw" / "met" / "20260305.csv"
    new = random.Random(8).randbytes(2_000_000)

    def replace() -> None:
        write_raw(observatory, {"next": new})
        (observatory.raw / "next").replace(observatory.raw / "20260305.csv")

    with once(lambda: arriving(observatory.gws) > 500_000, replace):
        report = observatory.but(bandwidth=2000).push_raw()
    assert report.files == 1
    assert target.read_bytes() == BIG
    assert observatory.push_raw().files == 1
    assert target.read_bytes() == new


def test_a_product_written_in_place_during_the_push_arrives_complete_or_waits(observatory: Observatory) -> None:
    old, young = observatory.products / "old.nc", observatory.products / "young.nc"
    write(observatory.products, {"old.nc": BIG, "young.nc": BIG})
    os.utime(young)

    def write_in_place() -> None:
        for place in (old, young):
            with place.open("r+b") as file:
                file.write(b"new")

    with once(lambda: arriving(observatory.gws) > 500_000, write_in_place):
        report = observatory.but(bandwidth=3000).push_core()
    assert (report.files, report.unsettled.first, report.failed.total) == (1, [str(old)], 0)
    assert adds_up(report)
    assert (observatory.gws / "products" / "young.nc").read_bytes() == BIG
    assert observatory.push_core().files == 2
    assert differences(observatory.products, observatory.gws / "products") == []


def test_a_log_that_is_appended_without_pause_arrives_as_a_prefix_each_time(observatory: Observatory) -> None:
    log = observatory.products / "ops" / "events.jsonl"
    log.parent.mkdir(parents=True)
    line, stop = b'{"a": "line"}\n', threading.Event()

    def append() -> None:
        with log.open("ab", buffering=0) as file:
            while not stop.is_set():
                file.write(line * 200)
                time.sleep(0.001)

    sizes = []
    with running(append):
        try:
            until(log.exists)
            for _ in range(3):
                report = observatory.push_core()
                assert (report.files, report.unsettled.total) == (1, 0)
                copy = (observatory.gws / "products" / "ops" / "events.jsonl").read_bytes()
                assert copy == line * (len(copy) // len(line)) + line[: len(copy) % len(line)]
                sizes.append(len(copy))
        finally:
            stop.set()
    assert sizes == sorted(set(sizes))
    assert observatory.push_core().files == 1
    assert differences(observatory.products, observatory.gws / "products") == []


def test_a_product_that_is_rewritten_all_the_time_waits_and_delays_no_other(
    observatory: Observatory, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(observatory.products, {"quiet.txt": b"quiet"})
    restless, read = observatory.products / "restless.bin", os.pread
    restless.write_bytes(BIG)

    def read_while_written(handle: int, size: int, at: int) -> bytes:
        with restless.open("r+b") as file:
            file.write(random.randbytes(100))
        return read(handle, size, at)

    with monkeypatch.context() as busy:
        busy.setattr(os, "pread", read_while_written)
        report = observatory.push_core()
    assert (report.files, report.unsettled.first) == (1, [str(restless)])
    assert adds_up(report)
    assert observatory.push_core().files == 1


def test_small_products_are_sent_during_a_large_push_of_the_camera(observatory: Observatory) -> None:
    write(observatory.products, {"wxcam/daily_videos/c/20260305.mp4": BIG, "small.json": b"{}"})
    write_raw(observatory, {"20260305.csv": b"x"})
    slow = observatory.but(bandwidth=1000, stall=patient(60))
    with running(slow.push_wxcam) as large, paused_receivers(slow):
        assert observatory.push_core().files == 1
        assert observatory.push_raw().files == 1
        assert not large
    assert large[0].files == 1


def test_a_push_of_history_does_not_delay_new_files(observatory: Observatory) -> None:
    write_raw(observatory, {"20260201.csv": BIG, "20260305.csv": b"now"})
    old = [date(2026, 2, 1)]
    slow = observatory.but(bandwidth=1000, stall=patient(60))
    with (
        running(lambda: slow.pushing(lambda pushing: pushing.raw("met", old, history=True))) as history,
        paused_receivers(slow),
    ):
        assert observatory.push_raw().files == 1
        assert not history
    assert history[0].files == 1
