"""Code for a process of a test in which packages are not installed, though they are."""

from collections.abc import Collection

_HIDING = """
import importlib.machinery
_found = importlib.machinery.PathFinder.find_spec
_hidden = frozenset({hidden!r})
def _find_spec(name, path=None, target=None):
    return None if name.partition(".")[0] in _hidden else _found(name, path, target)
importlib.machinery.PathFinder.find_spec = _find_spec
"""


def hiding(modules: Collection[str]) -> str:
    """Code that makes these top-level modules unknown to the process that runs it first."""
    return _HIDING.format(hidden=sorted(modules))
