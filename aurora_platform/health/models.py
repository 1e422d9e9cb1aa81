"""The models of the health files: ``latest.json`` (the snapshot) and ``latest_health.json`` (its assessment).

Their JSON Schemas are in ``docs/schemas``, made from these models. A reader may rely on every field. Fields may be
added; none is removed or changes its meaning without a new ``schema_version``. Times are ISO 8601, UTC; ages are in
seconds; unknown values are null, and ``error`` or ``sentence`` has the reason.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from aurora_platform.report_fields import SHOWN


class Level(StrEnum):
    """A level of health. Gray is unknown, or planned offline."""

    GREEN = "green"
    AMBER = "amber"
    RED = "red"
    GRAY = "gray"


class _Record(BaseModel):
    # Unknown keys are ignored, so that this version can read files of later versions.
    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)


class Filesystem(_Record):
    """A file system, local or on a host."""

    name: str
    """``raw``, ``products``, ``state``, ``manifests``, ``archive raw``, ``host ass``, ..."""
    path: str
    total_bytes: int | None = None
    free_bytes: int | None = None
    used_percent: float | None = None
    inodes_used_percent: float | None = None
    """Null if the file system has no limit of inodes."""
    error: str | None = None


class Freshness(_Record):
    """The age of the newest data of a stream or product, in one place."""

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
    """Since when it has been stale or unknown."""


class Manifest(_Record):
    """The counts of the newest manifests of a stream, from ``summary.json``."""

    stream: str
    generated_at_utc: datetime | None = None
    age_s: float | None = None
    source_newest_utc: datetime | None = None
    """mtime of the newest file at the source when it was listed."""
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
    """A run of Dagster."""

    run_id: str
    job: str
    partition: str | None = None
    since_utc: datetime | None = None
    error: str | None = None


class Daemon(_Record):
    """A daemon of Dagster."""

    name: str
    healthy: bool
    last_heartbeat_utc: datetime | None = None


class Tick(_Record):
    """A sensor or schedule whose last tick failed."""

    name: str
    since_utc: datetime | None = None
    error: str


class OverdueTick(_Record):
    """A sensor or schedule that has missed three ticks in a row."""

    name: str
    last_tick_utc: datetime | None = None
    sentence: str


class FailedCheck(_Record):
    """An asset check with a failed result that still counts, or one that could not be evaluated."""

    asset: str
    """Its asset key, with slashes."""
    name: str
    level: Level
    """Red for severity ERROR; amber for WARN, and if it could not be evaluated."""
    stream: str | None = None
    """The stream that the asset holds or is made from."""
    partition: str | None = None
    """The bad partition, or the first and last of the range of one run; if there are many, the first few."""
    partitions_count: int = 0
    """How many partitions and ranges are bad; 0 if the run had no partition."""
    sentence: str
    """Description of the newest of its worst results."""
    since_utc: datetime | None = None
    """When the oldest bad partition failed for the first time since it last passed."""
    run_id: str | None = None
    is_evaluated: bool = True
    """False: its run failed before the check, so its result is unknown."""


class Platform(_Record):
    """The state of Dagster, from its own records."""

    failed_runs: list[Run] = Field(default_factory=list)
    """Failed runs of the last week, if no run of the same job and partition has succeeded since."""
    more_failed_runs: bool = False
    """Whether there are more failed runs than listed."""
    stuck_runs: list[Run] = Field(default_factory=list)
    queued_runs: int = 0
    oldest_queued_s: float | None = None
    daemons: list[Daemon] = Field(default_factory=list)
    failing_ticks: list[Tick] = Field(default_factory=list)
    overdue_ticks: list[OverdueTick] = Field(default_factory=list)
    """Only of daemons that run. A tick that has not ended for that long is overdue too."""
    failed_checks: list[FailedCheck] = Field(default_factory=list)
    """The worst first. Without ``is_fresh`` (see ``Snapshot.freshness``) and without ``nothing_is_red``."""
    failed_checks_count: int = 0
    """How many checks failed, including those that are not listed."""
    error: str | None = None


class HostState(_Record):
    """An instrument host, or a host of the archive."""

    name: str
    address: str
    reachable: bool
    clock_skew_s: float | None = None
    """Its clock minus the clock of this machine."""
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
    """The installed software."""

    version: str
    commit: str | None = None
    is_modified: bool | None = None
    python: str
    dagster: str


class RestoreDrill(_Record):
    """The last test restoration of a finalized day from the archive."""

    at_utc: datetime
    failed: bool
    last_success_utc: datetime | None = None
    last_success_day: str | None = None
    """Stream and UTC day."""


class RetentionRun(_Record):
    """The last scheduled deletion of local copies."""

    at_utc: datetime
    files: int
    bytes: int


class Snapshot(_Record):
    """``latest.json``: the observed state of a site. Levels are decided later, except those of freshness."""

    schema_version: Literal[1] = 1
    generated_at_utc: datetime
    site: str
    seconds: Annotated[float, SHOWN]
    """How long it took to take the snapshot."""
    filesystems: list[Filesystem] = Field(default_factory=list)
    freshness: list[Freshness] = Field(default_factory=list)
    manifests: list[Manifest] = Field(default_factory=list)
    platform: Platform = Platform()
    hosts: list[HostState] = Field(default_factory=list)
    pages: list[Page] = Field(default_factory=list)
    restore_drill: RestoreDrill | None = None
    retention: RetentionRun | None = None
    software: Software


class Check(_Record):
    """One line of the assessment."""

    level: Level
    component: str
    message: str
    details: str = ""
    """The stage, and the next step or the read-only command that shows more."""
    metrics: dict[str, float | int | str | None] = Field(default_factory=dict)
    affects_overall: bool = True


class Summary(_Record):
    """The number of checks per level."""

    checks: int
    red: Annotated[int, SHOWN]
    amber: Annotated[int, SHOWN]
    gray: Annotated[int, SHOWN]
    green: Annotated[int, SHOWN]


class Assessment(_Record):
    """``latest_health.json``: the assessment of a snapshot."""

    generated_at_utc: datetime
    phase: Literal["observe-only"] = "observe-only"
    automated_repairs_enabled: Literal[False] = False
    overall_level: Annotated[Level, SHOWN]
    summary: Summary
    observations: list[str]
    checks: list[Check]
