"""Every call of every step that changes, reads or locks a file fails once, in each way in which a disk fails."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.faults.steps import STEPS
from tests.faults.sweep import Sweep

SEED = 18
MOST = int(os.environ.get("SOAK_CALLS", "100000"))
"""Calls per step; `make soak-short` tries fewer."""


@pytest.mark.parametrize("step", STEPS)
def test_each_call_of_a_step_may_fail(step: str, tmp_path: Path) -> None:
    with Sweep(tmp_path) as sweep:
        faults = [fault for fault in sweep.kinds() if fault.step == step]
        random.Random(SEED).shuffle(faults)
        outcomes = [sweep.strike(fault) for fault in faults[:MOST]]
    assert [f"{outcome.fault}: {outcome.wrong}" for outcome in outcomes if outcome.wrong] == []
    assert sum(outcome.has_struck for outcome in outcomes) >= len(outcomes) * 0.9 > 0
