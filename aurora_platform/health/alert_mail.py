"""The mails of the alerts: plain text, and a small HTML part with the same content.

Names come from hosts, runs and files. They can neither add a header line nor markup.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime

from jinja2 import Environment, StrictUndefined

from aurora_platform.config.health import Alerts
from aurora_platform.health.alert_state import Event, Outgoing
from aurora_platform.text import printable

_MAX_EVENTS = 50  # in a mail; alerts.jsonl has all
_MAX_SUBJECT = 68  # characters: with "Subject: " it stays one header line, which no relay has to fold
_HEADINGS = {"begins": "New", "lasts": "Ongoing", "recovered": "Resolved", "notice": "Done"}
_SUBJECT_TEXTS = {"begins": "new", "lasts": "ongoing", "recovered": "resolved", "notice": "done"}
_COLOURS = {"begins": "#b00020", "lasts": "#9a6700", "recovered": "#1a7f37", "notice": "#57606a"}

_TEXT = """\
{{ site }}, {{ made_at }} UTC
{% for heading, events, _ in parts %}

{{ heading }}
{% for event in events %}
- {{ event.key }}: {{ event.sentence }}
  {{ event | when }}

{% if event.details and event.kind != "recovered" %}
  {{ event.details }}
{% endif %}
{% endfor %}
{% endfor %}
{% if more %}

And {{ more }} more: see alerts.jsonl.
{% endif %}

Aurora repairs nothing by itself. See: aurora alert --dry-run; the newest report in ops_monitor/health.
"""

_HTML = """\
<!doctype html>
<html lang="en"><body style="font-family: sans-serif">
<p><b>{{ site }}</b>, {{ made_at }} UTC</p>
{% for heading, events, colour in parts %}
<h3 style="color: {{ colour }}">{{ heading }}</h3>
<table cellpadding="4" style="border-collapse: collapse">
{% for event in events %}
<tr><td><b>{{ event.key }}</b></td><td>{{ event.sentence }}</td><td>{{ event | when }}</td>\
<td>{% if event.kind != "recovered" %}{{ event.details }}{% endif %}</td></tr>
{% endfor %}
</table>
{% endfor %}
{% if more %}
<p>And {{ more }} more: see alerts.jsonl.</p>
{% endif %}
<p>Aurora repairs nothing by itself.</p>
</body></html>
"""


def _format_time(value: datetime) -> str:
    return f"{value:%Y-%m-%d %H:%M:%S}"


def _when(event: Event) -> str:
    begin = f"{'at' if event.kind == 'notice' else 'since'} {_format_time(event.since)} UTC"
    return f"{begin}, resolved at {_format_time(event.at)} UTC" if event.kind == "recovered" else begin


def _environment(*, autoescape: bool) -> Environment:
    environment = Environment(
        undefined=StrictUndefined,
        autoescape=autoescape,  # noqa: S701
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["when"] = _when
    # Whatever wrote the state: each text in a mail becomes one printable line.
    environment.finalize = lambda value: (
        printable(value) if isinstance(value, str) and not hasattr(value, "__html__") else value
    )
    return environment


_TEXT_ENVIRONMENT, _HTML_ENVIRONMENT = _environment(autoescape=False), _environment(autoescape=True)


def compose(mail: Outgoing, site: str, settings: Alerts) -> EmailMessage:
    """Compose the mail of a record; the same record makes the same mail."""
    parts, more = _split_into_parts(mail)
    values = {"site": site, "made_at": _format_time(mail.made_at), "parts": parts, "more": more}
    message = _start_message(subject_of(mail.events, site), settings, mail.message_id, mail.made_at)
    _set_body(
        message,
        _TEXT_ENVIRONMENT.from_string(_TEXT).render(values),
        _HTML_ENVIRONMENT.from_string(_HTML).render(values),
    )
    return message


def trial_mail(site: str, settings: Alerts, transport: str, message_id: str, now: datetime) -> EmailMessage:
    """Compose a test mail; ``transport`` names what sends it."""
    message = _start_message(f"[{one_line(site)}] test: alert mails arrive", settings, message_id, now)
    text = (
        f"This is a test by `aurora alert --test` at {_format_time(now)} UTC, sent by {printable(transport)}. "
        "Nothing is wrong.\n"
    )
    _set_body(message, text, _HTML_ENVIRONMENT.from_string("<p>{{ text }}</p>\n").render(text=text.strip()))
    return message


def subject_of(events: Sequence[Event], site: str) -> str:
    """Return the subject of a mail: ``[demo] 1 new, 1 resolved: disk raw, source cl61``."""
    counts = {text: sum(event.kind == kind for event in events) for kind, text in _SUBJECT_TEXTS.items()}
    summary = ", ".join(f"{count} {text}" for text, count in counts.items() if count)
    names = ", ".join(dict.fromkeys(event.key for event in events))
    return one_line(f"[{site}] {summary}: {names}")


def one_line(text: str) -> str:
    """Make a text safe for a header: no control characters, and no RFC 2047 encoded word that would decode to them."""
    safe = "".join(c if c.isprintable() else " " for c in text).replace("=?", "= ?")
    return safe if len(safe) <= _MAX_SUBJECT else safe[: _MAX_SUBJECT - 3] + "..."


def _split_into_parts(mail: Outgoing) -> tuple[list[tuple[str, list[Event], str]], int]:
    left, parts = _MAX_EVENTS, []
    for kind, heading in _HEADINGS.items():
        events = [event for event in mail.events if event.kind == kind][:left]
        left -= len(events)
        parts += [(heading, events, _COLOURS[kind])] if events else []
    also = list(mail.also[:left])
    parts += [("Also ongoing, mailed before", also, _COLOURS["lasts"])] if also else []
    return parts, len(mail.events) + len(mail.also) - sum(len(events) for _, events, _ in parts)


def _start_message(subject: str, settings: Alerts, message_id: str, now: datetime) -> EmailMessage:
    message = EmailMessage()
    message["From"] = settings.sender
    message["To"] = ", ".join(settings.to)
    message["Subject"] = subject
    message["Date"] = format_datetime(now)
    message["Message-ID"] = message_id
    # RFC 3834: no vacation notice may answer.
    message["Auto-Submitted"] = "auto-generated"
    return message


def _set_body(message: EmailMessage, text: str, html: str) -> None:
    # Quoted-printable passes every relay. The boundary is fixed: the same record must make the same bytes.
    message.set_content(text, cte="quoted-printable")
    message.add_alternative(html, subtype="html", cte="quoted-printable")
    message.set_boundary("aurora-alternative")
