"""What the mails of the alerts look like: plain text, and a small HTML part that says the same.

Names come from hosts, runs and files. No line of a header begins in one, and nothing in one is markup.
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

_MOST = 50  # events that a mail names; the others are in alerts.jsonl
_SUBJECT = 68  # characters: with its name one line of a header, so that nobody has to fold it
_HEADINGS = {"begins": "Begins", "lasts": "Still going on", "recovered": "Over"}
_COLOURS = {"begins": "#b00020", "lasts": "#9a6700", "recovered": "#1a7f37"}

_TEXT = """\
{{ site }}, {{ made_at }} UTC
{% for heading, events, _ in parts %}

{{ heading }}
{% for event in events %}
- {{ event.key }}: {{ event.sentence }}
  since {{ event.since | time }} UTC{% if event.kind == "recovered" %}, over at {{ event.at | time }} UTC{% endif %}

{% if event.details and event.kind != "recovered" %}
  {{ event.details }}
{% endif %}
{% endfor %}
{% endfor %}
{% if more %}

And {{ more }} more: see alerts.jsonl.
{% endif %}

Nothing is repaired by itself. See: aurora alert --dry-run, and the newest report in ops_monitor/health.
"""

_HTML = """\
<!doctype html>
<html lang="en"><body style="font-family: sans-serif">
<p><b>{{ site }}</b>, {{ made_at }} UTC</p>
{% for heading, events, colour in parts %}
<h3 style="color: {{ colour }}">{{ heading }}</h3>
<table cellpadding="4" style="border-collapse: collapse">
{% for event in events %}
<tr><td><b>{{ event.key }}</b></td><td>{{ event.sentence }}</td><td>since {{ event.since | time }}\
{% if event.kind == "recovered" %}, over at {{ event.at | time }}{% endif %}</td>\
<td>{% if event.kind != "recovered" %}{{ event.details }}{% endif %}</td></tr>
{% endfor %}
</table>
{% endfor %}
{% if more %}
<p>And {{ more }} more: see alerts.jsonl.</p>
{% endif %}
<p>Nothing is repaired by itself.</p>
</body></html>
"""


def _time(value: datetime) -> str:
    return f"{value:%Y-%m-%d %H:%M:%S}"


def _environment(*, autoescape: bool) -> Environment:
    made = Environment(undefined=StrictUndefined, autoescape=autoescape, trim_blocks=True, keep_trailing_newline=True)  # noqa: S701
    made.filters["time"] = _time
    # All texts are shown, whoever made the state: what stands in a mail is one line each.
    made.finalize = lambda value: (
        printable(value) if isinstance(value, str) and not hasattr(value, "__html__") else value
    )
    return made


_PLAIN, _MARKED = _environment(autoescape=False), _environment(autoescape=True)


def compose(mail: Outgoing, site: str, settings: Alerts) -> EmailMessage:
    """The mail that a record stands for; the same record makes the same mail."""
    parts, more = _parts(mail)
    said = {"site": site, "made_at": _time(mail.made_at), "parts": parts, "more": more}
    message = _addressed(subject_of(mail.events, site), settings, mail.message_id, mail.made_at)
    _fill(message, _PLAIN.from_string(_TEXT).render(said), _MARKED.from_string(_HTML).render(said))
    return message


def trial_mail(site: str, settings: Alerts, by: str, message_id: str, now: datetime) -> EmailMessage:
    """A mail that says that mails arrive."""
    message = _addressed(f"[{one_line(site)}] test: mails of the alerts arrive", settings, message_id, now)
    text = f"This is a test by `aurora alert --test` at {_time(now)} UTC, sent by {printable(by)}. Nothing is wrong.\n"
    _fill(message, text, _MARKED.from_string("<p>{{ text }}</p>\n").render(text=text.strip()))
    return message


def subject_of(events: Sequence[Event], site: str) -> str:
    """What a mail is about, in one line."""
    kinds = {"begins": "begin", "lasts": "last", "recovered": "over"}
    counts = {word: sum(event.kind == kind for event in events) for kind, word in kinds.items()}
    said = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    names = ", ".join(dict.fromkeys(event.key for event in events))
    return one_line(f"[{site}] {said}: {names}")


def one_line(text: str) -> str:
    """A text for a header: no control characters, and no encoded word that a reader would decode into some."""
    safe = "".join(c if c.isprintable() else " " for c in text).replace("=?", "= ?")
    return safe if len(safe) <= _SUBJECT else safe[: _SUBJECT - 3] + "..."


def _parts(mail: Outgoing) -> tuple[list[tuple[str, list[Event], str]], int]:
    left, parts = _MOST, []
    for kind, heading in _HEADINGS.items():
        events = [event for event in mail.events if event.kind == kind][:left]
        left -= len(events)
        parts += [(heading, events, _COLOURS[kind])] if events else []
    also = list(mail.also[:left])
    parts += [("Also going on, mailed before", also, _COLOURS["lasts"])] if also else []
    return parts, len(mail.events) + len(mail.also) - sum(len(events) for _, events, _ in parts)


def _addressed(subject: str, settings: Alerts, message_id: str, now: datetime) -> EmailMessage:
    message = EmailMessage()
    message["From"] = settings.sender
    message["To"] = ", ".join(settings.to)
    message["Subject"] = subject
    message["Date"] = format_datetime(now)
    message["Message-ID"] = message_id
    # So that no vacation notice answers (RFC 3834).
    message["Auto-Submitted"] = "auto-generated"
    return message


def _fill(message: EmailMessage, text: str, html: str) -> None:
    # Quoted-printable passes every relay; and the boundary is fixed, so that one record makes one mail byte for byte.
    message.set_content(text, cte="quoted-printable")
    message.add_alternative(html, subtype="html", cte="quoted-printable")
    message.set_boundary("aurora-alternative")
