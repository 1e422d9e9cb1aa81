"""A directory gets its name without an exchange in one step: whatever fails or is killed, a whole version is there."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from aurora_platform.fs import trees
from aurora_platform.fs.staging import Staging
from aurora_platform.fs.trees import publish_tree

OLD, NEW = {f"{n}": b"old" for n in range(5)}, {f"{n}": b"new" for n in range(6)}


class KilledError(BaseException):
    """Stands for SIGKILL: nothing of ours runs after it."""


def fill(directory: Path, files: dict[str, bytes]) -> None:
    directory.mkdir(parents=True)
    for name, content in files.items():
        (directory / name).write_bytes(content)


def read(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()} if directory.is_dir() else {}


@pytest.fixture(params=["one disk", "two disks"])
def disks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Without an exchange; with two disks, no rename between the staging directory and the products."""
    monkeypatch.setattr(trees, "exchange", lambda one, other: False)
    real = Path.rename

    def rename(self: Path, target: Path) -> Path:
        if request.param == "two disks" and (self.parent.name == ".staging") != (
            Path(target).parent.name == ".staging"
        ):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), str(self), None, str(target))
        return real(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    return str(request.param)


def failing_at(number: int, error: BaseException, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Let the call of this number fail that renames, copies or removes; how many there were."""
    calls = [0]

    def counted(real: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **options: object) -> object:
            calls[0] += 1
            if calls[0] == number or (isinstance(error, KilledError) and calls[0] > number):
                raise error
            return real(*arguments, **options)

        return call

    for owner, name in ((Path, "rename"), (trees.shutil, "copytree"), (trees, "remove"), (trees, "publish_file")):
        monkeypatch.setattr(owner, name, counted(getattr(owner, name)))
    return lambda: calls[0]


@pytest.mark.parametrize("error", [KilledError(), OSError(errno.EIO, os.strerror(errno.EIO))], ids=["killed", "EIO"])
def test_whatever_fails_at_any_step_a_whole_version_is_there_after_the_next_claim(
    tmp_path: Path, disks: str, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1, 40):
        home = tmp_path / str(number)
        staging, target = Staging(home / ".staging", home / "locks", timedelta(0)), home / "products" / "day"
        fill(target, OLD)
        fill(home / ".staging" / "day", NEW)
        with monkeypatch.context() as patched:
            calls = failing_at(number, error, patched)
            with suppress(KilledError, OSError):
                publish_tree(home / ".staging" / "day", target)
        if calls() < number:
            assert read(target) == NEW
            break
        if not isinstance(error, KilledError):
            assert read(target) in (OLD, NEW), f"at once, after the error of call {number}"
        staging.sweep()
        assert read(target) in (OLD, NEW), number
        assert sorted(path.name for path in (home / "products").iterdir()) == ["day"], number
        assert list((home / ".staging").iterdir()) == [], number
    else:
        pytest.fail("it never came to its end")
    assert number > 5
