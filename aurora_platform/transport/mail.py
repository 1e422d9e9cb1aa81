"""Ways out for a mail: a relay over SMTP, ``msmtp`` or ``sendmail``, or a file. Every wait has a bound.

What goes wrong is a :class:`~aurora_platform.errors.MailError` that says whether the mail may have left all the same.
No credential stands in an error or a log: what a relay says to a login is not repeated.
"""

from __future__ import annotations

import mailbox
import os
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from email import policy
from email.message import EmailMessage
from pathlib import Path
from typing import Literal

from aurora_platform.concurrency import run_concurrently
from aurora_platform.config.health import Alerts, Smtp
from aurora_platform.errors import MailError
from aurora_platform.text import printable

_PASSED_ON = ("PATH", "HOME", "USER", "LOGNAME")  # no credential of ours is a program's business
_LOOK = 3.0  # s of the bound at most, for a look whether a relay answers
_PROGRAMS: tuple[Literal["msmtp", "sendmail"], ...] = ("msmtp", "sendmail")
# The relay has answered, with no: the mail has not left. Anything else in the middle of sending leaves that open.
_REFUSED = (
    smtplib.SMTPResponseException,
    smtplib.SMTPRecipientsRefused,
    smtplib.SMTPNotSupportedError,
)


@dataclass(frozen=True)
class Choice:
    """A way out, and why it is this one."""

    transport: Literal["smtp", "sendmail", "msmtp", "file"]
    why: str

    def __str__(self) -> str:
        return f"{self.transport} ({self.why})"


class Mailer:
    """Sends mails as the site file says; see :class:`aurora_platform.transport.protocols.MailTransport`."""

    def __init__(self, alerts: Alerts) -> None:
        self.alerts = alerts
        self.seconds = alerts.within.total_seconds()

    def choose(self) -> Choice:
        """The transport that a mail would leave by; for ``auto`` the first that is ready."""
        smtp = self.alerts.smtp
        if self.alerts.transport != "auto":
            where = {"smtp": f"{smtp.host}:{smtp.port}, ", "file": f"{self.alerts.file}, "}
            return Choice(self.alerts.transport, where.get(self.alerts.transport, "") + "as the site file says")
        refusal = _why_no_relay(smtp, min(_LOOK, self.seconds / 2))
        if refusal is None:
            return Choice("smtp", f"{smtp.host}:{smtp.port} answers")
        for program in _PROGRAMS:
            if found := shutil.which(program):
                return Choice(program, f"{found} is there, and {smtp.host}:{smtp.port} {refusal}")
        raise MailError(
            f"no way out for mail: {smtp.host}:{smtp.port} {refusal}, and there is neither msmtp nor sendmail in PATH. "
            "Set alerts.transport and alerts.smtp in the site file."
        )

    def send(self, message: EmailMessage) -> str:
        """Hand a mail over within ``alerts.within`` and return by what; raises :class:`MailError`."""
        until = time.monotonic() + self.seconds
        choice = self.choose()
        left = max(0.1, until - time.monotonic())
        try:
            note = self._hand_over(choice, message, left)
        except OSError as error:
            # No temporary file, no process: who knows how far it came.
            raise MailError(f"{choice}: {_reason(error)}", may_have_left=True) from None
        return f"{choice}{note}"

    def _hand_over(self, choice: Choice, message: EmailMessage, seconds: float) -> str:
        if choice.transport == "smtp":
            return _by_smtp(message, self.alerts, seconds)
        if choice.transport == "file":
            return _by_file(message, self.alerts.file)
        return _by_program(choice.transport, message, self.alerts, seconds)


def _why_no_relay(smtp: Smtp, seconds: float) -> str | None:
    """Why there is no relay at that port; None where one greets."""

    def greet() -> bytes:
        with socket.create_connection((smtp.host, smtp.port), timeout=seconds) as connection:
            greeting = connection.recv(512)
            with suppress(OSError):
                connection.sendall(b"QUIT\r\n")
            return greeting

    # In a thread, as is the mail itself: a name may take longer to look up than any socket is allowed to.
    said = run_concurrently({"relay": greet}, within=seconds)["relay"]
    if isinstance(said, Exception):
        return f"does not answer ({_reason(said)})"
    return None if said.startswith(b"220") else "is no relay that is ready"


@dataclass
class _Progress:
    """How far a mail has come, agreed between who sends it and who stops waiting for it."""

    client: smtplib.SMTP | None = field(default=None, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _is_offered: bool = False
    _is_given_up: bool = False

    def offer(self) -> None:
        """Said before the relay can have the mail; raises when nobody waits any more."""
        with self._lock:
            if self._is_given_up:
                raise MailError("too late")
            self._is_offered = True

    def give_up(self) -> bool:
        """End it; whether the relay may have the mail."""
        with self._lock:
            self._is_given_up = True
        if self.client is not None and self.client.sock is not None:
            # So that a thread that is left behind ends as well.
            with suppress(OSError):
                self.client.sock.shutdown(socket.SHUT_RDWR)
        return self._is_offered


def _by_smtp(message: EmailMessage, alerts: Alerts, seconds: float) -> str:
    progress = _Progress()
    where = f"{alerts.smtp.host}:{alerts.smtp.port}"
    end = run_concurrently({"mail": lambda: _talk(message, alerts, seconds, progress)}, within=seconds)["mail"]
    if isinstance(end, str):
        return end
    may_have_left = progress.give_up() and not isinstance(end, _REFUSED)
    if isinstance(end, MailError):
        raise end from None
    # Without the chain: the frames of a login hold what was logged in with.
    raise MailError(f"{where}: {_reason(end)}", may_have_left=may_have_left) from None


def _talk(message: EmailMessage, alerts: Alerts, seconds: float, progress: _Progress) -> str:
    """The whole session; returns a note on recipients that were refused."""
    smtp = alerts.smtp
    # A name of its own, which smtplib would else look up in the DNS.
    client = progress.client = smtplib.SMTP(timeout=seconds, local_hostname=_our_name())
    try:
        # With the host, against which starttls checks the certificate; and what greets without 220 is refused.
        client._host = smtp.host  # type: ignore[attr-defined]
        code, said = client.connect(smtp.host, smtp.port)
        if code != 220:
            raise smtplib.SMTPConnectError(code, said)
        client.ehlo_or_helo_if_needed()
        if smtp.starttls:
            client.starttls(context=ssl.create_default_context())
            client.ehlo()
        if smtp.user_variable and smtp.password_variable:
            _log_in(client, smtp.user_variable, smtp.password_variable)
        progress.offer()
        refused = client.send_message(message, from_addr=alerts.sender, to_addrs=list(alerts.to))
        with suppress(smtplib.SMTPException, OSError):
            client.quit()
    finally:
        client.close()
    return "".join(f"; {address} was refused: {_answer(*said)}" for address, said in sorted(refused.items()))


def _log_in(client: smtplib.SMTP, user_variable: str, password_variable: str) -> None:
    values = []
    for name in (user_variable, password_variable):
        value = os.environ.get(name)
        if not value:
            raise MailError(f"the environment variable {name} is not set (alerts.smtp in the site file)")
        values.append(value)
    names = f"credentials from {user_variable} and {password_variable}"
    try:
        client.login(*values)
    except smtplib.SMTPResponseException as error:
        # Its words may repeat what was sent.
        raise MailError(f"the relay refuses the login with code {error.smtp_code}; {names}") from None
    except smtplib.SMTPNotSupportedError:
        raise MailError("the relay offers no login") from None
    except UnicodeError:
        raise MailError(f"not plain ASCII: {names}") from None
    except smtplib.SMTPException as error:
        raise MailError(f"no login: {type(error).__name__}; {names}") from None


def _by_program(program: str, message: EmailMessage, alerts: Alerts, seconds: float) -> str:
    """Hand a mail to a program that takes it as ``sendmail`` does."""
    found = shutil.which(program)
    if found is None:
        raise MailError(f"{program} is not in PATH (alerts.transport in the site file)")
    argv = [found, "-i", "-f", alerts.sender, "--", *alerts.to]
    env = {key: os.environ[key] for key in _PASSED_ON if key in os.environ} | {"LC_ALL": "C"}
    # Through files: a pipe would be read until the last grandchild closes it.
    with tempfile.TemporaryFile() as mail, tempfile.TemporaryFile() as said:
        mail.write(message.as_bytes(policy=policy.SMTP.clone(linesep="\n")))
        mail.seek(0)
        try:
            process = subprocess.Popen(argv, stdin=mail, stdout=said, stderr=said, env=env, start_new_session=True)
        except OSError as error:
            raise MailError(f"{found}: {error.strerror}") from None
        code = _wait(process, argv[0], seconds)
        said.seek(0)
        last = said.read(4096).decode("utf-8", "replace").strip()
    if code:
        raise MailError(f"{found} ends with {code}: {printable(last) or 'no word'}")
    return ""


def _wait(process: subprocess.Popen[bytes], name: str, seconds: float) -> int:
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        raise MailError(f"{name} has not ended within {seconds:.0f} s", may_have_left=True) from None
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _by_file(message: EmailMessage, place: Path | None) -> str:
    assert place is not None, "the settings have it with this transport"
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        box = mailbox.mbox(place)
        try:
            box.add(message.as_bytes())
            box.flush()
        finally:
            box.close()
    except (OSError, mailbox.Error) as error:
        raise MailError(f"{place}: {_reason(error)}") from None
    return ""


def _our_name() -> str:
    name = socket.gethostname()
    return name if name.isascii() and name and not set(name) & set(" \r\n") else "localhost"


def _reason(error: BaseException) -> str:
    """Why, in words that are safe to show."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return "no recipient is taken: " + "; ".join(
            f"{address}: {_answer(*said)}" for address, said in sorted(error.recipients.items())
        )
    if isinstance(error, smtplib.SMTPResponseException):
        return f"the relay says {_answer(error.smtp_code, error.smtp_error)}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {printable(error.verify_message)}"
    if isinstance(error, OSError) and error.strerror:
        return printable(error.strerror)
    return printable(str(error) or type(error).__name__)


def _answer(code: int, words: bytes | str) -> str:
    return f"{code} {printable(words)}"
