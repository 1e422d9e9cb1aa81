"""Form and transport of mails: real relays, real programs, and names that try to inject headers or markup."""

from __future__ import annotations

import base64
import logging
import mailbox
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import pytest

from aurora_platform.config.health import Alerts
from aurora_platform.errors import MailError
from aurora_platform.health.alert_mail import compose, trial_mail
from aurora_platform.health.alert_state import Event, Outgoing
from aurora_platform.transport.mail import Mailer
from aurora_simulator.ssh_server import free_port
from tests.health.relay import Relay, html_of, make_tls_certificate, text_of, with_login
from tests.health.snapshots import START, settings
from tests.patience import patient, until

PASSWORD = "correct horse battery staple"
HEADERS = ("From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type")
LOGIN = {"starttls": True, "user_variable": "RELAY_USER", "password_variable": "RELAY_PASSWORD"}


def mail(*keys: str, kind: str = "begins", sentence: str = "91 % in use", **changes: object) -> EmailMessage:
    events = tuple(
        Event(kind=kind, key=key, sentence=sentence, details="See: df -h /raw", at=START, since=START)
        for key in keys or ("disk raw",)
    )
    return compose(Outgoing(message_id="<1@example.org>", made_at=START, events=events), "demo", settings(**changes))


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tls_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def guarded(pem: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Relay]:
    """A relay with a trusted certificate that takes mails only after STARTTLS and a login."""
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    monkeypatch.setenv("RELAY_USER", "aurora")
    monkeypatch.setenv("RELAY_PASSWORD", PASSWORD)
    relay = with_login(pem, "aurora", PASSWORD).start()
    yield relay
    relay.stop()


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Writes a script to PATH, which has otherwise only three system tools and no mailer."""
    directory = tmp_path / "bin"
    directory.mkdir()
    for tool in ("cat", "sleep", "sh"):
        (directory / tool).symlink_to(f"/bin/{tool}")
    monkeypatch.setenv("PATH", str(directory))

    def write(name: str, body: str) -> Path:
        (directory / name).write_text(f"#!/bin/sh\n{body}\n")
        (directory / name).chmod(0o755)
        return tmp_path

    return write


def failure(alerts: Alerts, seconds: float | None = None) -> MailError:
    mailer = Mailer(alerts)
    mailer.seconds = seconds or mailer.seconds
    with pytest.raises(MailError) as caught:
        mailer.send(mail())
    return caught.value


@pytest.mark.parametrize(
    "name",
    [
        "a\r\nBcc: thief@example.org",
        "a\nBcc: thief@example.org",
        "a\rBcc: thief@example.org",
        "a\r\n\r\n<h1>another mail</h1>",
        "a\u2028Bcc: thief@example.org\x85Bcc: thief@example.org\x0b\x0c\x1c",
        "a\x00b",
        "a\ud800b",
        "=?utf-8?q?a=0D=0ABcc:_thief@example.org?=",
        "=?utf-8?b?DQpCY2M6IHRoaWVmQGV4YW1wbGUub3Jn?=",
        "\u202egnp.exe",
        "Ærø ☃ " * 40,
        "x" * 5000,
    ],
)
def test_no_name_becomes_a_header_a_line_or_markup(relay: Relay, name: str) -> None:
    Mailer(settings(relay.port)).send(mail(f"disk {name}", sentence=name))
    [received] = relay.mails
    assert sorted(key for key in received if not key.startswith("X-")) == sorted(HEADERS)
    assert str(received["To"]) == "operator@example.org"
    assert str(received["Subject"]).startswith("[demo] 1 new: disk ")
    assert str(received["Subject"]).isprintable()
    assert not [line for line in text_of(received).splitlines() if line.startswith(("Bcc", "<h1>"))]
    assert all(c.isprintable() or c == "\n" for c in text_of(received) + html_of(received))


def test_a_name_with_letters_of_any_language_is_readable(relay: Relay) -> None:
    Mailer(settings(relay.port)).send(mail("disk Ærø ☃"))
    assert relay.subjects == ["[demo] 1 new: disk Ærø ☃"]
    assert "disk Ærø ☃: 91 %" in text_of(relay.mails[0])
    assert "disk Ærø ☃" in html_of(relay.mails[0])


def test_nothing_in_a_name_is_markup_of_the_small_html_part() -> None:
    html = html_of(mail("disk <script>alert(1)</script>", sentence='"><img src=x onerror=1>{{ 7 * 7 }}'))
    assert "<script" not in html
    assert "<img" not in html
    assert "&lt;script&gt;" in html
    assert "{{ 7 * 7 }}" in html


def test_both_parts_have_the_same_content_and_one_record_makes_one_mail() -> None:
    first, second = (mail("disk raw", "source cl61") for _ in range(2))
    assert first.as_bytes(policy=policy.SMTP) == second.as_bytes(policy=policy.SMTP)
    for part in (text_of(first), html_of(first)):
        for text in ("New", "disk raw", "source cl61", "91 % in use", "2026-03-02 00:00:00", "See: df -h /raw"):
            assert text in part
    assert text_of(first).startswith(
        "demo, 2026-03-02 00:00:00 UTC\n\nNew\n- disk raw: 91 % in use\n  since 2026-03-02 00:00:00 UTC\n"
    )


def test_a_mail_about_many_events_names_the_first_and_counts_the_rest() -> None:
    text = text_of(mail(*(f"run job_{n}" for n in range(200))))
    assert text.count("- run job_") == 50
    assert "And 150 more: see alerts.jsonl." in text


def test_a_login_uses_tls_with_a_trusted_certificate(guarded: Relay, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    assert Mailer(settings(guarded.port, smtp={"port": guarded.port, **LOGIN})).send(mail()).startswith("smtp")
    assert guarded.subjects == ["[demo] 1 new: disk raw"]
    assert not [secret for secret in secrets() if secret in caplog.text]


def secrets() -> list[str]:
    return [PASSWORD, base64.b64encode(PASSWORD.encode()).decode(), base64.b64encode(b"\0aurora\0").decode()[:8]]


def test_a_refused_login_shows_no_credential_though_the_relay_repeats_it(
    guarded: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELAY_PASSWORD", "wrong and secret")
    error = failure(settings(smtp={"port": guarded.port, **LOGIN}))
    assert "refuses the login with code 535; credentials from RELAY_USER and RELAY_PASSWORD" in str(error)
    assert "secret" not in str(error)
    assert error.__cause__ is None
    assert error.__suppress_context__
    assert not error.may_have_left


@pytest.mark.parametrize(
    ("value", "message"), [(None, "variable RELAY_PASSWORD is not set"), ("pässword", "not plain ASCII")]
)
def test_a_password_that_is_missing_or_cannot_be_sent_is_named_by_its_variable(
    guarded: Relay, monkeypatch: pytest.MonkeyPatch, value: str | None, message: str
) -> None:
    monkeypatch.delenv("RELAY_PASSWORD")
    if value is not None:
        monkeypatch.setenv("RELAY_PASSWORD", value)
    error = failure(settings(smtp={"port": guarded.port, **LOGIN}))
    assert message in str(error)
    assert "pässword" not in str(error)


def test_a_relay_with_an_untrusted_certificate_gets_no_password_and_no_mail(
    guarded: Relay, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    error = failure(settings(smtp={"port": guarded.port, **LOGIN}))
    assert "certificate is not trusted" in str(error)
    assert not error.may_have_left
    assert guarded.mails == []


def test_a_relay_without_tls_gets_nothing_if_tls_is_required(relay: Relay) -> None:
    error = failure(settings(smtp={"port": relay.port, "starttls": True}))
    assert "STARTTLS" in str(error)
    assert relay.mails == []


def test_a_recipient_that_is_refused_does_not_keep_the_mail_from_the_others(relay: Relay) -> None:
    relay.unknown_recipients = {"gone@example.org"}
    both = settings(relay.port, to=["operator@example.org", "gone@example.org"])
    assert Mailer(both).send(mail()).endswith("gone@example.org was refused: 550 no such user")
    assert len(relay.mails) == 1
    error = failure(settings(relay.port, to=["gone@example.org"]))
    assert "the relay refuses all recipients: gone@example.org: 550" in str(error)
    assert not error.may_have_left


def test_a_relay_that_refuses_the_mail_does_not_have_it(relay: Relay) -> None:
    relay.refusal = "554 we do not want that"
    error = failure(settings(relay.port))
    assert "554 we do not want that" in str(error)
    assert not error.may_have_left


class Script:
    """A server that sends these lines, one per line that it receives, and then nothing more."""

    def __init__(self, *lines: bytes, drip: bool = False) -> None:
        self.lines, self.drip = lines, drip
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            connection, _ = self.server.accept()
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            try:
                for line in self.lines:
                    connection.sendall(line)
                    connection.recv(65536)
                while True:
                    if self.drip:
                        connection.sendall(b"2")
                    elif not connection.recv(65536):
                        return
                    time.sleep(0.05)
            except OSError:
                return


GREETED = (b"220 hello\r\n", b"250 hello\r\n")


@pytest.mark.parametrize(
    ("script", "may_have_left"),
    [
        (Script(), False),
        (Script(drip=True), False),
        (Script(GREETED[0]), False),
        (Script(*GREETED, b"250 ok\r\n", b"250 ok\r\n", b"354 go on\r\n"), True),
        (Script(*GREETED, b"250 ok\r\n", b"250 ok\r\n", b"354 go on\r\n", drip=True), True),
    ],
    ids=["silent", "drips", "silent after its greeting", "silent after the mail", "drips after the mail"],
)
def test_a_relay_that_hangs_is_given_up_in_time_and_the_error_says_whether_the_mail_may_have_left(
    script: Script, may_have_left: bool
) -> None:
    began = time.monotonic()
    error = failure(settings(script.port), patient(1))
    assert time.monotonic() - began < patient(1 + 20), "it would hang for ever"
    assert error.may_have_left is may_have_left
    assert f"127.0.0.1:{script.port}" in str(error)


def test_sendmail_gets_recipients_as_arguments_and_the_mail_on_stdin(
    programs: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELAY_PASSWORD", PASSWORD)
    home = programs("sendmail", 'home=${0%/bin/*}\nprintf "%s\\n" "$@" >$home/argv\ncat >$home/mail\nset >$home/env')
    transport = Mailer(settings(transport="sendmail", to=["-oQ@example.org", "b@example.org"])).send(mail())
    assert transport == "sendmail (as configured in the site file)"
    assert (home / "argv").read_text().split() == [
        *("-i", "-f", "aurora@example.org", "--", "-oQ@example.org", "b@example.org")
    ]
    received = message_from_bytes((home / "mail").read_bytes(), policy=policy.default)
    assert received["Subject"] == "[demo] 1 new: disk raw"
    assert b"\r" not in (home / "mail").read_bytes()
    assert PASSWORD not in (home / "env").read_text()


def test_a_failing_sendmail_reports_why_and_a_hanging_one_is_ended_with_its_children(
    programs: Callable[[str, str], Path],
) -> None:
    home = programs("sendmail", "echo 'queue is \033[31mfull' >&2; exit 75")
    error = failure(settings(transport="sendmail"))
    assert "ended with exit code 75: queue is \\x1b[31mfull" in str(error)
    assert not error.may_have_left
    programs("sendmail", f"sleep 3600 & echo $! >{home}/child; wait")
    began = time.monotonic()
    error = failure(settings(transport="sendmail"), patient(1))
    assert time.monotonic() - began < patient(1 + 20)
    assert error.may_have_left
    child = int((home / "child").read_text())
    until(lambda: not is_running(child))
    assert "is not in PATH" in str(failure(settings(transport="msmtp")))


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_auto_takes_the_transport_that_is_ready_and_reports_which_and_why(
    relay: Relay, programs: Callable[[str, str], Path]
) -> None:
    home = programs("sendmail", "cat >${0%/bin/*}/mail")
    auto = settings(relay.port, transport="auto")
    assert Mailer(auto).send(mail()) == f"smtp (127.0.0.1:{relay.port} answers)"
    relay.stop()
    choice = str(Mailer(auto).choose())
    assert choice.startswith(f"sendmail (found {home}/bin/sendmail; 127.0.0.1:{relay.port} does not answer")
    assert "Connection refused" in choice
    Mailer(auto).send(mail())
    assert b"disk raw" in (home / "mail").read_bytes()
    programs("msmtp", "exit 0")
    assert Mailer(auto).choose().transport == "msmtp"
    for name in ("msmtp", "sendmail"):
        os.unlink(home / "bin" / name)
    error = failure(auto)
    assert "no transport for mail" in str(error)
    assert "alerts.transport" in str(error)
    assert not error.may_have_left


def test_a_port_without_a_relay_is_not_chosen(programs: Callable[[str, str], Path]) -> None:
    programs("sendmail", "exit 0")
    other = Script(b"SSH-2.0-OpenSSH\r\n")
    assert Mailer(settings(other.port, transport="auto")).choose().transport == "sendmail"


def test_mails_are_appended_to_a_file(tmp_path: Path) -> None:
    file = tmp_path / "new" / "mails"
    into = Alerts.model_validate({"to": ["a@b.org"], "sender": "c@d.org", "transport": "file", "file": str(file)})
    for key in ("disk raw", "disk products"):
        Mailer(into).send(mail(key, sentence="From here on"))
    assert [message["Subject"] for message in mailbox.mbox(file)] == [
        "[demo] 1 new: disk raw",
        "[demo] 1 new: disk products",
    ]
    file.unlink()
    file.mkdir()
    assert not failure(into).may_have_left


def test_a_test_mail_is_marked_as_a_test(relay: Relay) -> None:
    Mailer(settings(relay.port)).send(trial_mail("demo", settings(), "smtp", "<2@example.org>", START))
    assert relay.subjects == ["[demo] test: alert mails arrive"]
    assert "Nothing is wrong." in text_of(relay.mails[0])
    assert free_port() != relay.port
