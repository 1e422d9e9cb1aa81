"""Settings of the archive, and of how long local copies are kept."""

from datetime import timedelta
from typing import Annotated, Any, Self

from pydantic import Field, ValidationInfo, model_validator

from aurora_platform.config.hosts import ArchiveDirectory, ArchiveHostSettings
from aurora_platform.config.types import Bound, Cron, Duration, Name, Percentage, RemotePath, Settings, resolved
from aurora_platform.layout import ArchiveLayout

_DIRECTORIES = ("raw", "products", "manifests", "versions")


class Archive(Settings):
    """The archive: hosts in order of preference, which share one file system."""

    hosts: tuple[ArchiveHostSettings, ...] = Field(min_length=1)
    raw: RemotePath
    products: RemotePath
    manifests: RemotePath | None = None
    """Directory for finalizations; unset: ``manifests`` beside ``raw``."""
    versions: RemotePath | None = None
    """Directory for earlier versions of finalized files that were replaced; unset: beside ``raw``."""
    name: Name = "gws"
    max_attempts: int = Field(default=5, ge=1, le=100)
    """A file is parked after this many failed attempts: reported, and not tried again until it changes."""
    local_pending: Duration = timedelta(minutes=10)
    """A younger file need not have a local copy yet."""
    pending: Duration = timedelta(minutes=45)
    """A younger file need not be in the archive yet."""
    read_back: Percentage = Field("1%", validate_default=True)
    """How many of the newly copied files are fetched again and hashed here, at least one per push; 0%: none."""
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
    verify_products: Cron = "37 * * * *"
    """When the products and the registered files are compared with their copies."""
    restore_drill: Cron | None = "17 3 * * 0"
    """When a random finalized day is fetched and compared with its manifest; null: never."""
    verify_at_least: Bound = timedelta(minutes=20)
    """The newest days are verified again after this time, even if no local file has changed."""

    @property
    def directory(self) -> ArchiveDirectory | None:
        """The host of kind ``local``; None if the archive is only reached over SSH."""
        return next((host for host in self.hosts if isinstance(host, ArchiveDirectory)), None)

    @model_validator(mode="before")
    @classmethod
    def _resolve_directories(cls, data: Any, info: ValidationInfo) -> Any:
        """Resolve the directories of an archive on this machine: they may be relative to the site file."""
        if not isinstance(data, dict) or not _has_local_host(data.get("hosts")):
            return data
        found = {}
        for key in _DIRECTORIES:
            if isinstance(data.get(key), str):
                try:
                    found[key] = str(resolved(data[key], info))
                except ValueError as error:
                    raise ValueError(f"{key}: {error}") from None
        return {**data, **found}

    @model_validator(mode="before")
    @classmethod
    def _take_earlier_name(cls, data: Any) -> Any:
        """Accept ``replaced``, the name of ``versions`` in site files of the version before.

        The last validator of this mode, so pydantic calls it first.
        """
        if not isinstance(data, dict) or "replaced" not in data:
            return data
        if "versions" in data:
            raise ValueError("replaced is the earlier name of versions: remove one of them")
        return {**{key: value for key, value in data.items() if key != "replaced"}, "versions": data["replaced"]}

    @model_validator(mode="after")
    def _has_one_directory(self) -> Self:
        if sum(host.is_local for host in self.hosts) > 1:
            raise ValueError("hosts: only one of kind local, because raw, products and manifests are the same for all")
        return self

    @model_validator(mode="after")
    def _versions_are_apart(self) -> Self:
        layout = ArchiveLayout.of(self)
        if self.versions and (root := layout.root_of(self.versions)):
            raise ValueError(f"versions: must be outside of {root}; earlier versions must not count as archived files")
        if "/" in layout.roots:
            raise ValueError("raw, products, manifests: must be a directory, not the root of the archive's host")
        return self


def _has_local_host(hosts: object) -> bool:
    """Whether hosts that are not validated yet have one of kind ``local``."""
    return isinstance(hosts, list | tuple) and any(
        isinstance(host, ArchiveDirectory) or (isinstance(host, dict) and host.get("kind") == "local") for host in hosts
    )


class Retention(Settings):
    """How long local copies of raw files are kept. Without a setting for a stream, none of its files is deleted."""

    raw: dict[Name, Annotated[Bound, Field(ge=timedelta(days=7))]] = Field(default_factory=dict)
    """Stream -> age from which its local copies may be deleted, each only after its copy in the archive was read."""
    schedule: Cron | None = None
    """When local copies are deleted; unset: only by ``aurora retire``."""
    files_per_run: int = Field(default=500, ge=1, le=100_000)
