"""Paths on this machine and in the archive: every directory and file that several parts share.

Paths only: this module reads, writes and configures nothing. It builds them from the roots in the site file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Protocol

from aurora_platform.layout.keys import WXCAM, FinalizedKey, Side

# Working directories of Aurora, below a root or beside the files that they are for.
INCOMING = ".incoming"
"""Incomplete files, some to be resumed: of a mirror below the raw root, of a push in the archive."""
OUTGOING = ".outgoing"
"""Upload trees, one per lane."""
QUARANTINE = ".quarantine"
"""Below the raw root and that of the products: files that a repair has moved away. Nothing in it is deleted."""
STAGING = ".staging"
"""Incomplete products."""
CLIPS = ".clips"
"""Clips that were converted for a video; kept for the next one."""
OUR_DIRECTORIES = frozenset({INCOMING, OUTGOING, QUARANTINE, STAGING})
"""Names that must not occur in the raw directory of a stream."""

LEDGER, FIXITY = "ledger.sqlite", "evidence.sqlite"
CATALOG = "wxcam_catalog.sqlite"
VIDEOS, THUMBNAILS, LATEST_MP4 = "daily_videos", "hourly_thumbnails", "latest.mp4"
SUMMARY, CANDIDATES = "summary.json", "prune_candidates.tsv"
OPS_MONITOR = "ops_monitor"
ALERT_STATE, ALERT_EVENTS = "state.json", "alerts.jsonl"


def compact(day: date) -> str:
    """A day as in file names: YYYYMMDD."""
    return day.strftime("%Y%m%d")


class Roots(Protocol):
    """The directories on this machine, from the site file (:class:`aurora_platform.config.site.Paths`)."""

    @property
    def raw(self) -> Path: ...
    @property
    def products(self) -> Path: ...
    @property
    def state(self) -> Path: ...
    @property
    def manifests(self) -> Path: ...


class RawDirectory(Protocol):
    """The part of a stream that paths need: its directory relative to a raw root."""

    @property
    def raw(self) -> str: ...


class HasRoots(Protocol):
    """The part of a site that paths need (:class:`aurora_platform.config.site.Site`)."""

    @property
    def paths(self) -> Roots: ...
    @property
    def streams(self) -> Mapping[str, RawDirectory]: ...


@dataclass(frozen=True)
class Layout:
    """The files of one site on this machine."""

    raw: Path
    products: Path
    state: Path
    manifests: Path
    streams: Mapping[str, str]
    """Stream -> its directory below ``raw``."""

    @classmethod
    def of(cls, site: HasRoots) -> Layout:
        """The layout of a site."""
        paths, streams = site.paths, {name: stream.raw for name, stream in site.streams.items()}
        return cls(paths.raw, paths.products, paths.state, paths.manifests, streams)

    def raw_root(self, stream: str) -> Path:
        """The local copies of a stream."""
        return self.raw / self.streams[stream]

    @property
    def raw_roots(self) -> tuple[Path, ...]:
        """The raw root, and the local copies of each stream in it, which may be on other disks."""
        return (self.raw, *map(self.raw_root, self.streams))

    @property
    def locks(self) -> Path:
        return locks_directory(self.state)

    @property
    def known_hosts(self) -> Path:
        return self.state / "known_hosts"

    @property
    def file_systems(self) -> Path:
        """What the file systems of this machine give (:mod:`aurora_platform.fs.abilities`)."""
        return self.state / "file_systems.json"

    @property
    def ledger(self) -> Path:
        return self.state / LEDGER

    @property
    def fixity(self) -> Path:
        """The evidence: fixity records of every file on every side."""
        return self.state / FIXITY

    def sync_lock(self, stream: str) -> Path:
        """What a mirror pass of a stream holds against the timer of the older system, which locks this file."""
        return self.state / f"{stream}-sync.lock"

    def days_at_source(self, stream: str) -> Path:
        """When each day of a stream's source was last listed (:mod:`aurora_platform.streams.state`)."""
        return self.state / "sources" / f"{stream}.json"

    def freshness(self, stream: str) -> Path:
        """How new a stream's source is (:mod:`aurora_platform.streams.state`)."""
        return self.state / "freshness" / f"{stream}.json"

    def pass_counts(self, stream: str) -> Path:
        """The counts of a stream after its newest verification; the form is that of its entry in ``summary.json``."""
        return self.state / "verified" / f"{stream}.json"

    def reconciliation(self, stream: str) -> Path:
        """The runs that the reconciliation of a stream has requested."""
        return self.state / "reconcile" / f"{stream}.json"

    @property
    def restore_drill(self) -> Path:
        """The results of the last restore drills (:mod:`aurora_platform.archive.restore_drill`)."""
        return self.state / "restore_drill.json"

    @property
    def retention(self) -> Path:
        """The report of the last retention run (:mod:`aurora_platform.archive.retention_run`)."""
        return self.state / "retention.json"

    @property
    def raw_quarantine(self) -> Path:
        return self.raw / QUARANTINE

    @property
    def product_quarantine(self) -> Path:
        return self.products / QUARANTINE

    @property
    def camera(self) -> CameraLayout:
        """The sky camera; without such a stream in the site there are no raw files of it."""
        return CameraLayout(self.raw / self.streams.get(WXCAM, WXCAM), self.products / WXCAM)

    @property
    def finalizations(self) -> ManifestLayout:
        return ManifestLayout(self.manifests)

    @property
    def health(self) -> HealthLayout:
        return HealthLayout(self.raw / OPS_MONITOR, self.products / OPS_MONITOR)


@dataclass(frozen=True)
class CameraLayout:
    """The files of the sky camera."""

    raw: Path
    """The stream's raw root, with one tree per camera."""
    products: Path
    """``<products>/wxcam``."""

    @property
    def catalog(self) -> Path:
        return self.products / CATALOG

    @property
    def store(self) -> Path:
        return self.products / "wxcam.zarr"

    def pixels(self, camera: str, day: date) -> Path:
        return self.store / camera / compact(day)

    def video(self, camera: str, day: date) -> Path:
        return self.products / VIDEOS / camera / f"{compact(day)}.mp4"

    def latest_video(self, camera: str) -> Path:
        return self.products / VIDEOS / camera / LATEST_MP4

    def thumbnails(self, camera: str, day: date) -> Path:
        return self.products / THUMBNAILS / camera / compact(day)

    def conversions(self, camera: str) -> Path:
        return self.products / CLIPS / camera

    def converted_clips(self, camera: str, day: date) -> Path:
        return self.conversions(camera) / compact(day)

    @property
    def staging(self) -> Path:
        return self.products / STAGING


@dataclass(frozen=True)
class ManifestLayout:
    """The files of the manifests; the finalizations have the same relative paths in the archive."""

    root: Path

    @property
    def latest(self) -> Path:
        """The newest manifests of all streams."""
        return self.root / "latest"

    @property
    def summary(self) -> Path:
        return self.latest / SUMMARY

    @property
    def history(self) -> Path:
        return self.root / "history"

    def days(self, stream: str) -> Path:
        """The manifests of each day of a stream, of which ``latest`` and ``history`` are made."""
        return self.root / "days" / stream

    def day_manifests(self, stream: str, day: date) -> Path:
        """The directory of the manifests of a day."""
        return self.days(stream) / str(day)

    def day_manifest(self, stream: str, day: date, revision: int, side: Side) -> Path:
        """The manifest of one side of a day; a file of this name never changes."""
        return self.day_manifests(stream, day) / f"{revision}_{side_manifest(side)}"

    def vanished_manifest(self, stream: str, day: date, revision: int) -> Path:
        """The manifest of the files of a day that its source had and has no longer; only where there are any."""
        return self.day_manifests(stream, day) / f"{revision}_vanished.tsv"

    @property
    def aside(self) -> Path:
        """Files of another system that were in ``latest``; that system does not read them."""
        return self.root / "aside"

    @property
    def staging(self) -> Path:
        return self.root / STAGING

    def finalized(self, stream: str) -> Path:
        """The finalizations of a stream."""
        return self.root / "finalized" / stream

    def finalization(self, stream: str, day: FinalizedKey) -> Path:
        return self.finalized(stream) / f"{day}_{stream}_finalized.yaml"

    def manifest(self, stream: str, day: FinalizedKey, revision: int) -> Path:
        """The manifest of a revision of a finalization."""
        return self.finalized(stream) / f"{day}_{stream}_manifest_r{revision}.tsv"

    def retired(self, stream: str) -> Path:
        """The log of deleted local copies."""
        return self.root / "retired" / f"{stream}.jsonl"


def side_manifest(side: Side) -> str:
    """The name of the manifest of one side, in a stream's directory below ``latest``."""
    return f"{side}.tsv"


def history_manifest(side: Side, day: date) -> str:
    """The path of the manifest of one side of a day, in a stream's directory of an entry of ``history``."""
    return f"{side}/{day}.tsv"


@dataclass(frozen=True)
class HealthLayout:
    """The files of health and alerts."""

    raw: Path
    """``<raw>/ops_monitor``: snapshots."""
    products: Path
    """``<products>/ops_monitor``: assessments, reports and alerts."""

    @property
    def snapshot(self) -> Path:
        return self.raw / "latest.json"

    def snapshots(self, day: date) -> Path:
        """The snapshots of a day, one per line."""
        return self.raw / f"ops_monitor_{compact(day)}.jsonl"

    @property
    def directory(self) -> Path:
        return self.products / "health"

    @property
    def assessment(self) -> Path:
        return self.directory / "latest_health.json"

    @property
    def report(self) -> Path:
        return self.directory / "latest_report.md"

    def report_of(self, day: date) -> Path:
        return self.directory / f"health_report_{compact(day)}.md"

    @property
    def alerts(self) -> Path:
        return self.products / "alerts"


def locks_directory(state: Path) -> Path:
    """The lock directory of a state directory."""
    return state / "locks"


def listings_directory(state: Path) -> Path:
    """The names of local directories (:mod:`aurora_platform.transport.name_store`)."""
    return state / "listings"


def version_file(state: Path) -> Path:
    """The file with the layout version of a state directory."""
    return state / "layout.json"
