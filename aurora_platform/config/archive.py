"""Settings of the archive, and of how long local copies are kept."""

from datetime import timedelta
from typing import Annotated, Self

from pydantic import Field, model_validator

from aurora_platform.config.hosts import SshHost
from aurora_platform.config.types import Bound, Cron, Duration, Name, RemotePath, Settings
from aurora_platform.layout import ArchiveLayout


class Archive(Settings):
    """The archive: hosts in order of preference, which share one file system."""

    hosts: tuple[SshHost, ...] = Field(min_length=1)
    raw: RemotePath
    products: RemotePath
    manifests: RemotePath | None = None
    """Directory for finalizations; unset: ``manifests`` beside ``raw``."""
    replaced: RemotePath | None = None
    """Directory for earlier versions of finalized files that were replaced; unset: beside ``raw``."""
    name: Name = "gws"
    max_attempts: int = Field(default=5, ge=1, le=100)
    """A file is parked after this many failed attempts: reported, and not tried again until it changes."""
    local_pending: Duration = timedelta(minutes=10)
    """A younger file need not have a local copy yet."""
    pending: Duration = timedelta(minutes=45)
    """A younger file need not be in the archive yet."""
    scrub: Bound = timedelta(days=90)
    """Each file is read again, on every side, at least this often."""
    prune_after: Annotated[Bound, Field(ge=timedelta(days=1))] = timedelta(days=7)
    """Younger files are never candidates for pruning."""
    evidence_valid: Bound = timedelta(days=2)
    """A listing of a day that is older than this, on any side, is no evidence."""
    keep_history: int = Field(default=48, ge=1, le=10_000)
    publish_every: Annotated[Bound, Field(le=timedelta(minutes=30))] = timedelta(minutes=15)
    """A verification publishes the manifests of all streams where the published ones are older. The default leaves
    room for the time between two verifications: readers alarm where they are older than 30 minutes."""
    push_raw: Cron = "*/5 * * * *"
    push_core: Cron = "*/10 * * * *"
    push_wxcam: Cron = "*/30 * * * *"
    verify: Cron = "2-59/10 * * * *"  # after the push of the same five minutes has begun
    verify_at_least: Bound = timedelta(minutes=20)
    """The newest days are verified again after this time, even if no local file has changed."""

    @model_validator(mode="after")
    def _replaced_is_apart(self) -> Self:
        layout = ArchiveLayout.of(self)
        if self.replaced and (root := layout.root_of(self.replaced)):
            raise ValueError(f"replaced: must be outside of {root}; replaced files must not count as archived files")
        if "/" in layout.roots:
            raise ValueError("raw, products, manifests: must be a directory, not the root of the archive's host")
        return self


class Retention(Settings):
    """How long local copies of raw files are kept. Without a setting for a stream, none of its files is deleted."""

    raw: dict[Name, Annotated[Bound, Field(ge=timedelta(days=30))]] = Field(default_factory=dict)
    """Stream -> age from which its local copies may be deleted, each only after its copy in the archive was read."""
    files_per_run: int = Field(default=500, ge=1, le=100_000)
