"""A sample of the kill lane: two verbs, each killed twice, with a seed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.archive.killing import kill_repeatedly


@pytest.mark.parametrize("verb", ["push", "repair"])
def test_a_verb_that_is_killed_twice_loses_nothing_and_says_nothing_false(tmp_path: Path, verb: str) -> None:
    kill_repeatedly(tmp_path, verb, kills=2, seed=23)
