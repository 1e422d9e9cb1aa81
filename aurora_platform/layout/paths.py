"""Where everything is, here and in the archive: every directory and file that more than one part knows by its name.

Paths only: nothing is read, written or configured here. They are made of the roots that the site file names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path, PurePosixPath
from typing import Protocol

from aurora_platform.layout.keys import WXCAM, Side

# Directories in which we work, below a root or beside what they are for.
INCOMING = ".incoming"
"""Files in the making and cut ones to resume: of a mirror below the raw root, of a push in the archive."""
OUTGOING = ".outgoing"
"""Upload trees, one for each lane."""
QUARANTINE = ".quarantine"
"""Below the raw root: files that were not what source and archive have. Nothing here is deleted."""
STAGING = ".staging"
"""Products in the making."""
CLIPS = ".clips"
"""Clips that were converted for a video, of use for the next one."""
OUR_DIRECTORIES = frozenset({INCOMING, OUTGOING, QUARANTINE, STAGING})
"""No stream's raw directory has such a name."""

LEDGER, FIXITY = "ledger.sqlite", "evidence.sqlite"
CATALOG = "wxcam_catalog.sqlite"
VIDEOS, THUMBNAILS, LATEST_MP4 = "daily_videos", "hourly_thumbnails", "latest.mp4"
SUMMARY, CANDIDATES = "summary.json", "prune_candidates.tsv"
OPS_MONITOR = "ops_monitor"
ALERT_STATE, ALERT_EVENTS = "state.json", "alerts.jsonl"


def compact(day: date) -> str:
    """A day as it stands in file names: YYYYMMDD."""
    return day.strftime("%Y%m%d")


class Roots(Protocol):
    """The directories of this machine, as the site file has them (:class:`aurora_platform.config.site.Paths`)."""

    @property
    def raw(self) -> Path: ...
    @property
    def products(self) -> Path: ...
    @property
    def state(self) -> Path: ...
    @property
    def manifests(self) -> Path: ...


class RawDirectory(Protocol):
    """A stream, as far as paths go: its directory below a raw root, relative."""

    @property
    def raw(self) -> str: ...


class HasRoots(Protocol):
    """A site, as far as paths go (:class:`aurora_platform.config.site.Site`)."""

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
        """The working copies of a stream."""
        return self.raw / self.streams[stream]

    @property
    def locks(self) -> Path:
        return locks_directory(self.state)

    @property
    def known_hosts(self) -> Path:
        return self.state / "known_hosts"

    @property
    def ledger(self) -> Path:
        return self.state / LEDGER

    @property
    def fixity(self) -> Path:
        """The evidence: what is known of each file on each side."""
        return self.state / FIXITY

    def days_at_source(self, stream: str) -> Path:
        """When each day of a stream's source was last seen (:mod:`aurora_platform.streams.state`)."""
        return self.state / "sources" / f"{stream}.json"

    def freshness(self, stream: str) -> Path:
        """How new a stream's source is (:mod:`aurora_platform.streams.state`)."""
        return self.state / "freshness" / f"{stream}.json"

    def reconciliation(self, stream: str) -> Path:
        """What the reconciliation of a stream has asked for."""
        return self.state / "reconcile" / f"{stream}.json"

    @property
    def raw_quarantine(self) -> Path:
        return self.raw / QUARANTINE

    @property
    def camera(self) -> CameraLayout:
        """The sky camera; where the site has no such stream, there are no raw files of it."""
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
    """The stream's raw root; below it is a tree for each camera."""
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
    """Below the root of the manifests; the finalizations have the same relative paths in the archive."""

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

    @property
    def aside(self) -> Path:
        """What another system had left in ``latest``, and does not read."""
        return self.root / "aside"

    @property
    def staging(self) -> Path:
        return self.root / STAGING

    def finalized(self, stream: str) -> Path:
        """The finalizations of a stream."""
        return self.root / "finalized" / stream

    def finalization(self, stream: str, day: date) -> Path:
        return self.finalized(stream) / f"{day}_{stream}_finalized.yaml"

    def manifest(self, stream: str, day: date, revision: int) -> Path:
        """The manifest that belongs to a revision of a finalization."""
        return self.finalized(stream) / f"{day}_{stream}_manifest_r{revision}.tsv"

    def retired(self, stream: str) -> Path:
        """The log of the working copies that were deleted."""
        return self.root / "retired" / f"{stream}.jsonl"


def side_manifest(side: Side) -> str:
    """The name of the manifest of one side, in a stream's directory below ``latest``."""
    return f"{side}.tsv"


@dataclass(frozen=True)
class HealthLayout:
    """The health files, and those of the alerts."""

    raw: Path
    """``<raw>/ops_monitor``: snapshots."""
    products: Path
    """``<products>/ops_monitor``: what they mean."""

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


class ArchiveRoots(Protocol):
    """The directories of an archive, as the site file has them (:class:`aurora_platform.config.archive.Archive`)."""

    @property
    def raw(self) -> str: ...
    @property
    def products(self) -> str: ...
    @property
    def manifests(self) -> str | None: ...
    @property
    def replaced(self) -> str | None: ...


@dataclass(frozen=True)
class ArchiveLayout:
    """The directories of an archive, absolute on its hosts."""

    raw: str
    products: str
    manifests: str
    replaced: str
    """For earlier versions of what was replaced; in none of :attr:`roots`."""

    @classmethod
    def of(cls, archive: ArchiveRoots) -> ArchiveLayout:
        """The layout of an archive; what the site file does not name lies beside its ``raw``."""
        manifests = archive.manifests or str(PurePosixPath(archive.raw).parent / "manifests")
        layout = cls(
            archive.raw, archive.products, manifests, archive.replaced or f"{archive.raw.rstrip('/')}.replaced"
        )
        place = layout.replaced
        while root := layout.root_of(place):
            place = f"{root.rstrip('/')}.replaced"
        return cls(layout.raw, layout.products, layout.manifests, place)

    @property
    def roots(self) -> tuple[str, ...]:
        """The directories that files go to."""
        return tuple(sorted({self.raw, self.products, self.manifests}))

    def root_of(self, path: str) -> str | None:
        """The one of :attr:`roots` that a path is below."""
        return next((root for root in self.roots if PurePosixPath(path).is_relative_to(root)), None)

    def raw_root(self, stream: RawDirectory) -> str:
        """The copies of a stream."""
        return f"{self.raw}/{stream.raw}"

    @property
    def camera_products(self) -> str:
        return f"{self.products}/{WXCAM}"

    @property
    def catalog(self) -> str:
        return f"{self.camera_products}/{CATALOG}"

    @staticmethod
    def work(root: str, lane: str) -> str:
        """Where the files of a push are in the making that go below ``root``."""
        return f"{root.rstrip('/')}/{INCOMING}/{lane}"


def locks_directory(state: Path) -> Path:
    """Where the locks of a state directory are."""
    return state / "locks"


def version_file(state: Path) -> Path:
    """Where a state directory says which version of the layout it has."""
    return state / "layout.json"
