"""A second name for a file without a second copy of its bytes, where the file system has hard links."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from aurora_platform.fs.atomic import flush
from aurora_platform.fs.disk_errors import NO_LINKS, naming


def hard_link(source: Path | str, target: Path | str) -> bool:
    """Hard-link a file, and not what a symlink points to; False where the file system cannot."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno in NO_LINKS:
            return False
        raise
    return True


def link_or_copy(source: Path | str, target: Path | str) -> None:
    """Hard-link a file; where that is impossible, make a copy with the same mtime that is on the disk at the end."""
    if hard_link(source, target):
        return
    with naming(target):
        shutil.copy2(source, target, follow_symlinks=False)
        flush(Path(target))


def link_or_copy_tree(source: Path, target: Path) -> None:
    """Make a tree of directories with a link to every file of another one, or a copy of it."""
    shutil.copytree(source, target, copy_function=link_or_copy)
