"""Validates relative paths from a host: no such path is trusted before it has passed these checks."""

from __future__ import annotations

import re

MAX_PATH_BYTES = 1024  # of a relative path; far below PATH_MAX, so that any root fits in front of it
MAX_NAME_BYTES = 240  # of one component; leaves room for the suffix of a temporary name (NAME_MAX is 255)
# In such a path no component begins with a dot, and the limit for the whole path also bounds every component.
_PLAIN = re.compile(rb"[A-Za-z0-9_][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class UnsafePathError(ValueError):
    """A path from outside must not be used; the message is the reason."""


def is_plain(raw: bytes) -> bool:
    """Whether a path from outside has only harmless characters, as almost all have; it needs no further check."""
    return len(raw) <= MAX_NAME_BYTES and _PLAIN.fullmatch(raw) is not None


def safe_relative(raw: bytes) -> str:
    """Return a path from a host as text, or raise :class:`UnsafePathError`.

    Refused are absolute paths, ``..``, empty parts, NUL and other control characters (they would break manifests, logs
    and terminals), bytes that are not UTF-8, and names that leave no room for the suffix of a temporary name.
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
