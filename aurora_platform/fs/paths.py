"""What may be a relative path: names that come from a host are hostile until they are read here."""

from __future__ import annotations

import re

MAX_PATH_BYTES = 1024  # of a relative path; far below PATH_MAX, so that any root fits in front of it
MAX_NAME_BYTES = 240  # of one component; leaves room for the suffix of a temporary name (NAME_MAX is 255)
# No part of such a path begins with a dot, and none is longer than the whole.
_PLAIN = re.compile(rb"[A-Za-z0-9_][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class UnsafePathError(ValueError):
    """A path that came from outside and may not be used; the message is the reason."""


def is_plain(raw: bytes) -> bool:
    """Whether a path from outside is of the kind that all but a few are: nothing in it needs a closer look."""
    return len(raw) <= MAX_NAME_BYTES and _PLAIN.fullmatch(raw) is not None


def safe_relative(raw: bytes) -> str:
    """Return a path that came from a host as text, or raise :class:`UnsafePathError`.

    Absolute paths, ``..``, empty parts, NUL and other control characters (they would break manifests, logs and
    terminals), bytes that are not UTF-8 and names too long for a temporary name beside them are refused.
    """
    try:
        path = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise UnsafePathError("name is not UTF-8") from None
    if _CONTROL.search(path):
        raise UnsafePathError("control character in the name")
    if path.startswith("/"):
        raise UnsafePathError("absolute path")
    parts = raw.split(b"/")
    if b".." in parts:
        raise UnsafePathError("'..' in the path")
    if b"" in parts or b"." in parts:
        raise UnsafePathError("empty or '.' part in the path")
    if len(raw) > MAX_PATH_BYTES or any(len(part) > MAX_NAME_BYTES for part in parts):
        raise UnsafePathError("name too long")
    return path
