"""Alerts: a mail when something begins to be wrong, again while it lasts, and one when it is over.

One evaluation sends one mail at most. ``state.json`` says what a mail is about before it is sent, and that it has left
after: a mail that a killed run may have sent goes out again with the same Message-ID and the same words, so none is
lost and who has it already can tell. What a relay did not take waits for the next evaluation.

How long something has been bad is counted from evaluation to evaluation, by the clock that nobody sets where the boot
is the same. Set back or ahead, the clock of the machine neither begins nor repeats an alert by itself.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aurora_platform.config.health import Alerts
from aurora_platform.config.site import Site
from aurora_platform.errors import MailError
from aurora_platform.fs.locks import hold_lock
from aurora_platform.health.alert_mail import compose
from aurora_platform.health.alert_rules import Condition, Reading, Verdict, conditions_of, of_failed_run
from aurora_platform.health.alert_state import Alert, Event, Moment, Outgoing, State, Store, passed
from aurora_platform.health.models import Run
from aurora_platform.layout import Layout
from aurora_platform.transport.protocols import MailTransport

_JUMP = 60.0  # s; less is a clock that is kept right
# After a jump what was stamped before it has a wrong age, until it is written again.
_CALM_AFTER_JUMP = 1800.0
_ORDER = ("begins", "lasts", "recovered")
_LOCK_SLACK = timedelta(seconds=30)


@dataclass(frozen=True)
class Outcome:
    """What an evaluation found and did."""

    state: State
    events: tuple[Event, ...]
    """What began, lasts for another while, or is over."""
    sent: Outgoing | None = None
    transport: str | None = None
    error: str | None = None
    """Why the mail did not leave; it waits."""
    note: str | None = None
    """Where an unreadable state was put."""

    @property
    def going_on(self) -> tuple[Alert, ...]:
        return tuple(alert for alert in self.state.alerts.values() if alert.began_at is not None)


class Alerting:
    """The alerts of one site. Any number of programs may evaluate; they take turns."""

    def __init__(
        self, site: str, settings: Alerts, directory: Path, locks: Path, lock_slack: timedelta = _LOCK_SLACK
    ) -> None:
        self.site = site
        self.settings = settings
        self.locks = locks
        self._wait = settings.within + lock_slack
        self._store = Store(directory, locks, self._wait)

    @classmethod
    def of(cls, site: Site, settings: Alerts) -> Alerting:
        """Those of a site whose file has the key ``alerts``."""
        return cls(site.name, settings, Layout.of(site).health.alerts, Layout.of(site).locks)

    def evaluate(
        self, reading: Reading, sender: MailTransport, *, failed: Sequence[Run] = (), at: Moment | None = None
    ) -> Outcome:
        """Find what has changed, and send one mail about it.

        Parameters
        ----------
        reading
            ``latest.json``, by :func:`aurora_platform.health.alert_rules.read_snapshot`.
        sender
            The way out. That it fails is no error: the outcome says so, and the mail waits.
        failed
            Runs that have just failed, which a snapshot may not have yet.
        at
            Now; a test may say otherwise.
        """
        with hold_lock(self.locks, "alerts", self._wait):
            moment = at or Moment.of_now()
            state, aside = self._store.load(moment.now)
            state, events = step(state, reading, self.settings, moment, failed)
            moved = [{"kind": "state_moved_aside", "at": _text(moment.now), "to": aside.name}] if aside else []
            self._store.log(*moved, *(event.model_dump(mode="json") for event in events))
            outcome = self._send(state, events, sender, moment.now)
        note = f"state.json was not readable and is now {aside}; all alerts begin anew" if aside else None
        return replace(outcome, note=note)

    def preview(self, reading: Reading, at: Moment | None = None) -> tuple[Outcome, EmailMessage | None]:
        """What an evaluation would do now, and the mail that it would send; nothing is written or sent."""
        moment = at or Moment.of_now()
        before = self._store.read()
        state, events = step(before or State(), reading, self.settings, moment)
        state = _taken(state, moment.now, self.settings)
        note = None if before else f"{self._store.state_file} is not readable; all alerts would begin anew"
        message = compose(state.sending, self.site, self.settings) if state.sending else None
        return Outcome(state, events, note=note), message

    def _send(self, state: State, events: tuple[Event, ...], sender: MailTransport, now: datetime) -> Outcome:
        is_new = state.sending is None
        state = _taken(state, now, self.settings)
        self._store.save(state)
        mail = state.sending
        if mail is None:
            return Outcome(state, events)
        try:
            transport = sender.send(compose(mail, self.site, self.settings))
        except MailError as error:
            failed = _not_sent(state, str(error), is_doubtful=error.may_have_left or not is_new)
            self._store.save(failed)
            if failed.last_error != state.last_error:
                self._log_mail("mail_waits", mail, now, error=str(error))
            return Outcome(failed, events, error=str(error))
        state = _sent(state, mail, transport, now)
        self._store.save(state)
        self._log_mail("mail_sent", mail, now, transport=transport)
        return Outcome(state, events, sent=mail, transport=transport)

    def _log_mail(self, kind: str, mail: Outgoing, now: datetime, **more: Any) -> None:
        # The state is what counts; a mail that has left is not an error for want of a line.
        with suppress(OSError):
            keys = [event.key for event in mail.events]
            self._store.log({"kind": kind, "at": _text(now), "message_id": mail.message_id, "keys": keys, **more})


def step(
    state: State, reading: Reading, settings: Alerts, moment: Moment, failed: Sequence[Run] = ()
) -> tuple[State, tuple[Event, ...]]:
    """The state after a look, with its events waiting in it. Nothing is read, written or sent."""
    now = moment.now
    seconds, jump = passed(state, moment)
    calm = _CALM_AFTER_JUMP if abs(jump) > _JUMP else max(0.0, state.calm_s - seconds)
    generated = reading.snapshot.generated_at_utc if reading.snapshot else None
    is_same = generated == state.snapshot_at and state.snapshot_seen_at is not None
    seen_at = min(state.snapshot_seen_at, now) if is_same and state.snapshot_seen_at else now
    found = conditions_of(reading, settings, now, seen_at, state.alerts)
    reported = {one.key: one for one in map(of_failed_run, failed)}
    alerts, events = {}, []
    for key, condition in {**found, **reported}.items():
        before = state.alerts.get(key)
        judged = _judged(condition, before, generated, is_calm=calm > 0)
        after = _after(before, judged, seconds, now)
        if after is not None and key in reported:
            after = after.model_copy(update={"reported_at": now})
        if before is not None and before.began_at is not None and after is None:
            events.append(_event("recovered", before, now, judged.sentence))
        if after is not None:
            after, event = _begun_or_lasting(after, judged, state, settings.repeat, now)
            alerts[key] = after
            events += [event] if event else []
    events.sort(key=lambda event: _ORDER.index(event.kind))
    changes = {
        "evaluated_at": now,
        "boot": moment.boot,
        "uptime_s": moment.uptime_s,
        "calm_s": calm,
        "snapshot_at": generated,
        "snapshot_seen_at": seen_at,
        "alerts": alerts,
        "unsent": (*state.unsent, *events),
    }
    return state.model_copy(update=changes), tuple(events)


def _judged(condition: Condition, before: Alert | None, generated: datetime | None, *, is_calm: bool) -> Condition:
    """A condition as it counts: what nobody can know stays open."""
    is_open = condition.by_age and is_calm
    if condition.verdict is Verdict.WELL and before is not None and before.reported_at is not None:
        is_open = generated is None or generated <= before.reported_at
    return replace(condition, verdict=Verdict.OPEN) if is_open else condition


def _after(before: Alert | None, condition: Condition, seconds: float, now: datetime) -> Alert | None:
    """An alert after one more look; None where there is none, or none any more."""
    if condition.verdict is Verdict.WELL or (before is None and condition.verdict is Verdict.OPEN):
        return None
    if before is None:
        return Alert(key=condition.key, sentence=condition.sentence, details=condition.details, first_seen=now)
    changes: dict[str, Any] = {
        "verdict": condition.verdict,
        # A clock that was ahead is set right; what it stamped is not later than now.
        "first_seen": min(before.first_seen, now),
        "reported_at": min(before.reported_at, now) if before.reported_at else None,
        "since_mail_s": before.since_mail_s + seconds,
    }
    if condition.verdict is Verdict.BAD:
        # The time that began with nobody seeing it does not count.
        held = seconds if before.verdict is Verdict.BAD else 0.0
        texts = {"sentence": condition.sentence, "details": condition.details}
        changes |= {**texts, "held_s": before.held_s + held}
    return before.model_copy(update=changes)


def _begun_or_lasting(
    alert: Alert, condition: Condition, state: State, repeat: timedelta, now: datetime
) -> tuple[Alert, Event | None]:
    """An alert with the event that this look is, if it is one."""
    if alert.verdict is not Verdict.BAD:
        return alert, None
    if alert.began_at is None:
        if alert.held_s < condition.hold.total_seconds():
            return alert, None
        alert = alert.model_copy(update={"began_at": now})
        return alert, _event("begins", alert, now, alert.sentence)
    is_waiting = any(event.key == alert.key for event in state.waiting)
    if is_waiting or alert.mailed_at is None or alert.since_mail_s < repeat.total_seconds():
        return alert, None
    return alert, _event("lasts", alert, now, alert.sentence)


def _event(kind: Any, alert: Alert, now: datetime, sentence: str) -> Event:
    return Event(kind=kind, key=alert.key, sentence=sentence, details=alert.details, at=now, since=alert.first_seen)


def _taken(state: State, now: datetime, settings: Alerts) -> State:
    """The state with a mail on its way, if one is due; one that may have left already comes first, as it was."""
    if state.sending is not None or not state.unsent:
        return state
    domain = settings.sender.rpartition("@")[2]
    named = {event.key for event in state.unsent}
    also = [_event("lasts", one, now, one.sentence) for one in state.alerts.values() if one.began_at]
    mail = Outgoing(
        message_id=f"<aurora.{now:%Y%m%d%H%M%S}.{uuid.uuid4().hex}@{domain}>",
        made_at=now,
        events=state.unsent,
        also=tuple(event for event in also if event.key not in named),
    )
    return state.model_copy(update={"sending": mail, "unsent": ()})


def _not_sent(state: State, error: str, *, is_doubtful: bool) -> State:
    """What has certainly not left goes back, to go out with whatever comes; what may have left stays as it is."""
    if is_doubtful or state.sending is None:
        return state.model_copy(update={"last_error": error})
    back = (*state.sending.events, *state.unsent)
    return state.model_copy(update={"last_error": error, "sending": None, "unsent": back})


def _sent(state: State, mail: Outgoing, transport: str, now: datetime) -> State:
    named = {event.key for event in mail.events}
    alerts = {
        key: alert.model_copy(update={"mailed_at": now, "since_mail_s": 0.0}) if key in named else alert
        for key, alert in state.alerts.items()
    }
    gone = {"sending": None, "last_error": None, "last_sent_at": now}
    return state.model_copy(
        update={**gone, "alerts": alerts, "last_message_id": mail.message_id, "last_transport": transport}
    )


def _text(time: datetime) -> str:
    return time.isoformat()
