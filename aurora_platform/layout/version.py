"""Which version of this layout a state directory has: ``<state>/layout.json``, and the steps from one to the next.

A directory without the file was made by 0.1, and has version 0. Whoever is about to write calls :func:`open_state`
first: it brings an older directory forward and refuses a newer one. Who only reads calls :func:`check_state`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path

from aurora_platform.errors import LayoutError, newer_error
from aurora_platform.fs.atomic import publish_file
from aurora_platform.fs.locks import hold_lock
from aurora_platform.layout.paths import locks_directory, version_file

VERSION = 1
_LOCK = "layout"
_WAIT = timedelta(minutes=10)  # for another writer that brings the directory forward

Step = Callable[[Path], None]
"""Brings a state directory forward by one version. It may find its work done, in part or not needed: it was killed, or
the directory is new."""


def _from_0_to_1(state: Path) -> None:
    """Version 1 has the paths of 0.1."""


STEPS: Mapping[int, Step] = {0: _from_0_to_1}
"""Version -> the step to the next."""


def check_state(state: Path) -> int:
    """The version of a state directory. Writes nothing; an older one is no error.

    Raises
    ------
    NewerError
        Where a newer Aurora has written there.
    LayoutError
        Where the file cannot be read, or does not say a version.
    """
    file = version_file(state)
    try:
        found = json.loads(file.read_bytes())["layout"]
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise LayoutError(f"{file}: {error.strerror}. Let the user that runs Aurora read it.") from None
    except (ValueError, TypeError, KeyError, RecursionError):
        found = None
    if not isinstance(found, int) or isinstance(found, bool) or found < 0:
        raise LayoutError(
            f'{file}: does not say which version this directory has, as {{"layout": {VERSION}}}. Restore it from a '
            "backup; if no Aurora newer than this one ever ran here, delete it: it is made again."
        )
    if found > VERSION:
        raise newer_error(file, found, VERSION)
    return found


def open_state(state: Path, wait: timedelta = _WAIT) -> None:
    """Make sure that a state directory has this version, before anything is written there.

    An older one is brought forward step by step. Each step is written down when it is done: one that was killed is done
    again. Of several that come at once, one does it and the others wait for up to ``wait``.

    Raises
    ------
    NewerError, LayoutError
        As :func:`check_state`. Nothing was written then.
    BusyError
        Where somebody else is still at it.
    """
    if check_state(state) == VERSION:
        return
    with hold_lock(locks_directory(state), _LOCK, wait):
        for version in range(check_state(state), VERSION):
            STEPS[version](state)
            _write(state, version + 1)


def _write(state: Path, version: int) -> None:
    file = version_file(state)
    staged = file.with_name(f".{file.name}.new")  # one name: its writer holds the lock
    staged.write_text(json.dumps({"layout": version}) + "\n")
    publish_file(staged, file)
