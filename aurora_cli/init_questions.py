"""How ``aurora init`` asks: by an option, by a default (``--yes``), or by a question to a person."""

import getpass
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import click
from pydantic import TypeAdapter, ValidationError

from aurora_cli.console import print_line
from aurora_platform.config.hosts import LocalHost, SshHost
from aurora_platform.config.types import Address, Contact, Login, Name, UnquotedPath
from aurora_platform.fs.atomic import nearest

THIS_MACHINE = "here"
_KEYS = ("~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa")
_ADDRESS_PORT = re.compile(r"\[(?P<six>[^\]]+)\](?::(?P<port6>\d{1,5}))?|(?P<name>[^:]+)(?::(?P<port>\d{1,5}))?")


@dataclass
class Questions:
    """The questions of one command: what options have answered, and whether anybody can be asked."""

    given: dict[str, Any]
    """Answers by option; None where it was not given."""
    is_asked: bool
    takes_defaults: bool = False
    missing: list[str] = field(default_factory=list)

    @property
    def is_interactive(self) -> bool:
        """Whether a person answers, who may answer again."""
        return self.is_asked and not self.takes_defaults

    def ask[Answer](self, key: str, text: str, parse: Callable[[str], Answer], default: str | None = None) -> Answer:
        """The answer to one question; asked again until ``parse`` takes it.

        Raises
        ------
        click.ClickException
            Where nobody can be asked, and neither an option nor a default answers.
        """
        while True:
            answer = self.given.get(key)
            if answer is None and self.takes_defaults:
                answer = default
            if answer is None:
                if not self.is_interactive:
                    raise click.UsageError(
                        f"missing: {option(key)} ({text}). Nobody can be asked: stdin is no terminal, or --yes"
                    )
                answer = click.prompt(text, default=default, show_default=default != "")
            try:
                return parse(str(answer))
            except (ValueError, ValidationError) as error:
                self.again(key, f"{option(key)} {str(answer)!r}: {_reason(error)}")

    def again(self, key: str, error: str) -> None:
        """Say what is wrong with an answer, and forget it; where nobody can answer again, the command ends with it."""
        if not self.is_interactive:
            raise click.ClickException(error)
        print_line(error, "red", to_stderr=True)
        self.given[key] = None

    def confirm(self, text: str) -> bool:
        """Whether the operator agrees; yes, where nobody is asked."""
        return not self.is_interactive or click.confirm(text, default=True)


def option(key: str) -> str:
    """An answer's option, as one types it."""
    return f"--{key.replace('_', '-')}"


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return str(error.errors(include_url=False)[0]["msg"]).removeprefix("Value error, ")
    return str(error)


def require(given: Mapping[str, Any], keys: Mapping[str, str]) -> None:
    """End the command with all options that are missing, where nobody can be asked."""
    missing = [f"  {option(key)}: {text}" for key, text in keys.items() if given.get(key) is None]
    if missing:
        lines = "\n".join(missing)
        raise click.UsageError(f"stdin is no terminal, so nobody can be asked. Give these options, or --yes:\n{lines}")


def name(text: str) -> str:
    """The name of a site or stream."""
    found: str = TypeAdapter(Name).validate_python(text)
    return found


def contact(text: str) -> str | None:
    """A mail address or team; None for an empty answer."""
    found: str | None = TypeAdapter(Contact).validate_python(text) if text else None
    return found


def directory(text: str) -> Path:
    """A directory of this machine, absolute; it need not exist."""
    found: Path = TypeAdapter(UnquotedPath).validate_python(text)
    if not nearest(found).is_dir():
        raise ValueError(f"{nearest(found)} is not a directory")
    return found


def free_space(path: Path) -> str:
    """Free space on the disk of a directory, which need not exist."""
    existing = nearest(path)
    try:
        usage = shutil.disk_usage(existing)
    except OSError as error:
        return f"{existing}: {error.strerror}"
    return f"{usage.free / 1e9:.1f} GB free of {usage.total / 1e9:.1f} GB"


class Place(NamedTuple):
    """Where a host is; without an address it is this machine."""

    address: str = ""
    port: int = 22


def place(text: str) -> Place:
    """``here``, or ``address[:port]``; an IPv6 address with a port stands in brackets."""
    if text in (THIS_MACHINE, "local", "localhost"):
        return Place()
    if text.count(":") > 1 and not text.startswith("["):
        address, port = text, None
    else:
        match = _ADDRESS_PORT.fullmatch(text)
        if match is None:
            raise ValueError(
                f"{THIS_MACHINE}, or an address with or without a port: 192.0.2.7, camera.example.org:2222"
            )
        address, port = match["six"] or match["name"], match["port6"] or match["port"]
    number = int(port or 22)
    if not 1 <= number <= 65535:
        raise ValueError("a port goes from 1 to 65535")
    return Place(TypeAdapter(Address).validate_python(address), number)


def host_of(questions: Questions) -> LocalHost | SshHost:
    """Ask for a host: its address, and how to log in."""
    found = questions.ask("host", f"Host of the files ({THIS_MACHINE}, or address[:port])", place, THIS_MACHINE)
    if not found.address:
        return LocalHost(kind="local")
    user = questions.ask("user", f"User on {found.address}", _login, getpass.getuser())
    default = next((key for key in _KEYS if Path(key).expanduser().is_file()), "none")
    key = questions.ask("auth", "Login by: none (as Tailscale SSH), or a private key file", _key_file, default)
    try:
        return SshHost(address=found.address, port=found.port, user=user, auth="key" if key else "none", identity=key)
    except ValidationError as error:
        raise click.ClickException(_reason(error)) from None


def _login(text: str) -> str:
    found: str = TypeAdapter(Login).validate_python(text)
    return found


def _key_file(text: str) -> Path | None:
    if text == "none":
        return None
    found: Path = TypeAdapter(UnquotedPath).validate_python(text)
    if not found.is_file():
        raise ValueError(f"no such file; write `none`, or make a key with: ssh-keygen -t ed25519 -f {found}")
    return found


def remote_path(text: str) -> str:
    """An absolute path of any machine."""
    if not text.startswith("/") or not text.isprintable():
        raise ValueError("an absolute path without control characters, as /home/aurora/data")
    return text.rstrip("/") or "/"
