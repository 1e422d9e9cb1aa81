"""Subjects at a small size, in this process: each runs, and its check refuses a method without result."""

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
"""Methods that only return an answer; their ``before`` removes no files."""
REAL = {"tick", "start_up", "platform", "archive_at_scale"}
"""The tick checks itself with missing files before it is measured; others check the output of their processes."""


@pytest.fixture(params=sorted(set(SUBJECTS) - REAL))
def subject(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = import_module(f"benchmarks.{request.param}")
    for name, value in sizes_of(request.param, module).items():
        monkeypatch.setattr(module, name, value)
    return module


def test_every_subject_has_a_small_size() -> None:
    assert set(SUBJECTS) - {"tick"} <= SIZES.keys(), "the tick uses the sizes of the observatory"
    for name, values in SIZES.items():
        assert all(hasattr(import_module(f"benchmarks.{name}"), constant) for constant in values), name


Check = Callable[[Mapping[str, Any]], None]


@pytest.mark.filterwarnings("ignore:divide by zero")  # a small image may equal the one in use today
def test_a_subject_refuses_an_empty_answer_and_missing_files(
    subject: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = []

    def in_this_process(methods: Mapping[str, Method], check: Check, rounds: int, _: Any) -> dict[str, Measured]:
        runs = {name: [run_once(method) for _ in range(rounds + 1)] for name, method in methods.items()}
        answers = {name: name_runs[-1].answer for name, name_runs in runs.items()}
        check(answers)
        for name, answer in answers.items():
            with pytest.raises(WrongAnswerError):
                check(answers | {name: type(answer)()})
            refused.append(name)
        if check is not getattr(
            subject, "_check_counts", None
        ):  # it checks only answers; the files of this work were checked before
            _undo(methods, check, answers)
        return {name: Measured(tuple(name_runs[1:])) for name, name_runs in runs.items()}

    monkeypatch.setattr(subject, "alternately", in_this_process)
    result = subject.run(Bench(rounds=1, scratch=tmp_path))
    assert result.rows
    assert refused
    assert list(tmp_path.iterdir()) == [], "it removes its files"


def _undo(methods: Mapping[str, Method], check: Check, answers: Mapping[str, Any]) -> None:
    """Remove the files of each method, and expect an error."""
    for method in methods.values():
        if method.before is None or method.work.__name__ in LEAVE_NOTHING:
            continue
        method.before(*method.arguments)
        with pytest.raises((WrongAnswerError, OSError, sqlite3.Error)):
            check(answers)
        run_once(method)
        check(answers)
