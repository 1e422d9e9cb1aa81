"""Subjects at a small size, in this process: each runs, and its own check refuses who did nothing, or undid it."""

import sqlite3
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from benchmarks.__main__ import SUBJECTS
from benchmarks.measure import Measured, Method, WrongAnswerError, run_once
from benchmarks.short import SIZES, sizes_of
from benchmarks.subject import Bench

LEAVE_NOTHING = {"read", "limit", "_by_session"}
"""Methods that give their answer and nothing else; what is done before them is not undoing."""
REAL = {"tick", "start_up", "platform"}
"""The tick proves itself with files that are missing, before it is measured; the others check what was loaded, said and
run by processes of their own."""


@pytest.fixture(params=sorted(set(SUBJECTS) - REAL))
def subject(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = import_module(f"benchmarks.{request.param}")
    for name, value in sizes_of(request.param, module).items():
        monkeypatch.setattr(module, name, value)
    return module


def test_every_subject_has_a_small_size() -> None:
    assert set(SUBJECTS) - {"tick"} <= SIZES.keys(), "the tick stands on the observatory"
    for name, values in SIZES.items():
        assert all(hasattr(import_module(f"benchmarks.{name}"), constant) for constant in values), name


Check = Callable[[Mapping[str, Any]], None]


@pytest.mark.filterwarnings("ignore:divide by zero")  # a small picture may be the very same as the one in use today
def test_a_subject_refuses_who_did_nothing_and_misses_what_is_not_left_on_disk(
    subject: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = []

    def in_this_process(methods: Mapping[str, Method], check: Check, rounds: int, _: Any) -> dict[str, Measured]:
        runs = {name: [run_once(method) for _ in range(rounds + 1)] for name, method in methods.items()}
        answers = {name: found[-1].answer for name, found in runs.items()}
        check(answers)
        for name, answer in answers.items():
            with pytest.raises(WrongAnswerError):
                check(answers | {name: type(answer)()})
            refused.append(name)
        if check is not getattr(subject, "_check_counts", None):  # by answers alone; the same work is looked at before
            _undo(methods, check, answers)
        return {name: Measured(tuple(found[1:])) for name, found in runs.items()}

    monkeypatch.setattr(subject, "alternately", in_this_process)
    result = subject.run(Bench(rounds=1, scratch=tmp_path))
    assert result.rows
    assert refused
    assert list(tmp_path.iterdir()) == [], "it tidies up"


def _undo(methods: Mapping[str, Method], check: Check, answers: Mapping[str, Any]) -> None:
    """Take away what each has left, and see it missed."""
    for method in methods.values():
        if method.before is None or method.work.__name__ in LEAVE_NOTHING:
            continue
        method.before(*method.arguments)
        with pytest.raises((WrongAnswerError, OSError, sqlite3.Error)):
            check(answers)
        run_once(method)
        check(answers)
