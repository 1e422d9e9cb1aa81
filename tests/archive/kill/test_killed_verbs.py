"""Push, verify, publish, accept, repair and retire, killed at random moments while a reader loops.

After each kill, and for the reader at any time: every byte that was ever finalized can be read, here or in the archive,
and every finalization that says complete is true.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.archive.killing import WORK, kill_repeatedly, revise_while_both_work
from tests.forking import KILLS


@pytest.mark.parametrize("verb", WORK)
def test_a_killed_verb_loses_nothing_and_says_nothing_false(tmp_path: Path, verb: str) -> None:
    station = kill_repeatedly(tmp_path, verb, KILLS, seed=17)
    if verb == "repair":
        restored = {place.name: place.read_bytes() for place in station.local.rglob("*.csv")}
        assert restored == {place.name: place.read_bytes() for place in station.archived.rglob("*.csv")}


def test_a_push_and_a_verification_that_run_at_the_same_time_and_are_killed_lose_nothing(tmp_path: Path) -> None:
    station = revise_while_both_work(tmp_path, KILLS, seed=18)
    kept = list((station.home / "far/raw.versions").rglob("*.csv"))
    assert kept, "some of the changed files had been finalized"
