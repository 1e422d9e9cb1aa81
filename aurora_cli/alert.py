"""``aurora alert``: what is going on that is worth a mail, and the mail."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click

from aurora_cli.console import say, show_table
from aurora_cli.context import begin_to_write, message_of, site_of
from aurora_platform.config.health import Alerts
from aurora_platform.errors import AuroraError, MailError
from aurora_platform.health.alert_mail import trial_mail
from aurora_platform.health.alert_rules import Reading, Verdict, read_snapshot
from aurora_platform.health.alerts import Alerting, Outcome
from aurora_platform.layout import Layout
from aurora_platform.text import counted
from aurora_platform.transport.mail import Mailer

_WAITS = 2  # the exit code when a mail could not leave


@click.command()
@click.option(
    "--test", "is_test", is_flag=True, help="Send a test mail, and say by what it left. Nothing else is done."
)
@click.option(
    "--dry-run", "is_dry", is_flag=True, help="Say what would be sent, and by what. Nothing is written or sent."
)
@click.option(
    "--file",
    "latest",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="A latest.json; without it the site's.",
)
@click.pass_context
def alert(ctx: click.Context, is_test: bool, is_dry: bool, latest: Path | None) -> None:
    """Evaluate the alerts from latest.json, say what is going on, and send one mail if something has changed.

    It ends with 0 when nothing is going on, with 1 when something is (or with one line of what stops it), and with 2
    when a mail could not leave: it waits in state.json, and the next evaluation sends it.
    """
    site = site_of(ctx.obj)
    if site.alerts is None:
        raise click.ClickException(f"{site.name} sends no mails: the site file has no key `alerts`")
    alerting, mailer = Alerting.of(site, site.alerts), Mailer(site.alerts)
    if is_test:
        ctx.exit(_test(site.name, alerting.settings, mailer, is_dry=is_dry))
    reading = read_snapshot(latest or Layout.of(site).health.snapshot)
    if is_dry:
        ctx.exit(_preview(alerting, reading, mailer))
    begin_to_write(site)
    try:
        outcome = alerting.evaluate(reading, mailer)
    except (AuroraError, OSError) as error:
        raise click.ClickException(message_of(error)) from None
    _show(site.name, outcome)
    if outcome.error:
        say(f"{_waiting(outcome)} could not leave: {outcome.error}", "red", to_stderr=True)
        ctx.exit(_WAITS)
    if outcome.sent:
        say(f"one mail to {', '.join(alerting.settings.to)} about {_about(outcome)}, by {outcome.transport}")
    ctx.exit(1 if outcome.going_on else 0)


def _test(site: str, settings: Alerts, mailer: Mailer, *, is_dry: bool) -> int:
    """Send a test mail, or say only by what it would leave; returns the exit code."""
    to, domain = ", ".join(settings.to), settings.sender.rpartition("@")[2]
    try:
        choice = mailer.choose()
        if is_dry:
            say(f"a test mail to {to} would leave by {choice}")
            return 0
        message_id = f"<aurora.test.{uuid.uuid4().hex}@{domain}>"
        sent_by = mailer.send(trial_mail(site, settings, str(choice), message_id, datetime.now(UTC)))
    except MailError as error:
        say(f"a test mail to {to} did not leave: {error}", "red", to_stderr=True)
        return _WAITS
    say(f"a test mail to {to} left by {sent_by}")
    return 0


def _preview(alerting: Alerting, reading: Reading, mailer: Mailer) -> int:
    outcome, message = alerting.preview(reading)
    _show(alerting.site, outcome)
    try:
        choice = str(mailer.choose())
    except MailError as error:
        choice = f"nothing: {error}"
    if message is None:
        say(f"no mail is due; one would leave by {choice}")
    else:
        say(f"this mail to {message['To']} would leave by {choice}\n\n{message['Subject']}\n")
        plain = message.get_body(("plain",))
        say(str(plain.get_content()) if plain else "")
    return 1 if outcome.going_on else 0


def _show(site: str, outcome: Outcome) -> None:
    if outcome.note:
        say(outcome.note, "yellow", to_stderr=True)
    rows = list(_rows(outcome))
    if rows:
        show_table(f"{site}: alerts", ["what", "since (UTC)", "begun (UTC)", "mailed (UTC)", "how it stands"], rows)
    else:
        say(f"{site}: nothing is wrong that alerts are about")
    for event in outcome.events:
        if event.kind == "recovered":
            say(f"over: {event.key}: {event.sentence}", "green")


def _rows(outcome: Outcome) -> Iterator[list[str]]:
    for one in sorted(outcome.state.alerts.values(), key=lambda one: (one.began_at is None, one.first_seen, one.key)):
        begun = _time(one.began_at) if one.began_at else "not yet: watched"
        unseen = "not seen now; last: " if one.verdict is Verdict.OPEN else ""
        yield [one.key, _time(one.first_seen), begun, _time(one.mailed_at), unseen + one.sentence]


def _waiting(outcome: Outcome) -> str:
    return f"a mail about {counted(len(outcome.state.waiting), 'event')}"


def _about(outcome: Outcome) -> str:
    return ", ".join(event.key for event in outcome.sent.events) if outcome.sent else ""


def _time(value: datetime | None) -> str:
    return f"{value:%Y-%m-%d %H:%M:%S}" if value else "-"
