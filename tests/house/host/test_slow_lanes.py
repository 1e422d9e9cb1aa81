"""The record of the slow lanes has only full green runs of a clean commit."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "lanes.py"
GREEN, RED = [sys.executable, "-c", ""], [sys.executable, "-c", "raise SystemExit(3)"]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A repository with one commit and a file to change."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "README.md").write_text("unchanged\n")
    own = ["-c", "user.name=tests", "-c", "user.email=tests@example.org"]
    for command in (["init", "-q"], ["add", "-A"], [*own, "commit", "-qm", "first"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return tmp_path


def lanes(clone: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    env = {"PATH": os.environ["PATH"], **environment}
    command = [sys.executable, SCRIPT, *arguments]
    process = subprocess.run(command, cwd=clone, env=env, capture_output=True, text=True, check=False)
    assert process.stderr == ""
    return process.returncode, process.stdout


def head(clone: Path) -> str:
    return subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=clone, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_a_green_run_of_each_lane_is_recorded_with_its_commit_and_shown(clone: Path) -> None:
    assert lanes(clone, "show")[1].count("no green run is recorded") == 2
    for lane in ("kill", "soak"):  # the record of the first lane does not count as a change
        code, output = lanes(clone, "run", lane, "--", *GREEN)
        assert (code, f"lane {lane}: green in " in output) == (0, True)
    record = json.loads((clone / "docs/lanes.json").read_text())
    assert {lane: (run["commit"], run["form"]) for lane, run in record.items()} == {
        "kill": (head(clone), "full"),
        "soak": (head(clone), "full"),
    }
    assert all(run["seconds"] >= 0 and run["date"].endswith("Z") for run in record.values())
    assert lanes(clone, "show")[1].count(f"at {head(clone)[:12]}, 0 commits ago") == 2


def test_a_red_run_fails_and_keeps_the_record(clone: Path) -> None:
    lanes(clone, "run", "kill", "--", *GREEN)
    before = (clone / "docs/lanes.json").read_text()
    assert lanes(clone, "run", "kill", "--", *RED)[0] == 3
    assert (clone / "docs/lanes.json").read_text() == before


@pytest.mark.parametrize("change", ["changed", "new", "part", "while it runs", "no clone"])
def test_a_run_that_does_not_represent_a_commit_is_not_recorded_and_the_reason_is_printed(
    clone: Path, change: str
) -> None:
    command, reason, shorter = GREEN, "the working tree has changes (docs/README.md)", {}
    if change == "changed":
        (clone / "docs/README.md").write_text("changed\n")
    elif change == "new":
        (clone / "new").touch()
        reason = "the working tree has changes (new)"
    elif change == "part":
        shorter = {"SOAK_HOURS": "8", "KILLS": "8", "PYTEST_ADDOPTS": "-k killed"}
        reason = "it is only a part of the lane (KILLS, PYTEST_ADDOPTS, SOAK_HOURS)"
    elif change == "while it runs":
        command = [sys.executable, "-c", "open('docs/README.md', 'w').write('changed')"]
    else:
        (clone / ".git").rename(clone / "git")
        reason = "this is not a git clone with a commit"
    code, output = lanes(clone, "run", "soak", "--", *command, **shorter)
    assert code == 0
    assert reason in output
    assert not (clone / "docs/lanes.json").exists()
