"""The alerts of a site: a mail when a condition becomes bad, again while it stays bad, and one when it is well again.

One evaluation sends one mail at most. ``state.json`` records the content of a mail before it is sent, and that it has
left afterwards. A mail that a killed run may have sent is sent again with the same Message-ID and the same text: so no
mail is lost, and the recipient can recognize a duplicate. A mail that no relay took waits for the next evaluation.

How long a condition has been bad is counted from evaluation to evaluation, within one boot by the uptime clock. If the
clock of the machine is set back or ahead, that alone neither begins nor repeats an alert.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Annotated, Any

from aurora_platform.config.health import Alerts
from aurora_platform.config.site import Site
from aurora_platform.errors import MailError
from aurora_platform.fs.locks import hold_lock
from aurora_platform.health.alert_mail import compose
from aurora_platform.health.alert_rules import (
    Condition,
    SnapshotFile,
    Verdict,
    evaluate_conditions,
    evaluate_failed_run,
)
from aurora_platform.health.alert_state import Alert, AlertStore, Event, Moment, Outgoing, State, measure_elapsed
from aurora_platform.health.archive_work import retention_sentence
from aurora_platform.health.models import Run
from aurora_platform.layout import Layout
from aurora_platform.report_fields import SHOWN, Show
from aurora_platform.transport.protocols import MailTransport

_MIN_JUMP = 60.0  # s; smaller steps are the usual correction of a clock
# s; files that were written before a jump have a wrong age until they are written again.
_CALM_AFTER_JUMP = 1800.0
_EVENT_ORDER = ("begins", "lasts", "recovered", "notice")
_RETENTION = "retention"
_LOCK_SLACK = timedelta(seconds=30)


@dataclass(frozen=True)
class Outcome:
    """Result of an evaluation."""

    state: State
    events: tuple[Event, ...]
    """Alerts that have begun, are repeated, or are over."""
    sent_mail: Outgoing | None = None
    transport: Annotated[str | None, Show("mailed_by")] = None
    error: Annotated[str | None, Show("waits_because")] = None
    """Why the mail could not be sent; it waits."""
    note: Annotated[str | None, SHOWN] = None
    """Where an unreadable state was moved to."""

    @property
    def event_count(self) -> Annotated[int, Show("events", rank=1)]:
        """How many alerts have begun, are repeated, or are over."""
        return len(self.events)

    @property
    def going_on(self) -> tuple[Alert, ...]:
        return tuple(alert for alert in self.state.alerts.values() if alert.began_at is not None)


class Alerting:
    """The alerts of one site. Any number of programs may evaluate them: a lock admits one at a time."""

    def __init__(
        self, site: str, settings: Alerts, directory: Path, locks: Path, lock_slack: timedelta = _LOCK_SLACK
    ) -> None:
        self.site = site
        self.settings = settings
        self.locks = locks
        self._wait = settings.within + lock_slack
        self._store = AlertStore(directory, locks, self._wait)

    @classmethod
    def of(cls, site: Site, settings: Alerts) -> Alerting:
        """Return the alerts of a site whose site file has the key ``alerts``."""
        return cls(site.name, settings, Layout.of(site).health.alerts, Layout.of(site).locks)

    def evaluate(
        self, file: SnapshotFile, mailer: MailTransport, *, failed: Sequence[Run] = (), at: Moment | None = None
    ) -> Outcome:
        """Evaluate the alert rules, and send one mail about what has changed.

        Parameters
        ----------
        file
            ``latest.json``, by :func:`aurora_platform.health.alert_rules.read_snapshot`.
        mailer
            Sends the mail. A mail that cannot be sent is no error: the outcome has the reason, and the mail waits.
        failed
            Runs that have just failed and may not be in the snapshot yet.
        at
            The time, for tests; now by default.
        """
        with hold_lock(self.locks, "alerts", self._wait):
            moment = at or Moment.of_now()
            state, moved_to = self._store.load(moment.now)
            state, events = advance_state(state, file, self.settings, moment, failed)
            moved = (
                [{"kind": "state_moved_aside", "at": moment.now.isoformat(), "to": moved_to.name}] if moved_to else []
            )
            self._store.log(*moved, *(event.model_dump(mode="json") for event in events))
            outcome = self._send(state, events, mailer, moment.now)
        note = f"state.json could not be read and was moved to {moved_to}; all alerts start again" if moved_to else None
        return replace(outcome, note=note)

    def preview(self, file: SnapshotFile, at: Moment | None = None) -> tuple[Outcome, EmailMessage | None]:
        """Return what an evaluation would do now, and the mail that it would send. Writes and sends nothing."""
        moment = at or Moment.of_now()
        before = self._store.read()
        state, events = advance_state(before or State(), file, self.settings, moment)
        state = _prepare_mail(state, moment.now, self.settings)
        note = None if before else f"{self._store.state_file} cannot be read; all alerts would start again"
        message = compose(state.sending, self.site, self.settings) if state.sending else None
        return Outcome(state, events, note=note), message

    def _send(self, state: State, events: tuple[Event, ...], mailer: MailTransport, now: datetime) -> Outcome:
        is_new = state.sending is None
        state = _prepare_mail(state, now, self.settings)
        self._store.save(state)
        mail = state.sending
        if mail is None:
            return Outcome(state, events)
        try:
            transport = mailer.send(compose(mail, self.site, self.settings))
        except MailError as error:
            failed = _keep_for_next(state, str(error), is_doubtful=error.may_have_left or not is_new)
            self._store.save(failed)
            if failed.last_error != state.last_error:
                self._log_mail("mail_waits", mail, now, error=str(error))
            return Outcome(failed, events, error=str(error))
        state = _record_as_sent(state, mail, transport, now)
        self._store.save(state)
        self._log_mail("mail_sent", mail, now, transport=transport)
        return Outcome(state, events, sent_mail=mail, transport=transport)

    def _log_mail(self, kind: str, mail: Outgoing, now: datetime, **more: Any) -> None:
        # The state is what counts: a line missing in the log is no reason to fail after the mail has left.
        with suppress(OSError):
            keys = [event.key for event in mail.events]
            self._store.log({"kind": kind, "at": now.isoformat(), "message_id": mail.message_id, "keys": keys, **more})


def advance_state(
    state: State, file: SnapshotFile, settings: Alerts, moment: Moment, failed: Sequence[Run] = ()
) -> tuple[State, tuple[Event, ...]]:
    """Return the state after an evaluation, with its new events in ``unsent``. Reads, writes and sends nothing."""
    now = moment.now
    seconds, jump = measure_elapsed(state, moment)
    calm = _CALM_AFTER_JUMP if abs(jump) > _MIN_JUMP else max(0.0, state.calm_s - seconds)
    generated = file.snapshot.generated_at_utc if file.snapshot else None
    is_same = generated == state.snapshot_at and state.snapshot_seen_at is not None
    first_read_at = min(state.snapshot_seen_at, now) if is_same and state.snapshot_seen_at else now
    conditions = evaluate_conditions(file, settings, now, first_read_at, state.alerts)
    reported = {condition.key: condition for condition in map(evaluate_failed_run, failed)}
    alerts, events = {}, []
    for key, evaluated in {**conditions, **reported}.items():
        before = state.alerts.get(key)
        condition = _open_if_uncertain(evaluated, before, generated, is_calm=calm > 0)
        after = _update_alert(before, condition, seconds, now)
        if after is not None and key in reported:
            after = after.model_copy(update={"reported_at": now})
        if before is not None and before.began_at is not None and after is None:
            events.append(_make_event("recovered", before, now, condition.sentence))
        if after is not None:
            after, event = _begin_or_repeat(after, condition, state, settings.repeat, now)
            alerts[key] = after
            events += [event] if event else []
    if notice := _retention_notice(file, state, now):
        events.append(notice)
    events.sort(key=lambda event: _EVENT_ORDER.index(event.kind))
    changes = {
        "evaluated_at": now,
        "boot": moment.boot,
        "uptime_s": moment.uptime_s,
        "calm_s": calm,
        "snapshot_at": generated,
        "snapshot_seen_at": first_read_at,
        "alerts": alerts,
        "noticed": state.noticed | ({notice.key: notice.since} if notice else {}),
        "unsent": (*state.unsent, *events),
    }
    return state.model_copy(update=changes), tuple(events)


def _retention_notice(file: SnapshotFile, state: State, now: datetime) -> Event | None:
    """Return a notice where the last retention run has deleted something, and no mail was about that run."""
    run = file.snapshot.retention if file.snapshot else None
    if run is None or not run.files or state.noticed.get(_RETENTION) == run.at_utc:
        return None
    return Event(kind="notice", key=_RETENTION, sentence=retention_sentence(run), at=now, since=run.at_utc)


def _open_if_uncertain(
    condition: Condition, before: Alert | None, generated: datetime | None, *, is_calm: bool
) -> Condition:
    """Return the condition, with the verdict *open* where this evaluation cannot decide it."""
    is_open = condition.is_age_based and is_calm
    if condition.verdict is Verdict.WELL and before is not None and before.reported_at is not None:
        is_open = generated is None or generated <= before.reported_at
    return replace(condition, verdict=Verdict.OPEN) if is_open else condition


def _update_alert(before: Alert | None, condition: Condition, seconds: float, now: datetime) -> Alert | None:
    """Return the alert after one more evaluation; None if there is none, or no longer one."""
    if condition.verdict is Verdict.WELL or (before is None and condition.verdict is Verdict.OPEN):
        return None
    if before is None:
        return Alert(key=condition.key, sentence=condition.sentence, details=condition.details, first_seen=now)
    changes: dict[str, Any] = {
        "verdict": condition.verdict,
        # The clock may have been ahead and was set right: no time is later than now.
        "first_seen": min(before.first_seen, now),
        "reported_at": min(before.reported_at, now) if before.reported_at else None,
        "since_mail_s": before.since_mail_s + seconds,
    }
    if condition.verdict is Verdict.BAD:
        # The time since an evaluation in which the condition was open does not count.
        held = seconds if before.verdict is Verdict.BAD else 0.0
        texts = {"sentence": condition.sentence, "details": condition.details}
        changes |= {**texts, "held_s": before.held_s + held}
    return before.model_copy(update=changes)


def _begin_or_repeat(
    alert: Alert, condition: Condition, state: State, repeat: timedelta, now: datetime
) -> tuple[Alert, Event | None]:
    """Return the alert, and the event of this evaluation if it begins or repeats the alert."""
    if alert.verdict is not Verdict.BAD:
        return alert, None
    if alert.began_at is None:
        if alert.held_s < condition.hold.total_seconds():
            return alert, None
        alert = alert.model_copy(update={"began_at": now})
        return alert, _make_event("begins", alert, now, alert.sentence)
    is_waiting = any(event.key == alert.key for event in state.waiting)
    if is_waiting or alert.mailed_at is None or alert.since_mail_s < repeat.total_seconds():
        return alert, None
    return alert, _make_event("lasts", alert, now, alert.sentence)


def _make_event(kind: Any, alert: Alert, now: datetime, sentence: str) -> Event:
    return Event(kind=kind, key=alert.key, sentence=sentence, details=alert.details, at=now, since=alert.first_seen)


def _prepare_mail(state: State, now: datetime, settings: Alerts) -> State:
    """Return the state with a mail to send, if there are events for one.

    A mail that may have left already comes first, unchanged.
    """
    if state.sending is not None or not state.unsent:
        return state
    domain = settings.sender.rpartition("@")[2]
    keys = {event.key for event in state.unsent}
    also = [_make_event("lasts", alert, now, alert.sentence) for alert in state.alerts.values() if alert.began_at]
    mail = Outgoing(
        message_id=f"<aurora.{now:%Y%m%d%H%M%S}.{uuid.uuid4().hex}@{domain}>",
        made_at=now,
        events=state.unsent,
        also=tuple(event for event in also if event.key not in keys),
    )
    return state.model_copy(update={"sending": mail, "unsent": ()})


def _keep_for_next(state: State, error: str, *, is_doubtful: bool) -> State:
    """Return the state after a mail that was not sent.

    The events of a mail that has certainly not left go into the next mail. A mail that may have left stays as it is.
    """
    if is_doubtful or state.sending is None:
        return state.model_copy(update={"last_error": error})
    unsent = (*state.sending.events, *state.unsent)
    return state.model_copy(update={"last_error": error, "sending": None, "unsent": unsent})


def _record_as_sent(state: State, mail: Outgoing, transport: str, now: datetime) -> State:
    keys = {event.key for event in mail.events}
    alerts = {
        key: alert.model_copy(update={"mailed_at": now, "since_mail_s": 0.0}) if key in keys else alert
        for key, alert in state.alerts.items()
    }
    cleared = {"sending": None, "last_error": None, "last_sent_at": now}
    return state.model_copy(
        update={**cleared, "alerts": alerts, "last_message_id": mail.message_id, "last_transport": transport}
    )
