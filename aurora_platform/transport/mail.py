"""Sends mails: through a relay over SMTP, by ``msmtp`` or ``sendmail``, or into a file. Every wait has a bound.

Failures are raised as :class:`~aurora_platform.errors.MailError`; its ``may_have_left`` is True if the mail may have
left nevertheless. No error or log holds credentials: a relay's answer to a login is not repeated.
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

_PASSED_VARIABLES = ("PATH", "HOME", "USER", "LOGNAME")  # no credentials for the mail program
_PROBE_SECONDS = 3.0  # s of the bound at most, to find out whether a relay answers
_PROGRAMS: tuple[Literal["msmtp", "sendmail"], ...] = ("msmtp", "sendmail")
# The relay refused: the mail has not left. After any other error while sending, it may have left.
_REFUSALS = (
    smtplib.SMTPResponseException,
    smtplib.SMTPRecipientsRefused,
    smtplib.SMTPNotSupportedError,
)


@dataclass(frozen=True)
class TransportChoice:
    """The transport for a mail, and the reason for this choice."""

    transport: Literal["smtp", "sendmail", "msmtp", "file"]
    reason: str

    def __str__(self) -> str:
        return f"{self.transport} ({self.reason})"


class Mailer:
    """Sends mails as configured in the site file; see :class:`aurora_platform.transport.protocols.MailTransport`."""

    def __init__(self, alerts: Alerts) -> None:
        self.alerts = alerts
        self.seconds = alerts.within.total_seconds()

    def choose(self) -> TransportChoice:
        """Choose the transport for a mail; for ``auto`` the first that is ready."""
        smtp = self.alerts.smtp
        if self.alerts.transport != "auto":
            target = {"smtp": f"{smtp.host}:{smtp.port}, ", "file": f"{self.alerts.file}, "}
            reason = target.get(self.alerts.transport, "") + "as configured in the site file"
            return TransportChoice(self.alerts.transport, reason)
        relay_problem = _relay_problem(smtp, min(_PROBE_SECONDS, self.seconds / 2))
        if relay_problem is None:
            return TransportChoice("smtp", f"{smtp.host}:{smtp.port} answers")
        for program in _PROGRAMS:
            if executable := shutil.which(program):
                return TransportChoice(program, f"found {executable}; {smtp.host}:{smtp.port} {relay_problem}")
        raise MailError(
            f"no transport for mail: {smtp.host}:{smtp.port} {relay_problem}, and neither msmtp nor sendmail is in "
            "PATH. Set alerts.transport and alerts.smtp in the site file."
        )

    def send(self, message: EmailMessage) -> str:
        """Hand a mail over within ``alerts.within`` and return the transport used; raises :class:`MailError`."""
        until = time.monotonic() + self.seconds
        choice = self.choose()
        left = max(0.1, until - time.monotonic())
        try:
            note = self._hand_over(choice, message, left)
        except OSError as error:
            # For example no temporary file, or no process: it is unknown how far the mail came.
            raise MailError(f"{choice}: {_reason(error)}", may_have_left=True) from None
        return f"{choice}{note}"

    def _hand_over(self, choice: TransportChoice, message: EmailMessage, seconds: float) -> str:
        if choice.transport == "smtp":
            return _send_by_smtp(message, self.alerts, seconds)
        if choice.transport == "file":
            return _append_to_file(message, self.alerts.file)
        return _send_by_program(choice.transport, message, self.alerts, seconds)


def _relay_problem(smtp: Smtp, seconds: float) -> str | None:
    """Why there is no relay at that port; None if one greets."""

    def greet() -> bytes:
        with socket.create_connection((smtp.host, smtp.port), timeout=seconds) as connection:
            greeting = connection.recv(512)
            with suppress(OSError):
                connection.sendall(b"QUIT\r\n")
            return greeting

    # In a thread, like the mail itself: resolving a name may take longer than any timeout of a socket.
    greeting = run_concurrently({"relay": greet}, within=seconds)["relay"]
    if isinstance(greeting, Exception):
        return f"does not answer ({_reason(greeting)})"
    return None if greeting.startswith(b"220") else "is not a relay that is ready"


@dataclass
class _Progress:
    """How far a mail has come, shared by the thread that sends it and the thread that waits."""

    client: smtplib.SMTP | None = field(default=None, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _is_offered: bool = False
    _is_given_up: bool = False

    def offer(self) -> None:
        """Record that the relay will get the mail now; raises if the waiting thread has given up."""
        with self._lock:
            if self._is_given_up:
                raise MailError("too late")
            self._is_offered = True

    def give_up(self) -> bool:
        """Stop sending; returns whether the relay may have the mail."""
        with self._lock:
            self._is_given_up = True
        if self.client is not None and self.client.sock is not None:
            # So that the sending thread ends as well.
            with suppress(OSError):
                self.client.sock.shutdown(socket.SHUT_RDWR)
        return self._is_offered


def _send_by_smtp(message: EmailMessage, alerts: Alerts, seconds: float) -> str:
    progress = _Progress()
    relay = f"{alerts.smtp.host}:{alerts.smtp.port}"
    outcome = run_concurrently({"mail": lambda: _smtp_session(message, alerts, seconds, progress)}, within=seconds)
    end = outcome["mail"]
    if isinstance(end, str):
        return end
    may_have_left = progress.give_up() and not isinstance(end, _REFUSALS)
    if isinstance(end, MailError):
        raise end from None
    # Without the chain: the frames of a login hold the credentials.
    raise MailError(f"{relay}: {_reason(end)}", may_have_left=may_have_left) from None


def _smtp_session(message: EmailMessage, alerts: Alerts, seconds: float, progress: _Progress) -> str:
    """Run the whole SMTP session; returns a note on recipients that were refused."""
    smtp = alerts.smtp
    # With a host name: otherwise smtplib looks it up in the DNS.
    client = progress.client = smtplib.SMTP(timeout=seconds, local_hostname=_local_hostname())
    try:
        # starttls checks the certificate against this host name. A greeting other than 220 is an error.
        client._host = smtp.host  # type: ignore[attr-defined]
        code, greeting = client.connect(smtp.host, smtp.port)
        if code != 220:
            raise smtplib.SMTPConnectError(code, greeting)
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
    return "".join(f"; {address} was refused: {_answer(*answer)}" for address, answer in sorted(refused.items()))


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
        # Without the relay's text: it may repeat the credentials.
        raise MailError(f"the relay refuses the login with code {error.smtp_code}; {names}") from None
    except smtplib.SMTPNotSupportedError:
        raise MailError("the relay offers no login") from None
    except UnicodeError:
        raise MailError(f"not plain ASCII: {names}") from None
    except smtplib.SMTPException as error:
        raise MailError(f"the login failed: {type(error).__name__}; {names}") from None


def _send_by_program(program: str, message: EmailMessage, alerts: Alerts, seconds: float) -> str:
    """Hand a mail to a program with the arguments of ``sendmail``."""
    executable = shutil.which(program)
    if executable is None:
        raise MailError(f"{program} is not in PATH (alerts.transport in the site file)")
    argv = [executable, "-i", "-f", alerts.sender, "--", *alerts.to]
    env = {key: os.environ[key] for key in _PASSED_VARIABLES if key in os.environ} | {"LC_ALL": "C"}
    # Through files: a pipe would be read until the last grandchild closes it.
    with tempfile.TemporaryFile() as mail, tempfile.TemporaryFile() as output:
        mail.write(message.as_bytes(policy=policy.SMTP.clone(linesep="\n")))
        mail.seek(0)
        try:
            process = subprocess.Popen(argv, stdin=mail, stdout=output, stderr=output, env=env, start_new_session=True)
        except OSError as error:
            raise MailError(f"{executable}: {error.strerror}") from None
        code = _wait(process, argv[0], seconds)
        output.seek(0)
        text = output.read(4096).decode("utf-8", "replace").strip()
    if code:
        raise MailError(f"{executable} ended with exit code {code}: {printable(text) or 'no message'}")
    return ""


def _wait(process: subprocess.Popen[bytes], name: str, seconds: float) -> int:
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        raise MailError(f"{name} did not end within {seconds:.0f} s", may_have_left=True) from None
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _append_to_file(message: EmailMessage, file: Path | None) -> str:
    assert file is not None, "the settings require it for this transport"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        box = mailbox.mbox(file)
        try:
            box.add(message.as_bytes())
            box.flush()
        finally:
            box.close()
    except (OSError, mailbox.Error) as error:
        raise MailError(f"{file}: {_reason(error)}") from None
    return ""


def _local_hostname() -> str:
    name = socket.gethostname()
    return name if name.isascii() and name and not set(name) & set(" \r\n") else "localhost"


def _reason(error: BaseException) -> str:
    """The reason of an error, safe to show."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return "the relay refuses all recipients: " + "; ".join(
            f"{address}: {_answer(*answer)}" for address, answer in sorted(error.recipients.items())
        )
    if isinstance(error, smtplib.SMTPResponseException):
        return f"the relay answers {_answer(error.smtp_code, error.smtp_error)}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {printable(error.verify_message)}"
    if isinstance(error, OSError) and error.strerror:
        return printable(error.strerror)
    return printable(str(error) or type(error).__name__)


def _answer(code: int, text: bytes | str) -> str:
    return f"{code} {printable(text)}"
