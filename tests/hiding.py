"""Generates code that hides installed packages from the process of a test."""

from collections.abc import Collection

_HIDING = """
import importlib.machinery
_original = importlib.machinery.PathFinder.find_spec
_hidden = frozenset({hidden!r})
def _find_spec(name, path=None, target=None):
    return None if name.partition(".")[0] in _hidden else _original(name, path, target)
importlib.machinery.PathFinder.find_spec = _find_spec
"""


def hiding(modules: Collection[str]) -> str:
    """Return code that makes these top-level modules look not installed; the process must run it first."""
    return _HIDING.format(hidden=sorted(modules))
