"""Settings of health and alerts."""

import re
from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from aurora_platform.config.types import Address, Bound, Cron, Name, Settings, SitePath, matching

_MAIL = re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_URL = re.compile(r"https?://[^\s]+")

MailAddress = Annotated[str, matching(_MAIL, "must be a mail address: name@example.org")]
VariableName = Annotated[
    str, matching(_VARIABLE, "must be the name of an environment variable (letters, digits and _), not the secret")
]
WebAddress = Annotated[str, matching(_URL, "must be a web address: http://… or https://…")]


class Endpoint(Settings):
    """A web page of the site that should be available."""

    url: WebAddress
    title: str | None = None
    """Text that the page's title must contain; unset: any."""


class Health(Settings):
    """When health is measured, and the limits for warnings (amber) and errors (red)."""

    every: Cron = "*/5 * * * *"
    within: Bound = timedelta(seconds=30)
    """A snapshot takes no longer than this, whatever is down."""
    disk_amber: int = Field(default=80, ge=1, le=100)
    """Percent of space or inodes in use."""
    disk_red: int = Field(default=90, ge=1, le=100)
    manifests_amber: Bound = timedelta(minutes=30)
    manifests_red: Bound = timedelta(hours=3)
    stuck_after: Bound = timedelta(hours=6)
    """A run that takes longer is reported."""
    queued_after: Bound = timedelta(minutes=30)
    """A live run that is queued for longer is reported."""
    clock_amber: Bound = timedelta(seconds=30)
    """How far a host's clock may be off."""


class Smtp(Settings):
    """A mail relay. Its credentials are in the environment variables of these names."""

    host: Address = "127.0.0.1"
    port: int = Field(default=25, ge=1, le=65535)
    starttls: bool = False
    user_variable: VariableName | None = None
    password_variable: VariableName | None = None

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.user_variable is None) != (self.password_variable is None):
            raise ValueError("set both user_variable and password_variable, or neither")
        if self.user_variable is not None and not self.starttls:
            raise ValueError("credentials need starttls: true; without it they would be sent unencrypted")
        return self


class Alerts(Settings):
    """Who gets mails, when, and how they leave this machine."""

    to: tuple[MailAddress, ...] = Field(min_length=1)
    sender: MailAddress
    transport: Literal["auto", "smtp", "sendmail", "msmtp", "file"] = "auto"
    smtp: Smtp = Smtp()
    file: SitePath | None = None
    """For ``transport: file``: mails are appended here."""
    within: Bound = timedelta(seconds=20)
    """Time limit for handing over a mail."""
    repeat: Bound = timedelta(hours=12)
    disk_percent: int = Field(default=80, ge=1, le=100)
    manifests_after: Bound = timedelta(minutes=30)
    source_after: Bound = timedelta(hours=3)
    archive_after: Bound = timedelta(hours=3)
    checks_after: Bound = timedelta(minutes=30)

    @model_validator(mode="after")
    def _file_goes_with_its_transport(self) -> Self:
        if (self.transport == "file") != (self.file is not None):
            raise ValueError("set file if and only if transport is file")
        return self


Endpoints = dict[Name, Endpoint]
