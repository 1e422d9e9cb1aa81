"""When a slow lane was last green: a green whole run of a clean commit is recorded, and nothing else."""

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
    """A repository with a commit, in which a file may be changed."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "README.md").write_text("as it was\n")
    own = ["-c", "user.name=tests", "-c", "user.email=tests@example.org"]
    for command in (["init", "-q"], ["add", "-A"], [*own, "commit", "-qm", "first"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return tmp_path


def lanes(clone: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    env = {"PATH": os.environ["PATH"], **environment}
    command = [sys.executable, SCRIPT, *arguments]
    done = subprocess.run(command, cwd=clone, env=env, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.returncode, done.stdout


def head(clone: Path) -> str:
    return subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=clone, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_a_green_run_of_each_lane_is_recorded_with_its_commit_and_shown(clone: Path) -> None:
    assert lanes(clone, "show")[1].count("no green run is recorded") == 2
    for lane in ("kill", "soak"):  # the record of the first is no change of the tree
        code, said = lanes(clone, "run", lane, "--", *GREEN)
        assert (code, f"lane {lane}: green in " in said) == (0, True)
    found = json.loads((clone / "docs/lanes.json").read_text())
    assert {lane: (one["commit"], one["form"]) for lane, one in found.items()} == {
        "kill": (head(clone), "full"),
        "soak": (head(clone), "full"),
    }
    assert all(one["seconds"] >= 0 and one["date"].endswith("Z") for one in found.values())
    shown = lanes(clone, "show")[1]
    assert shown.count(f"at {head(clone)[:12]}, 0 commits ago") == 2


def test_a_red_run_is_red_and_takes_no_record_away(clone: Path) -> None:
    lanes(clone, "run", "kill", "--", *GREEN)
    before = (clone / "docs/lanes.json").read_text()
    assert lanes(clone, "run", "kill", "--", *RED)[0] == 3
    assert (clone / "docs/lanes.json").read_text() == before


@pytest.mark.parametrize("change", ["changed", "new", "part", "while it runs", "no clone"])
def test_nothing_is_recorded_where_it_would_tell_nothing_of_a_commit_and_the_reason_is_said(
    clone: Path, change: str
) -> None:
    command, reason, shorter = GREEN, "the working tree has changes (docs/README.md)", {}
    if change == "changed":
        (clone / "docs/README.md").write_text("otherwise\n")
    elif change == "new":
        (clone / "new").touch()
        reason = "the working tree has changes (new)"
    elif change == "part":
        shorter = {"SOAK_HOURS": "8", "KILLS": "8", "PYTEST_ADDOPTS": "-k killed"}
        reason = "it is a part of the lane (KILLS, PYTEST_ADDOPTS, SOAK_HOURS)"
    elif change == "while it runs":
        command = [sys.executable, "-c", "open('docs/README.md', 'w').write('otherwise')"]
    else:
        (clone / ".git").rename(clone / "git")
        reason = "this is no clone with a commit"
    code, said = lanes(clone, "run", "soak", "--", *command, **shorter)
    assert code == 0
    assert reason in said
    assert not (clone / "docs/lanes.json").exists()
