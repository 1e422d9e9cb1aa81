"""The lock that another system takes too: shared by ours, and against all that lock it exclusively."""

from __future__ import annotations

import fcntl
import logging
import subprocess
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from aurora_platform.errors import BusyError
from aurora_platform.fs.locks import INHERITED, hold_shared
from aurora_platform.transport.process import run_program
from tests.patience import patient, until

NO_WAIT = timedelta(0)
LOG = logging.getLogger("tests.locks")


def can_be_locked_alone(lock: Path) -> bool:
    """What an older system's script does: ``flock --nonblock FILE true``."""
    return subprocess.run(["flock", "--nonblock", lock, "true"], check=False).returncode == 0


def _points_to(place: Path, file: Path) -> bool:
    try:
        return place.readlink() == file
    except OSError:
        return False


def test_two_of_ours_hold_it_at_once_and_a_script_that_locks_it_waits(tmp_path: Path) -> None:
    lock = tmp_path / "state" / "met-sync.lock"
    with hold_shared(lock, NO_WAIT), hold_shared(lock, NO_WAIT):
        assert not can_be_locked_alone(lock)
    assert can_be_locked_alone(lock)
    assert lock.exists(), "it is the other system's file"


def test_while_a_script_holds_it_ours_waits_and_then_says_which_program_to_look_for(tmp_path: Path) -> None:
    lock = tmp_path / "met-sync.lock"
    with lock.open("w") as theirs:
        fcntl.flock(theirs, fcntl.LOCK_EX)
        words = f"{lock}: another program holds this lock.*`fuser -v {lock}`"
        with pytest.raises(BusyError, match=words), hold_shared(lock, timedelta(seconds=0.3)):
            pytest.fail("held by two")
        threading.Timer(0.3, lambda: fcntl.flock(theirs, fcntl.LOCK_UN)).start()
        with hold_shared(lock, timedelta(seconds=patient(20))):
            assert INHERITED.get() != ()
    assert INHERITED.get() == ()


def test_a_program_that_outlives_the_block_still_excludes_the_script(tmp_path: Path) -> None:
    lock, other, begun = tmp_path / "met-sync.lock", tmp_path / "other.lock", tmp_path / "begun"
    bound = timedelta(seconds=patient(60))

    def run() -> None:
        with hold_shared(lock, NO_WAIT):
            run_program(["sh", "-c", f"touch {begun}; sleep 600"], LOG, bound=bound, lock=other, lock_wait=NO_WAIT)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    until(begun.exists)
    holders = [place for place in Path("/proc").glob("[0-9]*/fd/*") if _points_to(place, lock)]
    assert len({place.parts[2] for place in holders}) > 1, "this process, and the program"
    assert not can_be_locked_alone(lock)
    subprocess.run(["pkill", "-f", f"touch {begun}"], check=True)
    thread.join(patient(30))
    assert can_be_locked_alone(lock)
