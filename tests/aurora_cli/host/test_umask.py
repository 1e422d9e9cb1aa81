"""What the program writes is not readable for every account of the machine, unless the site file says so."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.steps import make_site

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("key", "theirs"),
    [
        (
            "",
            0o022,
        ),
        ('umask: "022"\n', 0o022),
        ("", 0o077),
    ],
)
def test_new_files_have_the_rights_of_the_site_file_and_never_more_than_the_shell_allows(
    tmp_path: Path, key: str, theirs: int
) -> None:
    home = tmp_path / "site"
    make_site(home)
    (home / "site.yaml").write_text((home / "site.yaml").read_text() + key)
    arguments = ("--site", str(home / "site.yaml"), "sync", "met", "--day", "2026-08-18")
    command = [sys.executable, "-m", "aurora_cli.main", *arguments]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, umask=theirs)
    expected = theirs | (0o022 if key else 0o027)
    for name in ("raw", "state"):
        for directory, _, files in os.walk(home / name):
            for path in (Path(directory, file) for file in files):
                assert stat.S_IMODE(path.stat().st_mode) & expected == 0, path
                assert key == "" or name != "raw" or path.stat().st_mode & stat.S_IROTH, path
