"""The kept output of a program: beginning, end and important lines, in bounded memory."""

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
MATCH = re.compile(rb"^match \d+")


@pytest.mark.parametrize(("before", "after"), [(0, 4000), (2000, 2000), (4000, 0)])
def test_an_error_of_the_disk_is_kept_in_the_middle_of_a_flood_of_output(
    tmp_path: Path, before: int, after: int
) -> None:
    program = (
        f"for n in range({before}): print({FLOOD!r} % n)\n"
        f"for _ in range(50): print({DENIED!r})\n"
        f"print({FULL!r})\n"
        f"for n in range({after}): print({FLOOD!r} % n)\n"
        "raise SystemExit(23)"
    )
    rsync = Rsync(LocalEndpoint(), Bounds(tmp_path / "known_hosts"))
    result = rsync.run([sys.executable, "-c", program], LOG, tmp_path / "lock", READ_PROGRESS)
    assert (result.code, result.is_full) == (23, True)
    assert str(result.disk_error).startswith(f"{FULL}. Make room")
    assert str(result.write_denied).startswith(f"{DENIED}. The user that runs this is not allowed")
    assert sum(map(len, result.lines)) < 2.2 * 64 * 1024


@given(
    st.lists(st.sampled_from([b"match 1\n", b"match 2\n", b"noise\n", b"\r", b"\n", b"x match 3\n"])), st.integers(1, 9)
)
def test_the_same_lines_are_kept_once_however_the_output_is_cut_into_blocks(lines: list[bytes], block: int) -> None:
    output = b"".join(lines)
    excerpt, at_once = OutputExcerpt(8, [MATCH]), OutputExcerpt(8, [MATCH])
    for at in range(0, len(output), block):
        excerpt.add(output[at : at + block])
    at_once.add(output)
    assert excerpt.text() == at_once.text()
    if len(output) <= 16:
        assert excerpt.text() == output.decode().replace("\r\n", "\n").replace("\r", "\n")
    assert excerpt.text().count("match 1") + excerpt.text().count("match 2") <= 5 + 2


def test_an_endless_line_and_any_number_of_lines_take_bounded_memory() -> None:
    excerpt = OutputExcerpt(100, [MATCH])
    for number in range(1000):
        excerpt.add(b"match %d\n" % number)
    for _ in range(1000):
        excerpt.add(b"match 1" * 1000)
    text = excerpt.text()
    assert [line for line in text.split("\n") if MATCH.fullmatch(line.encode())][:5] == [f"match {n}" for n in range(5)]
    assert len(text) < 1000
    assert sum(len(kept) for kept in (excerpt._head, excerpt._tail, excerpt._line)) <= 100 + 100 + 4096
