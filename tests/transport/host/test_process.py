"""A program and its three bounds: it ends with its run and after its time, and holds its lock while it runs."""

import fcntl
import logging
import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aurora_platform.transport import process
from aurora_platform.transport.process import LOCKED, TIMED_OUT, run_program
from tests.patience import patient, until

LOG = logging.getLogger("tests.transport")


def run(directory: Path, argv: Sequence[str], bound: float = patient(60), wait: float = patient(20)) -> tuple[str, int]:
    return run_program(
        argv,
        LOG,
        bound=timedelta(seconds=bound),
        lock=directory / "locks" / "lock",
        lock_wait=timedelta(seconds=wait),
    )


def test_a_programs_output_and_exit_code_come_back(tmp_path: Path) -> None:
    assert run(tmp_path, ["sh", "-c", "echo out; echo err >&2; exit 7"]) == ("out\nerr\n", 7)
    assert run(tmp_path, ["true"]) == ("", 0)
    assert run(tmp_path, ["no-such-program"])[1] == 127


@settings(max_examples=25)
@given(st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=12), max_size=5))
@example(["$HOME", "`id`", "$(id)", "'", '"', "\\", "*", "~", "a b", "", "-n", "\n", "!", "#", ";", "&", "|", ">x"])
def test_no_argument_is_interpreted_by_a_shell(arguments: list[str]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        show = "import sys; sys.stdout.buffer.write('\\0'.join(sys.argv[1:]).encode('utf-8', 'surrogateescape'))"
        home = Path(directory) / "a b'$c"
        home.mkdir()
        output, code = run(home, [sys.executable, "-IS", "-X", "utf8", "-c", show, *arguments])
    # A text file's line ends are read as "\n", whatever they were.
    assert (output, code) == ("\0".join(arguments).replace("\r\n", "\n").replace("\r", "\n"), 0)


def test_output_that_is_not_text_is_no_error(tmp_path: Path) -> None:
    assert run(tmp_path, ["printf", r"h\351las"]) == ("h\ufffdlas", 0)


def test_a_program_gets_only_the_environment_variables_that_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AURORA_SECRET", "swordfish")
    monkeypatch.setenv("RSYNC_RSH", "false")
    monkeypatch.setenv("BASH_ENV", "/no/such/file")
    output, _ = run(tmp_path, ["env"])
    names = {line.partition("=")[0] for line in output.splitlines()}
    assert names <= {"PATH", "HOME", "USER", "LOGNAME", "LC_ALL", "PWD", "SHLVL", "_", "OLDPWD"}
    assert "LC_ALL=C" in output.splitlines()


def test_a_program_is_ended_at_its_bound_with_all_that_it_started(tmp_path: Path) -> None:
    began = time.monotonic()
    script = f"sleep 3600 & echo $! > {tmp_path}/child; wait"
    assert run(tmp_path, ["sh", "-c", script], bound=patient(1))[1] == TIMED_OUT
    assert time.monotonic() - began < patient(1 + 20)
    child = int((tmp_path / "child").read_text())
    ends(child)


def ends(pid: int) -> None:
    until(lambda: not _lives(pid))


def _lives(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "state=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return state.strip() not in ("", "Z")


def test_a_grandchild_that_keeps_the_output_open_does_not_block_us(tmp_path: Path) -> None:
    output, code = run(tmp_path, ["sh", "-c", "sleep 3600 & echo $!"])
    assert code == 0
    assert _lives(int(output)), "it was not waited for"
    # It runs on without us, but it still holds the lock: no other program starts meanwhile.
    assert run(tmp_path, ["true"], wait=0.1)[1] == LOCKED
    os.kill(int(output), 9)
    assert run(tmp_path, ["true"])[1] == 0


def test_a_program_holds_its_lock_while_it_runs(tmp_path: Path) -> None:
    (tmp_path / "locks").mkdir()
    with (tmp_path / "locks" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        began = time.monotonic()
        assert run(tmp_path, ["touch", str(tmp_path / "ran")], wait=0.3)[1] == LOCKED
        assert time.monotonic() - began >= 0.3
        assert not (tmp_path / "ran").exists()
    probe = f"flock --nonblock {tmp_path}/locks/lock true || echo held"
    assert run(tmp_path, ["sh", "-c", probe]) == ("held\n", 0)


def test_a_program_ends_with_the_run_that_started_it(tmp_path: Path) -> None:
    script = f"echo $$ > {tmp_path}/pid; exec sleep 3600"
    process = multiprocessing.get_context("fork").Process(target=run, args=(tmp_path, ["sh", "-c", script]))
    process.start()
    until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    process.kill()
    process.join()
    ends(int((tmp_path / "pid").read_text()))
    assert run(tmp_path, ["true"])[1] == 0, "the lock is free"


class Recorder(logging.Handler):
    """Records the text that is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text += record.getMessage()


@pytest.fixture
def log() -> Iterator[Recorder]:
    """Records the messages of :data:`LOG`."""
    recorder, level = Recorder(), LOG.level
    LOG.addHandler(recorder)
    LOG.setLevel(logging.INFO)
    yield recorder
    LOG.removeHandler(recorder)
    LOG.setLevel(level)


FLOOD = 20_000_000
FLOODS = f"""
import os, sys
os.write(1, b"the first line\\n")
for _ in range({FLOOD} // 1000):
    os.write(2, b"\\x1b[31m\\x9b\\x00\\xe2\\x80\\xae" * 100)
print(flush=True)
print(sum(os.lstat(os.path.join(sys.argv[1], name)).st_size for name in os.listdir(sys.argv[1])), "bytes on the disk")
print("the last line")
"""


def test_the_beginning_and_end_of_a_flood_of_output_are_kept_printable_and_nothing_is_on_the_disk(
    tmp_path: Path, log: Recorder
) -> None:
    output, code = run(tmp_path, [sys.executable, "-c", FLOODS, str(tmp_path / "locks")])
    assert code == 0
    for text in (output, log.text):
        assert text.startswith("the first line\n")
        assert text.endswith("\n0 bytes on the disk\nthe last line\n")
        assert re.search(r"\n\[\d{8} bytes are left out here\]\n", text)
    assert len(output.encode()) < 2.5 * 64 * 1024
    # Every byte that is not printable is logged as an escape.
    assert len(log.text) < 8 * 64 * 1024
    assert log.text.replace("\n", "").isprintable()


def test_the_bytes_left_out_and_the_bytes_kept_add_up_to_the_whole_output(tmp_path: Path) -> None:
    output, _ = run(tmp_path, [sys.executable, "-c", f"print('x' * {1 << 20})"])
    left_out = re.search(r"\n\[(\d+) bytes are left out here\]\n", output)
    assert left_out is not None
    assert output.count("x") + int(left_out[1]) == 1 << 20


def test_a_grandchild_that_floods_the_output_does_not_block_us(tmp_path: Path) -> None:
    _, code = run(tmp_path, ["sh", "-c", f"yes & echo $! > {tmp_path}/pid"])
    assert code == 0
    ends(int((tmp_path / "pid").read_text()))  # nobody reads its output any more


def test_a_program_that_never_stops_talking_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "MOST_OUTPUT", 10_000_000)
    monkeypatch.setattr(process, "_MEASURE_EVERY", 0.05)
    for stall in (None, timedelta(seconds=patient(60))):
        text, code = run_program(
            ["sh", "-c", "yes 'a long line of a hostile host'"],
            LOG,
            bound=timedelta(seconds=patient(60)),
            lock=tmp_path / "lock",
            lock_wait=timedelta(0),
            stall=stall,
        )
        assert code == process.FLOODED
        assert len(text) < 200_000
