"""A real SMTP relay for a test: it can be stopped, refuse mails, or require TLS and a login. Makes certificates too."""

from __future__ import annotations

import os
import ssl
import subprocess
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from aurora_simulator.ssh_server import free_port


class Relay:
    """Puts mails into :attr:`mails`. It keeps its port when it is stopped and started again."""

    def __init__(self, **options: Any) -> None:
        self.port = free_port()
        self.mails: list[EmailMessage] = []
        self.refusal: str | None = None
        """Its answer to each mail, instead of taking it."""
        self.unknown_recipients: set[str] = set()
        """Recipients that it refuses."""
        self._options = options
        self._controller: Controller | None = None

    def start(self) -> Relay:
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port, **self._options)
        self._controller.start()
        return self

    def stop(self) -> None:
        if self._controller is not None:
            self._controller.stop()
            self._controller = None

    @property
    def is_running(self) -> bool:
        return self._controller is not None

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.unknown_recipients:
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.refusal is not None:
            return self.refusal
        assert isinstance(envelope.content, bytes)
        message = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        self.mails.append(message)
        return "250 taken"

    @property
    def subjects(self) -> list[str]:
        return [str(mail["Subject"]) for mail in self.mails]


def text_of(mail: EmailMessage) -> str:
    plain = mail.get_body(("plain",))
    assert plain is not None
    return str(plain.get_content()).replace("\r\n", "\n")


def html_of(mail: EmailMessage) -> str:
    html = mail.get_body(("html",))
    assert html is not None
    return str(html.get_content()).replace("\r\n", "\n")


def make_tls_certificate(directory: Path) -> Path:
    """Make a self-signed certificate for 127.0.0.1; certificate and key are in one file."""
    file = directory / "relay.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", str(directory / "key"), "-out", str(directory / "cert"), "-days", "2"),
            *("-subj", "/CN=relay", "-addext", "subjectAltName=IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    file.write_bytes((directory / "key").read_bytes() + (directory / "cert").read_bytes())
    os.chmod(file, 0o600)
    return file


def with_login(pem: Path, user: str, password: str) -> Relay:
    """A relay that takes mails only after STARTTLS and a login."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)

    def authenticate(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        is_correct = isinstance(data, LoginPassword) and (data.login, data.password) == (
            user.encode(),
            password.encode(),
        )
        # Some relays repeat the credentials: an error message that quotes the answer would show them.
        return AuthResult(success=is_correct, handled=False, message=None if is_correct else f"535 {data}")

    return Relay(
        tls_context=context,
        require_starttls=True,
        auth_required=True,
        authenticator=authenticate,
        auth_require_tls=True,
    )
