"""What the site file says of the archive, and of how long working copies are kept here."""

from datetime import timedelta
from typing import Annotated, Self

from pydantic import Field, model_validator

from aurora_platform.config.hosts import SshHost
from aurora_platform.config.types import Bound, Cron, Duration, Name, RemotePath, Settings
from aurora_platform.layout import ArchiveLayout


class Archive(Settings):
    """Where the copies go: hosts in order of preference over one shared file system."""

    hosts: tuple[SshHost, ...] = Field(min_length=1)
    raw: RemotePath
    products: RemotePath
    manifests: RemotePath | None = None
    """Where finalizations go; unset: ``manifests`` beside ``raw``."""
    replaced: RemotePath | None = None
    """Where earlier versions of finalized files are kept when they are replaced; unset: beside ``raw``."""
    name: Name = "gws"
    max_attempts: int = Field(default=5, ge=1, le=100)
    """A file that could not be copied so often is parked: shown, and not tried again until it changes."""
    local_pending: Duration = timedelta(minutes=10)
    """A younger file need not be here yet."""
    pending: Duration = timedelta(minutes=45)
    """A younger file need not be in the archive yet."""
    scrub: Bound = timedelta(days=90)
    """Each file is read again, on every side, at least that often."""
    prune_after: Annotated[Bound, Field(ge=timedelta(days=1))] = timedelta(days=7)
    """Nothing younger is ever named as a candidate for pruning."""
    evidence_valid: Bound = timedelta(days=2)
    """A day that was not listed for longer, on each of its sides, is no evidence."""
    keep_history: int = Field(default=48, ge=1, le=10_000)
    push_raw: Cron = "*/5 * * * *"
    push_core: Cron = "*/10 * * * *"
    push_wxcam: Cron = "*/30 * * * *"
    verify: Cron = "2-59/10 * * * *"  # after the push of the same five minutes has begun
    verify_at_least: Bound = timedelta(minutes=20)
    """Also where nothing changed here, the newest days are looked at again after that time."""

    @model_validator(mode="after")
    def _replaced_is_apart(self) -> Self:
        layout = ArchiveLayout.of(self)
        if self.replaced and (root := layout.root_of(self.replaced)):
            raise ValueError(f"replaced: outside of {root}; what is kept there would be taken for the archive's own")
        if "/" in layout.roots:
            raise ValueError("raw, products, manifests: a directory, and not the root of the archive's host")
        return self


class Retention(Settings):
    """How long working copies of raw files are kept here. Nothing is deleted where nothing stands here."""

    raw: dict[Name, Annotated[Bound, Field(ge=timedelta(days=30))]] = Field(default_factory=dict)
    """Stream -> age from which on its files may be deleted here, each one after its copy in the archive was read."""
    files_per_run: int = Field(default=500, ge=1, le=100_000)
