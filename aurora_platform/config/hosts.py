"""How a host is reached: this machine, or another one over SSH. Settings of the site file."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from aurora_platform.config.types import Address, Login, Settings, UnquotedPath


class LocalHost(Settings):
    """This machine: the path is read directly, without ssh."""

    kind: Literal["local"]

    @property
    def where(self) -> str:
        """Its address and port; empty for this machine, which has none."""
        return ""


class SshHost(Settings):
    """A host that is reached over SSH.

    ``auth: none`` is SSH's own "none" method (Tailscale SSH answers it); ``auth: key`` offers ``identity`` and nothing
    else. A host key is accepted when new and refused when changed.
    """

    kind: Literal["ssh"] = "ssh"
    address: Address
    port: int = Field(22, ge=1, le=65535)
    user: Login
    auth: Literal["none", "key"]
    identity: UnquotedPath | None = None

    @property
    def where(self) -> str:
        """Its address and port."""
        return f"{self.address}:{self.port}"

    @model_validator(mode="after")
    def _identity_goes_with_key(self) -> Self:
        if (self.auth == "key") != (self.identity is not None):
            raise ValueError("identity (a private key file) goes with auth: key, and only with it")
        return self


Host = Annotated[LocalHost | SshHost, Field(discriminator="kind")]
