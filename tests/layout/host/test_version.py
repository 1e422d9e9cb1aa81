"""The layout version of a state directory: when it is written and migrated, and which versions are refused."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable
from pathlib import Path

import pytest

from aurora_platform.errors import AuroraError, LayoutError, NewerError
from aurora_platform.layout import VERSION, check_state, open_state, version
from aurora_platform.layout.paths import version_file
from tests.patience import patient


def of_version(state: Path, number: object) -> Path:
    state.mkdir(exist_ok=True)
    version_file(state).write_text(json.dumps({"layout": number}))
    return state


def test_a_new_directory_gets_the_version_of_this_aurora(tmp_path: Path) -> None:
    open_state(tmp_path / "state")
    assert json.loads((tmp_path / "state/layout.json").read_bytes()) == {"layout": VERSION}
    assert check_state(tmp_path / "state") == VERSION


def test_a_directory_of_aurora_0_1_has_version_0_and_keeps_its_files(tmp_path: Path) -> None:
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources/met.json").write_text("{}")
    assert check_state(tmp_path) == 0
    open_state(tmp_path)
    assert check_state(tmp_path) == VERSION
    assert (tmp_path / "sources/met.json").read_text() == "{}"
    assert {path.name for path in tmp_path.iterdir()} == {"layout.json", "locks", "sources"}
    assert not any((tmp_path / "locks").iterdir())


def test_a_check_of_the_version_writes_nothing(tmp_path: Path) -> None:
    assert check_state(tmp_path / "state") == 0
    assert not (tmp_path / "state").exists()


def test_a_current_version_is_not_written_again(tmp_path: Path) -> None:
    open_state(tmp_path)
    before = version_file(tmp_path).stat()
    open_state(tmp_path)
    assert version_file(tmp_path).stat() == before


@pytest.mark.parametrize("use", [check_state, open_state])
def test_a_newer_version_is_refused_with_both_versions_and_the_next_step_and_not_changed(
    tmp_path: Path, use: Callable[[Path], object]
) -> None:
    of_version(tmp_path, 7)
    message = rf"layout\.json: written by a newer Aurora: version 7; .* supports versions up to {VERSION}\..*Updating"
    with pytest.raises(NewerError, match=message) as caught:
        use(tmp_path)
    assert not caught.value.transient
    assert [path.name for path in tmp_path.iterdir()] == ["layout.json"]
    assert json.loads(version_file(tmp_path).read_bytes()) == {"layout": 7}


DAMAGED = [
    b"",
    b"{",
    b"\xff\xfe",
    b"[1]",
    b"{}",
    b"7",
    b'{"layout": "1"}',
    b'{"layout": true}',
    b'{"layout": -1}',
    b"null",
]


@pytest.mark.parametrize("use", [check_state, open_state])
@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_file_is_an_error_that_names_it_and_is_not_changed(
    tmp_path: Path, content: bytes, use: Callable[[Path], object]
) -> None:
    version_file(tmp_path).write_bytes(content)
    with pytest.raises(LayoutError, match=r"layout\.json: does not hold the version .* Restore it from a backup"):
        use(tmp_path)
    assert version_file(tmp_path).read_bytes() == content


def test_a_file_that_cannot_be_read_is_an_error_that_names_it(tmp_path: Path) -> None:
    version_file(tmp_path).mkdir()
    with pytest.raises(LayoutError, match=r"layout\.json: Is a directory"):
        check_state(tmp_path)


def _count(state: Path) -> None:
    with (state / "steps").open("a") as steps:
        steps.write("step\n")


def test_an_older_version_is_migrated_by_every_step_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[tuple[int, int]] = []
    steps = {number: (lambda state, number=number: done.append((number, check_state(state)))) for number in range(4)}
    monkeypatch.setattr(version, "VERSION", 4)
    monkeypatch.setattr(version, "STEPS", steps)
    open_state(of_version(tmp_path, 1))
    assert done == [(1, 1), (2, 2), (3, 3)], "each step reads the version that the previous step has written"
    assert check_state(tmp_path) == 4


def test_a_failed_step_is_repeated_and_earlier_steps_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(state: Path) -> None:
        raise AuroraError("no room")

    monkeypatch.setattr(version, "VERSION", 2)
    monkeypatch.setattr(version, "STEPS", {0: _count, 1: fails})
    with pytest.raises(AuroraError, match="no room"):
        open_state(tmp_path)
    assert check_state(tmp_path) == 1
    monkeypatch.setattr(version, "STEPS", {0: _count, 1: lambda state: None})
    open_state(tmp_path)
    assert check_state(tmp_path) == 2
    assert (tmp_path / "steps").read_text() == "step\n"


def _open(state: Path, barrier: object) -> None:
    version.STEPS = {0: _count}
    barrier.wait(patient(60))  # type: ignore[attr-defined]
    open_state(state)


def test_each_step_runs_once_if_several_processes_migrate_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(4)
    state = tmp_path / "state"
    writers = [context.Process(target=_open, args=[state, barrier]) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(patient(120))
    assert [writer.exitcode for writer in writers] == [0] * 4
    assert (state / "steps").read_text() == "step\n"
    assert check_state(state) == VERSION
