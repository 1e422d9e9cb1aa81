"""The programs of ``aurora ui``, and runs, are killed while files arrive: ticks go on, and nothing is lost."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.aurora_cli.ui_site import PROGRAMS, Ui, running
from tests.forking import KILLS
from tests.patience import patient, until

ROUNDS = max(2, KILLS // 2)
TICKS_WITHIN = 60.0  # s


@contextmanager
def files_arriving(directory: Path) -> Iterator[dict[str, bytes]]:
    """Write a file every second; what was written so far, by name."""
    written, is_over = dict[str, bytes](), threading.Event()

    def write() -> None:
        while not is_over.wait(1.0):
            name, content = f"met_{len(written):05}.txt", os.urandom(500)
            (directory / f".{name}").write_bytes(content)
            (directory / f".{name}").rename(directory / name)
            written[name] = content

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield written
    finally:
        is_over.set()
        writer.join()


def runs_of(ui: Ui) -> list[int]:
    """The processes of runs."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdecimal() and b"execute_run" in (words := (entry / "cmdline").read_bytes()):
                found += [int(entry.name)] * (os.fsencode(ui.home) in words)
    return found


def assert_all_arrive(ui: Ui, written: dict[str, bytes]) -> None:
    """Each file reaches the raw directory once and whole."""
    raw = ui.home / "raw" / "met"
    # A run that was killed while it started is given up after `start_timeout_seconds`.
    until(lambda: {path.name for path in raw.glob("met_*")} == written.keys(), within=240)
    assert {path.name: path.read_bytes() for path in raw.glob("met_*")} == written


def test_ticks_go_on_within_a_minute_whatever_is_killed(tmp_path: Path) -> None:
    chance = random.Random(18)
    victims = [*PROGRAMS, "run"] * ROUNDS
    chance.shuffle(victims)
    with running(tmp_path) as ui:
        ui.wait_for_ticks(0)
        with files_arriving(tmp_path / "instrument") as written:
            for victim in victims:
                time.sleep(chance.uniform(0, 3))
                if victim == "run":
                    until(lambda: runs_of(ui), within=240)  # a run that was killed is given up first
                    for process in runs_of(ui)[:1]:
                        with suppress(ProcessLookupError):
                            os.kill(process, signal.SIGKILL)
                else:
                    ui.kill(victim)
                killed = time.time()
                ui.wait_for_ticks(killed)
                assert time.time() - killed < patient(TICKS_WITHIN), victim
        assert_all_arrive(ui, written)
        assert ui.process.poll() is None


def test_after_the_supervisor_was_killed_the_next_start_goes_on(tmp_path: Path) -> None:
    for _ in range(3):
        with running(tmp_path) as ui, files_arriving(tmp_path / "instrument"):
            ui.wait_for_ticks(time.time())
            started = [process for name in PROGRAMS for process in ui.processes(name)]
            assert len(started) == len(PROGRAMS)
            ui.process.kill()
            ui.process.wait()
            until(lambda started=started: not any(Path(f"/proc/{process}").exists() for process in started))
    with running(tmp_path) as ui:
        assert_all_arrive(ui, {path.name: path.read_bytes() for path in (tmp_path / "instrument").glob("met_*")})
