"""The files that others read: ``latest.json`` (what was seen) and ``latest_health.json`` (what it means).

Their JSON Schemas are in ``docs/schemas``, made from these models. A reader may rely on every field that is here; new
fields may come, none goes or changes its meaning without a new ``schema_version``. Times are ISO 8601, UTC; ages are
seconds; what could not be seen is null, with the reason beside it.
"""

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Level(StrEnum):
    """How something stands. Gray is not known, or not expected to work."""

    GREEN = "green"
    AMBER = "amber"
    RED = "red"
    GRAY = "gray"


class _Record(BaseModel):
    # Extra keys are allowed, so that a reader of today takes files of tomorrow.
    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)


class Filesystem(_Record):
    """A file system, here or on a host."""

    name: str
    """``raw``, ``products``, ``state``, ``manifests``, ``archive raw``, ``host ass``, ..."""
    path: str
    total_bytes: int | None = None
    free_bytes: int | None = None
    used_percent: float | None = None
    inodes_used_percent: float | None = None
    """Null where the file system has no such limit."""
    error: str | None = None


class Freshness(_Record):
    """How new the newest data of something is, in one place."""

    name: str
    """``cl61 source``, ``cl61 here``, ``cl61 archive``, ``wxcam/fish_hdr/pixels``"""
    component: Literal["source", "here", "archive", "product"]
    stream: str
    newest_utc: datetime | None = None
    age_s: float | None = None
    stale_after_s: float
    level: Level
    sentence: str
    since_utc: datetime | None = None
    """Since when it is stale or unknown."""


class Manifest(_Record):
    """The newest manifests of a stream, as ``summary.json`` counts them."""

    stream: str
    generated_at_utc: datetime | None = None
    age_s: float | None = None
    source_newest_utc: datetime | None = None
    """mtime of the newest file there when it was listed."""
    gws_newest_utc: datetime | None = None
    source_count: int = 0
    local_count: int = 0
    gws_count: int = 0
    local_missing_count: int = 0
    local_mismatch_count: int = 0
    gws_missing_count: int = 0
    gws_mismatch_count: int = 0
    pending_count: int = 0
    days: int = 0
    days_complete: int = 0
    prune_ready: bool = False
    errors: dict[str, str] = Field(default_factory=dict)


class Run(_Record):
    """A run of Dagster's that is shown."""

    run_id: str
    job: str
    partition: str | None = None
    since_utc: datetime | None = None
    error: str | None = None


class Daemon(_Record):
    """A daemon of Dagster's."""

    name: str
    healthy: bool
    last_heartbeat_utc: datetime | None = None


class Tick(_Record):
    """A sensor or schedule whose last tick failed."""

    name: str
    since_utc: datetime | None = None
    error: str


class OverdueTick(_Record):
    """A sensor or schedule of which three ticks in a row have not come."""

    name: str
    last_tick_utc: datetime | None = None
    sentence: str


class FailedCheck(_Record):
    """An asset check of which a bad result stands, or that could not be evaluated."""

    asset: str
    """Its asset key, with slashes."""
    name: str
    level: Level
    """Red by an error, amber by a warning and where it could not be evaluated."""
    stream: str | None = None
    """The stream whose data the asset is, or is made from."""
    partition: str | None = None
    """What is bad: a partition, or the first and the last of a range that one run was about; of many the first few."""
    partitions_count: int = 0
    """How many partitions and ranges are bad; none where the run had no partition."""
    sentence: str
    """What the newest of its worst results says."""
    since_utc: datetime | None = None
    """When the oldest of what is bad failed for the first time since it passed last."""
    run_id: str | None = None
    is_evaluated: bool = True
    """False: its run failed before it, and what it would say is not known."""


class Platform(_Record):
    """Dagster, as its own records show it."""

    failed_runs: list[Run] = Field(default_factory=list)
    """Of the last week, where nothing has succeeded for the same job and partition since."""
    more_failed_runs: bool = False
    """Whether there are more of these than are listed."""
    stuck_runs: list[Run] = Field(default_factory=list)
    queued_runs: int = 0
    oldest_queued_s: float | None = None
    daemons: list[Daemon] = Field(default_factory=list)
    failing_ticks: list[Tick] = Field(default_factory=list)
    overdue_ticks: list[OverdueTick] = Field(default_factory=list)
    """Of daemons that run. One that goes on for so long is overdue too."""
    failed_checks: list[FailedCheck] = Field(default_factory=list)
    """The worst first. Without ``is_fresh``, which are the freshness above, and without ``nothing_is_red``."""
    failed_checks_count: int = 0
    """How many there are, also of those that are not listed."""
    error: str | None = None


class HostState(_Record):
    """An instrument host, or one of the archive."""

    name: str
    address: str
    reachable: bool
    clock_skew_s: float | None = None
    """Its clock less ours."""
    error: str | None = None


class Page(_Record):
    """An endpoint of the site."""

    name: str
    url: str
    status: int | None = None
    seconds: float | None = None
    title: str | None = None
    error: str | None = None


class Software(_Record):
    """What runs here."""

    version: str
    commit: str | None = None
    is_modified: bool | None = None
    python: str
    dagster: str


class Snapshot(_Record):
    """``latest.json``: everything that was seen, without a judgement but for ages."""

    schema_version: Literal[1] = 1
    generated_at_utc: datetime
    site: str
    seconds: float
    """How long the look took."""
    filesystems: list[Filesystem] = Field(default_factory=list)
    freshness: list[Freshness] = Field(default_factory=list)
    manifests: list[Manifest] = Field(default_factory=list)
    platform: Platform = Platform()
    hosts: list[HostState] = Field(default_factory=list)
    pages: list[Page] = Field(default_factory=list)
    software: Software


class Check(_Record):
    """One line of the assessment."""

    level: Level
    component: str
    message: str
    details: str = ""
    """The stage that broke, and the read-only command that shows more."""
    metrics: dict[str, float | int | str | None] = Field(default_factory=dict)
    affects_overall: bool = True


class Summary(_Record):
    """How many checks stand how."""

    checks: int
    red: int
    amber: int
    gray: int
    green: int


class Assessment(_Record):
    """``latest_health.json``: what a snapshot means."""

    generated_at_utc: datetime
    phase: Literal["observe-only"] = "observe-only"
    automated_repairs_enabled: Literal[False] = False
    overall_level: Level
    summary: Summary
    observations: list[str]
    checks: list[Check]
