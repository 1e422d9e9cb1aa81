"""The lines of an audit, and their levels."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """The level of an audit line, and its colour."""

    OK = "ok"
    WARN = "warn"
    FAIL = "FAIL"
    OFF = "off"

    @property
    def colour(self) -> str:
        return {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "red", Level.OFF: "bright_black"}[self]


@dataclass(frozen=True)
class AuditLine:
    """A line of the audit: the component, its level, what was found, and the next step if there is one."""

    component: str
    level: Level
    what: str
    next_step: str = ""


def level_by_limits(value: float, warn: float, fail: float) -> Level:
    """Return the level of a number: WARN from ``warn`` on, FAIL from ``fail`` on."""
    return Level.FAIL if value >= fail else Level.WARN if value >= warn else Level.OK
