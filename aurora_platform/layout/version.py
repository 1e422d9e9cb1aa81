"""The layout version of a state directory (``<state>/layout.json``), and the migration steps between versions.

A directory without the file was made by Aurora 0.1 and has version 0. Call :func:`open_state` before writing: it
migrates an older directory and refuses a newer one. Call :func:`check_state` before reading only.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path

from aurora_platform.errors import LayoutError, is_transient, newer_error
from aurora_platform.fs.atomic import publish_text
from aurora_platform.fs.disk_errors import describe_os_error, naming
from aurora_platform.fs.locks import hold_lock
from aurora_platform.layout.paths import locks_directory, version_file

VERSION = 1
_LOCK = "layout"
_WAIT = timedelta(minutes=10)  # for another process that migrates the directory

Step = Callable[[Path], None]
"""Migrates a state directory by one version. Its work may already be done or half done (an earlier attempt was killed),
or not be needed (the directory is new)."""


def _from_0_to_1(state: Path) -> None:
    """Version 1 has the paths of 0.1."""


STEPS: Mapping[int, Step] = {0: _from_0_to_1}
"""Version -> the step to the next."""


def check_state(state: Path) -> int:
    """Return the version of a state directory. Writes nothing; an older version is not an error.

    Raises
    ------
    NewerError
        If a newer Aurora has written the directory.
    LayoutError
        If the file cannot be read, or holds no version.
    """
    file = version_file(state)
    try:
        with naming(file):
            version = json.loads(file.read_bytes())["layout"]
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise LayoutError(describe_os_error(error), transient=is_transient(error)) from None
    except (ValueError, TypeError, KeyError, RecursionError):
        version = None
    if not isinstance(version, int) or isinstance(version, bool) or version < 0:
        raise LayoutError(
            f'{file}: does not hold the version of this directory, for example {{"layout": {VERSION}}}. Restore it '
            "from a backup; if no newer Aurora ever used the directory, delete the file: it is made again."
        )
    if version > VERSION:
        raise newer_error(file, version, VERSION)
    return version


def open_state(state: Path, wait: timedelta = _WAIT) -> None:
    """Migrate a state directory to this version, before anything is written to it.

    An older directory is migrated step by step. The version is written after each step, so a killed step is repeated.
    If several processes call this at once, one migrates and the others wait for up to ``wait``.

    Raises
    ------
    NewerError, LayoutError
        As :func:`check_state`. Nothing was written then.
    BusyError
        If another process is still migrating after ``wait``.
    """
    if check_state(state) == VERSION:
        return
    with hold_lock(locks_directory(state), _LOCK, wait):
        for version in range(check_state(state), VERSION):
            STEPS[version](state)
            _write(state, version + 1)


def _write(state: Path, version: int) -> None:
    publish_text(json.dumps({"layout": version}) + "\n", version_file(state))
