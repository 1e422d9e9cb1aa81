"""Every call of a push that changes, reads or locks a file fails once, in each way in which a disk fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.sweep import let_each_call_fail

PARTS = 3


@pytest.mark.parametrize("part", range(PARTS))
def test_each_call_of_a_push_may_fail(part: int, tmp_path: Path) -> None:
    let_each_call_fail(tmp_path, "push", part, PARTS)
