"""Subjects at a small size, in this process: each runs, and its own check refuses who did nothing, or undid it."""

import sqlite3
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from benchmarks import inputs
from benchmarks.__main__ import SUBJECTS
from benchmarks.measure import Measured, Method, WrongAnswerError, run_once
from benchmarks.reading import ALL
from benchmarks.subject import Bench

HOURLY = timedelta(hours=1)
HALF_HOURLY = timedelta(minutes=30)
SMALL: dict[str, dict[str, Any]] = {
    "daily_video": {"EVERY": HALF_HOURLY, "FRAMES": 48},
    "latest_video": {"EVERY": HALF_HOURLY, "FRAMES": 48},
    "pixels": {"EVERY": HOURLY},
    "reading": {"EVERY": HOURLY, "WHAT": {"a column": (slice(2, 9), ALL, slice(7, 8))}},
    "thumbnails": {"EVERY": HALF_HOURLY},
    "first_index": {"FILES": 700},
    "refresh": {"FILES": 700, "SIZES": (600, 700, 800)},
    "verification": {"FILES": 40, "BYTES": 1000},
    "hashing": {"LARGE_FILES": 2, "SMALL_FILES": 30},
    "listing": {"FILES": 300},
}
LEAVE_NOTHING = {"read", "limit", "_by_session"}
"""Methods that give their answer and nothing else; what is done before them is not undoing."""
SCALES = {"thumbnails": 0.2}
"""Thumbnails have a size of their own, than which a picture must not be smaller."""


@pytest.fixture(params=SMALL)
def subject(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = import_module(f"benchmarks.{request.param}")
    for name, value in SMALL[request.param].items():
        monkeypatch.setattr(module, name, value)
    if hasattr(module, "camera_day"):
        small = partial(inputs.camera_day, scale=SCALES.get(request.param, 0.1))
        monkeypatch.setattr(module, "camera_day", small)
    return module


def test_no_subject_is_left_out() -> None:
    # The tick proves itself with files that are missing, before it is measured; the platform checks what it has loaded
    # and run, of a real Dagster.
    assert SMALL.keys() | {"tick", "platform"} == set(SUBJECTS)


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

    monkeypatch.setattr(subject, "by_turns", in_this_process)
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
