"""A call that fails once, anywhere: one line says where and what to do, nothing is half, and the next run is right."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from tests.faults.sweep import Fault, Sweep

SEED, CALLS = 18, 60


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sweep]:
    with Sweep(tmp_path_factory.mktemp("sweep")) as sweep:
        yield sweep


def sample(faults: list[Fault]) -> list[Fault]:
    return random.Random(SEED).sample(faults, CALLS)


def test_a_disk_that_fails_at_one_call_is_named_and_the_next_run_needs_no_hand(sweep: Sweep) -> None:
    outcomes = [sweep.strike(fault) for fault in sample(sweep.kinds())]
    assert [f"{outcome.fault}: {outcome.wrong}" for outcome in outcomes if outcome.wrong] == []
    # A call that a run makes only sometimes may not come again.
    assert sum(outcome.has_struck for outcome in outcomes) >= CALLS * 0.9
    assert sum(bool(outcome.error) for outcome in outcomes) >= CALLS * 0.5
