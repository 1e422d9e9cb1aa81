"""What an audit finds: one line for each thing that was looked at."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How what was looked at stands, as a word; the colour says the same."""

    OK = "ok"
    WARN = "warn"
    FAIL = "FAIL"
    OFF = "off"

    @property
    def colour(self) -> str:
        return {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "red", Level.OFF: "bright_black"}[self]


@dataclass(frozen=True)
class AuditLine:
    """One thing that was looked at: how it stands, what was seen, and what to do where something is to do."""

    component: str
    level: Level
    what: str
    next_step: str = ""


def by_limits(value: float, warn: float, fail: float) -> Level:
    """The level of a number that is better when small: from ``warn`` on, and from ``fail`` on."""
    return Level.FAIL if value >= fail else Level.WARN if value >= warn else Level.OK
