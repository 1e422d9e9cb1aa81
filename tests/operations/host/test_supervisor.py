"""A program that ends is started again; all end with their supervisor, also when that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from aurora_platform.errors import AuroraError
from aurora_platform.operations import supervisor
from aurora_platform.operations.supervisor import Program, Supervisor
from tests.patience import patient, until

ROOT = Path(__file__).resolve().parents[3]
WRITES_ITS_NUMBER = "import os, sys, time; open(sys.argv[1], 'a').write(f'{os.getpid()}\\n'); time.sleep(600)"


def program(file: Path, name: str = "one") -> Program:
    return Program(
        name, [sys.executable, "-c", WRITES_ITS_NUMBER, str(file)], is_ready=file.exists, ready_within=patient(20)
    )


def numbers(file: Path) -> list[int]:
    return [int(line) for line in file.read_text().splitlines()] if file.exists() else []


def is_alive(number: int) -> bool:
    try:
        state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def test_a_killed_program_comes_back_and_all_end_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "_FIRST_PAUSE", 0.05)
    one, other, messages = tmp_path / "one", tmp_path / "other", list[str]()
    with Supervisor([program(one), program(other, "other")], messages.append) as kept:
        kept.start()
        running = threading.Thread(target=kept.run)
        running.start()
        for times in (2, 3):
            os.kill(numbers(one)[-1], signal.SIGKILL)
            until(lambda times=times: len(numbers(one)) == times)
        kept.stop()
        running.join(patient(20))
        assert len(numbers(other)) == 1, "the other one goes on"
    assert not any(map(is_alive, numbers(one) + numbers(other)))
    assert len(messages) == 2
    assert messages[0].startswith(
        "the one has ended (SIGKILL: the kernel kills a program when memory runs out, see `dmesg`)"
    )


def test_a_program_that_always_ends_is_started_less_and_less_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "_LONGEST_PAUSE", 4.0)
    failing = Program("failing", [sys.executable, "-c", "import sys; sys.exit(3)"])
    with Supervisor([failing], lambda text: None) as kept:
        failing.start()
        running = threading.Thread(target=kept.run)
        running.start()
        until(lambda: failing.pause == 4.0)
        kept.stop()
        running.join(patient(20))
    assert failing.starts <= 4


def test_a_program_that_does_not_become_ready_is_an_error_and_no_endless_loop(tmp_path: Path) -> None:
    never = Program("web server", [sys.executable, "-c", "import sys; sys.exit(3)"], is_ready=lambda: False)
    with (
        Supervisor([never], lambda text: None) as kept,
        pytest.raises(AuroraError, match=r"did not start \(exit code 3\)"),
    ):
        kept.start()
    slow = Program("web server", ["sleep", "600"], is_ready=lambda: False, ready_within=0.3)
    with Supervisor([slow], lambda text: None) as kept, pytest.raises(AuroraError, match=r"not ready after 0 s"):
        kept.start()
    assert slow.process is not None
    assert slow.process.returncode == -signal.SIGTERM


def test_what_a_killed_supervisor_has_started_ends(tmp_path: Path) -> None:
    file = tmp_path / "number"
    script = f"""
        import sys
        from pathlib import Path
        from tests.operations.host.test_supervisor import program
        from aurora_platform.operations.supervisor import Supervisor
        with Supervisor([program(Path({str(file)!r}))], print) as kept:
            kept.start()
            kept.run()
    """
    victim = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], cwd=ROOT)
    until(lambda: numbers(file))
    time.sleep(0.1)
    victim.kill()
    victim.wait()
    until(lambda: not is_alive(numbers(file)[0]))
