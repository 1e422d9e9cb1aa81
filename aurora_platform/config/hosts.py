"""Settings of hosts: this machine, or another one over SSH."""

from typing import Annotated, ClassVar, Literal, Self, get_args

from pydantic import BeforeValidator, Field, model_validator

from aurora_platform.config.types import Address, Login, Settings, UnquotedPath


class HostSettings(Settings):
    """Settings common to all kinds of hosts. A kind is a subclass with a literal ``kind``, and part of :data:`Host`."""

    is_local: ClassVar[bool] = False
    """Whether its directories are on this machine: relative paths of streams are then relative to the site file."""

    @property
    def address_and_port(self) -> str:
        """Its address and port; empty if it has none."""
        return ""


class LocalHost(HostSettings):
    """This machine: the path is read directly, without ssh."""

    is_local = True
    kind: Literal["local"]


class ArchiveDirectory(LocalHost):
    """An archive in directories of this machine: a NAS that is mounted, or a second disk."""

    same_disk: bool = False
    """Allow the archive on the file system of ``paths.raw``: then one broken disk takes both copies."""

    @property
    def report_name(self) -> str:
        """Its name in reports."""
        return "this machine"


class SshHost(HostSettings):
    """A host over SSH.

    ``auth: none`` is SSH's own "none" method (Tailscale SSH accepts it); ``auth: key`` offers only the key
    ``identity``. A new host key is accepted, a changed one is refused.
    """

    kind: Literal["ssh"] = "ssh"
    address: Address
    port: int = Field(22, ge=1, le=65535)
    user: Login
    auth: Literal["none", "key"]
    identity: UnquotedPath | None = None

    @property
    def address_and_port(self) -> str:
        """Its address and port."""
        return f"{self.address}:{self.port}"

    @property
    def report_name(self) -> str:
        """Its name in reports: its address."""
        return self.address

    @model_validator(mode="after")
    def _identity_goes_with_key(self) -> Self:
        if (self.auth == "key") != (self.identity is not None):
            raise ValueError("identity (a private key file): set it if and only if auth is key")
        return self


Host = Annotated[LocalHost | SshHost, Field(discriminator="kind")]

KINDS: dict[str, type[HostSettings]] = {
    get_args(model.model_fields["kind"].annotation)[0]: model for model in get_args(get_args(Host)[0])
}
"""The kinds that a site file may name."""


def _with_kind(host: object) -> object:
    """A host of an archive without ``kind`` is of kind ``ssh``."""
    return {"kind": "ssh", **host} if isinstance(host, dict) else host


ArchiveHostSettings = Annotated[ArchiveDirectory | SshHost, Field(discriminator="kind"), BeforeValidator(_with_kind)]
"""A host of an archive."""
