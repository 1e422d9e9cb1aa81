"""What is kept of a program's output: its ends, and lines that matter wherever they stand, in bounded memory."""

import re
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurora_platform.transport.bounds import Bounds
from aurora_platform.transport.output import OutputExcerpt
from aurora_platform.transport.rsync import LocalEndpoint, Rsync
from aurora_platform.transport.stall import READ_PROGRESS
from tests.mirror.parts import LOG

FULL = 'rsync: [receiver] mkstemp "/raw/x" failed: No space left on device (28)'
DENIED = 'rsync: [receiver] mkstemp "/raw/y" failed: Permission denied (13)'
FLOOD = 'rsync: [sender] send_files failed to open "/x/%d": Permission denied (13)'
MATCH = re.compile(rb"^here \d+")


@pytest.mark.parametrize(("before", "after"), [(0, 4000), (2000, 2000), (4000, 0)])
def test_what_rsync_says_of_the_disk_is_heard_in_the_middle_of_a_flood(tmp_path: Path, before: int, after: int) -> None:
    program = (
        f"for n in range({before}): print({FLOOD!r} % n)\n"
        f"for _ in range(50): print({DENIED!r})\n"
        f"print({FULL!r})\n"
        f"for n in range({after}): print({FLOOD!r} % n)\n"
        "raise SystemExit(23)"
    )
    rsync = Rsync(LocalEndpoint(), Bounds(tmp_path / "known_hosts"))
    ended = rsync.run([sys.executable, "-c", program], LOG, tmp_path / "lock", READ_PROGRESS)
    assert (ended.code, ended.disk_error, ended.write_denied, ended.is_full) == (23, FULL, DENIED, True)
    assert sum(map(len, ended.lines)) < 2.2 * 64 * 1024


@given(
    st.lists(st.sampled_from([b"here 1\n", b"here 2\n", b"noise\n", b"\r", b"\n", b"x here 3\n"])), st.integers(1, 9)
)
def test_however_output_is_cut_into_blocks_the_same_lines_are_kept_once(lines: list[bytes], block: int) -> None:
    said = b"".join(lines)
    ends, at_once = OutputExcerpt(8, [MATCH]), OutputExcerpt(8, [MATCH])
    for at in range(0, len(said), block):
        ends.add(said[at : at + block])
    at_once.add(said)
    assert ends.text() == at_once.text()
    if len(said) <= 16:
        assert ends.text() == said.decode().replace("\r\n", "\n").replace("\r", "\n")
    assert ends.text().count("here 1") + ends.text().count("here 2") <= 5 + 2


def test_a_line_without_end_and_lines_without_number_take_bounded_memory() -> None:
    ends = OutputExcerpt(100, [MATCH])
    for number in range(1000):
        ends.add(b"here %d\n" % number)
    for _ in range(1000):
        ends.add(b"here 1" * 1000)
    text = ends.text()
    assert [line for line in text.split("\n") if MATCH.fullmatch(line.encode())][:5] == [f"here {n}" for n in range(5)]
    assert len(text) < 1000
    assert sum(len(kept) for kept in (ends._head, ends._tail, ends._line)) <= 100 + 100 + 4096
