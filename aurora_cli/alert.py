"""``aurora alert``: evaluate the alerts, show them, and send the mail about what has changed."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click

from aurora_cli.console import print_line, print_table
from aurora_cli.context import describe_error, load_site_or_exit, open_state_or_exit
from aurora_platform.config.health import Alerts
from aurora_platform.errors import AuroraError, MailError
from aurora_platform.health.alert_mail import trial_mail
from aurora_platform.health.alert_rules import SnapshotFile, Verdict, read_snapshot
from aurora_platform.health.alerts import Alerting, Outcome
from aurora_platform.layout import Layout
from aurora_platform.text import counted
from aurora_platform.transport.mail import Mailer

_MAIL_NOT_SENT = 2  # exit code


@click.command()
@click.option("--test", "is_test", is_flag=True, help="Send a test mail, and name the transport used. Do nothing else.")
@click.option("--dry-run", "is_dry", is_flag=True, help="Show the mail and the transport; write nothing, send nothing.")
@click.option(
    "--file",
    "latest",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Snapshot to evaluate.  [default: the site's latest.json]",
)
@click.pass_context
def alert(ctx: click.Context, is_test: bool, is_dry: bool, latest: Path | None) -> None:
    """Evaluate the alerts from latest.json, and send one mail if something has changed.

    Prints a table of the alerts. An alert is pending until its cause has lasted for some time. Writes state.json
    (alerts and unsent mails) and alerts.jsonl (a log) in ops_monitor/alerts below `paths.products`.

    \b
    Exit codes: 0 no alert is active; 1 an alert is active, or an error (see the
    last line); 2 the mail could not be sent (the next evaluation sends it).
    Example: aurora alert --dry-run
    """
    site = load_site_or_exit(ctx.obj)
    if site.alerts is None:
        raise click.ClickException(f"{site.name} sends no mails: add the key `alerts` to the site file")
    alerting, mailer = Alerting.of(site, site.alerts), Mailer(site.alerts)
    if is_test:
        ctx.exit(_send_test_mail(site.name, alerting.settings, mailer, is_dry=is_dry))
    file = read_snapshot(latest or Layout.of(site).health.snapshot)
    if is_dry:
        ctx.exit(_preview(alerting, file, mailer))
    open_state_or_exit(site)
    try:
        outcome = alerting.evaluate(file, mailer)
    except (AuroraError, OSError) as error:
        raise click.ClickException(describe_error(error)) from None
    _show(site.name, outcome)
    if outcome.error:
        print_line(f"could not send {_describe_waiting(outcome)}: {outcome.error}", "red", to_stderr=True)
        ctx.exit(_MAIL_NOT_SENT)
    if outcome.sent_mail:
        print_line(
            f"sent one mail to {', '.join(alerting.settings.to)} about {_alert_keys(outcome)}, by {outcome.transport}"
        )
    ctx.exit(1 if outcome.going_on else 0)


def _send_test_mail(site: str, settings: Alerts, mailer: Mailer, *, is_dry: bool) -> int:
    """Send a test mail, or only name the transport that would be used; return the exit code."""
    to, domain = ", ".join(settings.to), settings.sender.rpartition("@")[2]
    try:
        choice = mailer.choose()
        if is_dry:
            print_line(f"would send a test mail to {to} by {choice}")
            return 0
        message_id = f"<aurora.test.{uuid.uuid4().hex}@{domain}>"
        transport = mailer.send(trial_mail(site, settings, str(choice), message_id, datetime.now(UTC)))
    except MailError as error:
        print_line(f"could not send the test mail to {to}: {error}", "red", to_stderr=True)
        return _MAIL_NOT_SENT
    print_line(f"sent a test mail to {to} by {transport}")
    return 0


def _preview(alerting: Alerting, file: SnapshotFile, mailer: Mailer) -> int:
    outcome, message = alerting.preview(file)
    _show(alerting.site, outcome)
    try:
        choice = str(mailer.choose())
    except MailError as error:
        choice = f"none: {error}"
    if message is None:
        print_line(f"would send no mail now. Transport: {choice}")
    else:
        print_line(f"would send this mail to {message['To']}. Transport: {choice}\n\n{message['Subject']}\n")
        plain = message.get_body(("plain",))
        print_line(str(plain.get_content()) if plain else "")
    return 1 if outcome.going_on else 0


def _show(site: str, outcome: Outcome) -> None:
    if outcome.note:
        print_line(outcome.note, "yellow", to_stderr=True)
    rows = list(_rows(outcome))
    if rows:
        print_table(
            f"{site}: alerts", ["alert", "first seen (UTC)", "active since (UTC)", "mailed (UTC)", "message"], rows
        )
    else:
        print_line(f"{site}: no alert is active or pending")
    for event in outcome.events:
        if event.kind == "recovered":
            print_line(f"resolved: {event.key}: {event.sentence}", "green")


def _rows(outcome: Outcome) -> Iterator[list[str]]:
    alerts = outcome.state.alerts.values()
    for alert in sorted(alerts, key=lambda alert: (alert.began_at is None, alert.first_seen, alert.key)):
        active_since = _time(alert.began_at) if alert.began_at else "pending"
        prefix = "unknown now; last: " if alert.verdict is Verdict.OPEN else ""
        yield [alert.key, _time(alert.first_seen), active_since, _time(alert.mailed_at), prefix + alert.sentence]


def _describe_waiting(outcome: Outcome) -> str:
    return f"a mail about {counted(len(outcome.state.waiting), 'event')}"


def _alert_keys(outcome: Outcome) -> str:
    return ", ".join(event.key for event in outcome.sent_mail.events) if outcome.sent_mail else ""


def _time(value: datetime | None) -> str:
    return f"{value:%Y-%m-%d %H:%M:%S}" if value else "-"
