"""The state of the alerts: ``state.json``, replaced whole, and ``alerts.jsonl``, one line per event.

A program may read both. Fields may be added; none is removed or changes its meaning without a new ``schema_version``.
Times are ISO 8601, UTC. Texts from hosts, runs and files are stored in a form that is safe to show.
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

from aurora_platform.fs.atomic import append_lines, flush, publish_file
from aurora_platform.fs.staging import Staging
from aurora_platform.health.alert_rules import Verdict
from aurora_platform.layout import ALERT_EVENTS, ALERT_STATE, STAGING

_BOOT = Path("/proc/sys/kernel/random/boot_id")


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)


class Alert(_Record):
    """A condition that is bad: pending until it has been bad for long enough, then ongoing."""

    key: str
    sentence: str
    details: str = ""
    verdict: Verdict = Verdict.BAD
    """At the last evaluation: bad, or open where it was unknown."""
    first_seen: AwareDatetime
    held_s: float = 0.0
    """How long it has been bad, without the time in which it was unknown."""
    began_at: AwareDatetime | None = None
    """When it had been bad for long enough; null while it is pending."""
    mailed_at: AwareDatetime | None = None
    """When the last mail that names it was sent."""
    since_mail_s: float = 0.0
    reported_at: AwareDatetime | None = None
    """When it was reported before a snapshot had it; an earlier snapshot without it does not end it."""


class Event(_Record):
    """An event to mail."""

    kind: Literal["begins", "lasts", "recovered", "notice"]
    """A notice is about something that was done, and mailed once."""
    key: str
    sentence: str
    details: str = ""
    at: AwareDatetime
    since: AwareDatetime


class Outgoing(_Record):
    """A mail being sent. The same record makes the same mail, so that a duplicate can be recognized."""

    message_id: str
    made_at: AwareDatetime
    events: tuple[Event, ...]
    also: tuple[Event, ...] = ()
    """Other ongoing alerts, for information."""


class State(_Record):
    """``state.json``."""

    schema_version: Literal[1] = 1
    evaluated_at: AwareDatetime | None = None
    boot: str | None = None
    uptime_s: float | None = None
    """The uptime and the boot it belongs to: they distinguish a jump of the clock from a pause."""
    calm_s: float = 0.0
    """After a jump of the clock: for how long ages neither begin nor end an alert."""
    snapshot_at: AwareDatetime | None = None
    """``generated_at_utc`` of the last snapshot, and when that snapshot was first read."""
    snapshot_seen_at: AwareDatetime | None = None
    alerts: dict[str, Alert] = Field(default_factory=dict)
    noticed: dict[str, AwareDatetime] = Field(default_factory=dict)
    """Notice -> the time of what it was about last."""
    unsent: tuple[Event, ...] = ()
    """Events that wait for the next mail."""
    sending: Outgoing | None = None
    """A mail that may have left: recorded before it is sent, removed after. It is sent again, unchanged."""
    last_error: str | None = None
    """Why the last mail could not be sent."""
    last_sent_at: AwareDatetime | None = None
    last_message_id: str | None = None
    last_transport: str | None = None

    @property
    def waiting(self) -> tuple[Event, ...]:
        """All events that are not certainly mailed."""
        return (*(self.sending.events if self.sending else ()), *self.unsent)


@dataclass(frozen=True)
class Moment:
    """The present time: by the clock, and by the uptime of the boot where the system gives it."""

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


def measure_elapsed(state: State, moment: Moment) -> tuple[float, float]:
    """Return the time since the last evaluation, and the jump of the clock in it; both in s."""
    if state.evaluated_at is None:
        return 0.0, 0.0
    by_clock = (moment.now - state.evaluated_at).total_seconds()
    if moment.boot is None or moment.boot != state.boot or moment.uptime_s is None or state.uptime_s is None:
        # A step back is certainly a jump, at least that large; a step forward may be a pause.
        return max(0.0, by_clock), min(0.0, by_clock)
    real = max(0.0, moment.uptime_s - state.uptime_s)
    return real, by_clock - real


class AlertStore:
    """The directory of the alerts. A writer holds the lock ``alerts``."""

    def __init__(self, directory: Path, locks: Path, wait: timedelta) -> None:
        self.directory = directory
        self.state_file = directory / ALERT_STATE
        self._staging = Staging(directory / STAGING, locks, wait)

    def load(self, now: datetime) -> tuple[State, Path | None]:
        """Return the state. An unreadable file is moved aside, and its new path is returned too."""
        state = self.read()
        if state is not None:
            return state, None
        moved_to = self.state_file.with_name(f"{ALERT_STATE}.unreadable-{now:%Y%m%dT%H%M%SZ}")
        self.state_file.replace(moved_to)
        flush(self.directory)
        return State(), moved_to

    def read(self) -> State | None:
        """Return the state; None if the file is not readable as one."""
        try:
            return State.model_validate_json(self.state_file.read_bytes())
        except FileNotFoundError:
            return State()
        except ValueError:
            return None

    def save(self, state: State) -> None:
        with self._staging.claim("alerts.state") as staged:
            staged.write_text(state.model_dump_json(indent=2) + "\n")
            publish_file(staged, self.state_file)

    def log(self, *lines: Mapping[str, Any]) -> None:
        """Append lines to ``alerts.jsonl``."""
        if lines:
            append_lines(self.directory / ALERT_EVENTS, [json.dumps(line) for line in lines])
