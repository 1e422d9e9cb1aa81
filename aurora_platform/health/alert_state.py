"""What the alerts remember: ``state.json``, replaced whole, and ``alerts.jsonl``, one line an event.

A program may read both. New fields may come, none goes or changes its meaning without a new ``schema_version``. Times
are ISO 8601, UTC. Texts from outside stand here in a form that is safe to show.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from aurora_platform.fs.atomic import Staging, append_lines, flush, publish_file
from aurora_platform.health.alert_rules import Verdict
from aurora_platform.layout import ALERT_EVENTS, ALERT_STATE, STAGING

_BOOT = Path("/proc/sys/kernel/random/boot_id")


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)


class Alert(_Record):
    """Something that is bad: for a while only watched, then going on."""

    key: str
    sentence: str
    details: str = ""
    verdict: Verdict = Verdict.BAD
    """Of the last evaluation: bad, or open where it was not seen."""
    first_seen: AwareDatetime
    held_s: float = 0.0
    """For how long it has been bad, of the time in which somebody saw it."""
    began_at: AwareDatetime | None = None
    """When it had been bad for long enough; null while it is only watched."""
    mailed_at: AwareDatetime | None = None
    """When the last mail that names it left."""
    since_mail_s: float = 0.0
    reported_at: AwareDatetime | None = None
    """When somebody reported it before a snapshot had it; an earlier snapshot does not speak against that."""


class Event(_Record):
    """Something that goes into a mail."""

    kind: Literal["begins", "lasts", "recovered"]
    key: str
    sentence: str
    details: str = ""
    at: AwareDatetime
    since: AwareDatetime


class Outgoing(_Record):
    """A mail on its way. The same record makes the same mail, so that sent twice it is still one."""

    message_id: str
    made_at: AwareDatetime
    events: tuple[Event, ...]
    also: tuple[Event, ...] = ()
    """What goes on besides, for who reads it."""


class State(_Record):
    """``state.json``."""

    schema_version: Literal[1] = 1
    evaluated_at: AwareDatetime | None = None
    boot: str | None = None
    uptime_s: float | None = None
    """The clock that nobody sets, with the boot that it belongs to: it tells a jump of the clock from a pause."""
    calm_s: float = 0.0
    """After a jump of the clock, for so long ages begin and end nothing."""
    snapshot_at: AwareDatetime | None = None
    """``generated_at_utc`` of the last snapshot, and when it was first seen."""
    snapshot_seen_at: AwareDatetime | None = None
    alerts: dict[str, Alert] = Field(default_factory=dict)
    unsent: tuple[Event, ...] = ()
    """What waits for the next mail."""
    sending: Outgoing | None = None
    """A mail that may have left: said before it is sent, gone after. It is sent again, as it was."""
    last_error: str | None = None
    """Why the last mail did not leave."""
    last_sent_at: AwareDatetime | None = None
    last_message_id: str | None = None
    last_transport: str | None = None

    @property
    def waiting(self) -> tuple[Event, ...]:
        """All that no mail has carried away for certain."""
        return (*(self.sending.events if self.sending else ()), *self.unsent)


@dataclass(frozen=True)
class Moment:
    """Now, by the clock; and by the one that nobody sets, where that is known."""

    now: datetime
    boot: str | None = None
    uptime_s: float | None = None

    @classmethod
    def of_now(cls) -> Moment:
        try:
            boot = _BOOT.read_text().strip()
        except OSError:
            return cls(datetime.now(UTC))
        return cls(datetime.now(UTC), boot, time.clock_gettime(time.CLOCK_BOOTTIME))


def passed(state: State, moment: Moment) -> tuple[float, float]:
    """How many seconds have passed since the last evaluation, and by how many the clock was set meanwhile."""
    if state.evaluated_at is None:
        return 0.0, 0.0
    by_clock = (moment.now - state.evaluated_at).total_seconds()
    if moment.boot is None or moment.boot != state.boot or moment.uptime_s is None or state.uptime_s is None:
        # Backwards it was set, by as much at least; a step forward may be a pause as well.
        return max(0.0, by_clock), min(0.0, by_clock)
    real = max(0.0, moment.uptime_s - state.uptime_s)
    return real, by_clock - real


class Store:
    """The directory of the alerts. Whoever writes holds the lock ``alerts``."""

    def __init__(self, directory: Path, locks: Path, wait: timedelta) -> None:
        self.directory = directory
        self.state_file = directory / ALERT_STATE
        self._staging = Staging(directory / STAGING, locks, wait)

    def load(self, now: datetime) -> tuple[State, Path | None]:
        """The state; a file that is not one is moved aside, and its new name is returned."""
        state = self.read()
        if state is not None:
            return state, None
        aside = self.state_file.with_name(f"{ALERT_STATE}.unreadable-{now:%Y%m%dT%H%M%SZ}")
        self.state_file.replace(aside)
        flush(self.directory)
        return State(), aside

    def read(self) -> State | None:
        """The state; None where the file is not one."""
        try:
            return State.model_validate_json(self.state_file.read_bytes())
        except FileNotFoundError:
            return State()
        except ValueError:
            return None

    def save(self, state: State) -> None:
        with self._staging.claim("alerts.state") as place:
            place.write_text(state.model_dump_json(indent=2) + "\n")
            publish_file(place, self.state_file)

    def log(self, *lines: Mapping[str, Any]) -> None:
        """Add to ``alerts.jsonl``."""
        if lines:
            append_lines(self.directory / ALERT_EVENTS, [json.dumps(line) for line in lines])
