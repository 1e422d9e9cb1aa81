"""Every call of these steps that changes, reads or locks a file fails once, in each way in which a disk fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.sweep import let_each_call_fail


@pytest.mark.parametrize("step", ["verify"])
def test_each_call_of_a_step_may_fail(step: str, tmp_path: Path) -> None:
    let_each_call_fail(tmp_path, step)
