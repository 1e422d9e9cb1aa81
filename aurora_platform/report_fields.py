"""How the fields of a report are shown: annotations on its fields and properties, for whatever shows the report.

A report is a plain dataclass. ``Annotated[int, Show()]`` makes a field part of what people see: the Dagster UI shows
such fields as metadata, the values that matter most first.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, get_type_hints


@dataclass(frozen=True)
class Show:
    """How one field is shown."""

    name: str = ""
    """Its name; the field's where empty."""
    unit: Literal["", "bytes", "bytes/s"] = ""
    """``bytes``: also in a form for people (1.3 GB); ``bytes/s``: only in that form."""
    rank: int = 9
    """The lowest comes first; values of one rank come in the order of the class."""
    rare: bool = False
    """Left out where it is zero: a count that is hardly ever anything else."""


SHOWN, BYTES, RARE = Show(), Show(unit="bytes"), Show(rare=True)


def shown_fields(report: object) -> Iterator[tuple[str, Show, Any]]:
    """Name, annotation and value of every shown field, then of every shown property, by rank."""
    kind: Any = type(report)
    for attribute, show in _shown(kind):
        yield show.name or attribute, show, getattr(report, attribute)


@cache
def _shown(kind: Any) -> list[tuple[str, Show]]:
    hints: dict[str, Any] = get_type_hints(kind, include_extras=True)
    for name, value in vars(kind).items():
        if isinstance(value, property) and value.fget is not None:
            hints[name] = get_type_hints(value.fget, include_extras=True).get("return")
    found = [(name, show) for name, hint in hints.items() if (show := _annotation(hint))]
    return sorted(found, key=lambda pair: pair[1].rank)


def _annotation(hint: object) -> Show | None:
    return next((one for one in getattr(hint, "__metadata__", ()) if isinstance(one, Show)), None)
