"""Collects what is recorded of products: the catalogue, videos, thumbnails and pixels, and other product files."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from operator import attrgetter
from pathlib import Path

from aurora_platform import cameras
from aurora_platform.archive.ledger import Row
from aurora_platform.archive.readonly import ReadOnlyRecords
from aurora_platform.archive.selection import collection_of
from aurora_platform.cameras import recipes
from aurora_platform.cameras.catalog import Media, day_media, day_unreadable, media_between, newest_clips, open_readonly
from aurora_platform.cameras.filenames import epoch_ns
from aurora_platform.cameras.hours import HOUR, is_closed, is_complete, published
from aurora_platform.cameras.raw_tree import scan_day
from aurora_platform.cameras.video_inputs import read_inputs, read_no_video_record
from aurora_platform.cameras.workspace import CameraWorkspace
from aurora_platform.fs.versions import FileVersion, data_version
from aurora_platform.layout import (
    CORE_PRODUCTS,
    DAILY_VIDEO,
    HOURLY_THUMBNAILS,
    LATEST_VIDEO,
    PIXELS,
    WXCAM,
    WXCAM_PRODUCTS,
    ArchiveLayout,
)
from aurora_platform.layout.key_parts import KeyParts
from aurora_platform.operations.explain_answer import Context, Product, written
from aurora_platform.operations.explain_next import CORE_PUSH, WXCAM_PUSH
from aurora_platform.operations.explain_period import begin_of
from aurora_platform.operations.explain_product_proof import ProductRecords, read_product_records
from aurora_platform.operations.explain_question import QuestionError
from aurora_platform.text import counted, printable

_PRODUCT, _CATALOGUE = OWN_SECTIONS = ("product", "catalogue")


@dataclass
class ProductFacts:
    """Everything that is known of a product."""

    path: str
    """Relative to ``paths.products``."""
    version: FileVersion | None = None
    data_version: str = ""
    current_version: str = ""
    """The data version of the inputs as they are now."""
    inputs: int | None = None
    excluded: Mapping[str, str] = field(default_factory=dict)
    unreadable: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    """Why there is no product."""
    has_partition: bool = True
    """Whether the file has anything of the partition: the catalogue is one file for all days."""
    made_at: datetime | None = None
    """When the partition was made, where the mtime of the file does not say it."""
    has_inputs: bool = True
    """Whether there is anything that it can be made from."""
    copied_by: str | None = WXCAM_PUSH
    """The schedule that copies it to the archive; None: it is not copied."""
    is_other: bool = False
    """Whether the partition has been made, and this is not its file."""
    is_directory: bool = False
    """Whether ``path`` is the directory that the product will be in: its name is not chosen yet."""
    row: Row | None = None
    records: ProductRecords | None = None
    """What the verifications know of it."""

    @property
    def is_made(self) -> bool:
        """Whether there is a product of the partition."""
        return self.version is not None and self.has_partition and not self.is_other

    @property
    def product(self) -> Product:
        """What the answer shows of it."""
        excluded = {**self.excluded, **self.unreadable}
        size = self.version.size if self.version else None
        return Product(printable(self.path), size, self.data_version, self.inputs, excluded)


def collect_camera_product(
    context: Context, parts: KeyParts, partition: str | None, path: str | None = None
) -> ProductFacts:
    """Collect the facts of a partition of a camera product; ``path``: of the file that was asked for.

    Raises
    ------
    QuestionError
        If no collector below knows this kind of product.
    """
    workspace = CameraWorkspace.of(context.site)
    day = date.fromisoformat(partition[:10]) if partition else context.now.date()
    collectors: dict[str, Callable[[], ProductFacts]] = {
        "catalog": lambda: _catalog(workspace, day),
        DAILY_VIDEO: lambda: _video(context, workspace, parts, day),
        LATEST_VIDEO: lambda: _video(context, workspace, parts, None),
        PIXELS: lambda: _pixels(workspace, parts, day),
        HOURLY_THUMBNAILS: lambda: _thumbnail(context, workspace, parts, partition or "", path),
    }
    if parts.kind not in collectors:
        raise QuestionError(f"{parts.kind}: aurora explain does not know this product; open its asset in the UI")
    layout, camera = context.layout.camera, str(parts.camera)
    files = {PIXELS: layout.pixels(camera, day), DAILY_VIDEO: layout.video(camera, day)}
    facts = context.attempt(_PRODUCT, collectors[parts.kind], None, files.get(parts.kind, layout.catalog))
    if facts is None:
        facts = ProductFacts("/".join(filter(None, (WXCAM, parts.camera, parts.kind))))
    _add_records(context, facts)
    return facts


def collect_file(context: Context, path: str) -> ProductFacts:
    """Collect the facts of a product file that is not the camera's."""
    facts = ProductFacts(path)
    facts.version = context.attempt(_PRODUCT, lambda: _version_of(context.site.paths.products / path), None)
    facts.copied_by = _copied_by(context, path)
    _add_records(context, facts)
    return facts


def _copied_by(context: Context, path: str) -> str | None:
    """The schedule that copies a file; None: no schedule."""
    collection = collection_of(path, context.site.streams)
    return None if collection is None else {CORE_PRODUCTS: CORE_PUSH, WXCAM_PRODUCTS: WXCAM_PUSH}[collection]


def _version_of(path: Path) -> FileVersion | None:
    try:
        return FileVersion.of(path.lstat())
    except (FileNotFoundError, NotADirectoryError):
        return None


def _add_records(context: Context, facts: ProductFacts) -> None:
    """Add what is recorded of a file that is copied to the archive: in the ledger, and by the verifications."""
    if facts.copied_by is not None:
        facts.records = read_product_records(context, facts.path)
        context.attempt("ledger", lambda: _read_ledger(context, facts), None, context.layout.ledger)


def _read_ledger(context: Context, facts: ProductFacts) -> None:
    archive = context.site.archive
    records = ReadOnlyRecords(context.site)
    if archive is None or not records.layout.ledger.exists():
        return
    with records.ledger() as ledger:
        facts.row = ledger.row(archive.name, f"{ArchiveLayout.of(archive).products}/{facts.path}")


def _relative(workspace: CameraWorkspace, path: Path) -> str:
    return f"{WXCAM}/{path.relative_to(workspace.layout.products)}"


def _version_now(recipe: str, media: list[Media]) -> str:
    return data_version(recipe, (item.scanned for item in media if item.is_unchanged()))


def _catalog(workspace: CameraWorkspace, day: date) -> ProductFacts:
    layout = workspace.layout
    facts = ProductFacts(_relative(workspace, layout.catalog), _version_of(layout.catalog))
    if facts.version is None:
        facts.note = f"there is no catalogue yet ({layout.catalog})"
        facts.has_inputs = any(scan_day(layout.raw, day))
        return facts
    with open_readonly(layout.catalog) as db:
        media, unreadable = day_media(db, day), day_unreadable(db, layout.raw, day)
        facts.made_at = _indexed_at(db, day)
    facts.inputs = len(media)
    facts.unreadable = {os.path.relpath(path, layout.raw): row.reason for path, row in unreadable.items()}
    if media:
        by_path = sorted((item.scanned for item in media), key=attrgetter("path"))
        facts.data_version = facts.current_version = data_version(recipes.CATALOG, by_path)
    listed = {media_file.raw_path: media_file.version for media_file in media}
    listed |= {path: row.version for path, row in unreadable.items()}
    local = {file.raw_path: file.scanned.version for file in scan_day(layout.raw, day)}
    behind = sum(listed.get(path) != version for path, version in local.items()) + len(listed.keys() - local.keys())
    facts.has_partition, facts.has_inputs = bool(listed), bool(listed or local)
    if not listed:
        of_day = f"{counted(len(local), 'local file')} of the day" if local else "no file of the day is local"
        facts.note = f"{of_day}, and the catalogue has none"
    elif behind:
        facts.current_version = ""
        facts.note = f"{counted(behind, 'file')} of the day added, changed or removed since it was refreshed"
    return facts


def _indexed_at(db: sqlite3.Connection, day: date) -> datetime | None:
    """When the newest row of a day was written; None where there is none."""
    row = db.execute("SELECT max(indexed_at) FROM images WHERE day_utc = ?", (day.isoformat(),)).fetchone()
    try:
        found = datetime.fromisoformat(row[0]) if row[0] else None
    except ValueError:  # a row of another program
        return None
    return found.replace(tzinfo=found.tzinfo or UTC) if found else None


def _video(context: Context, workspace: CameraWorkspace, parts: KeyParts, day: date | None) -> ProductFacts:
    camera, layout = str(parts.camera), workspace.layout
    target = layout.video(camera, day) if day else layout.latest_video(camera)
    facts = ProductFacts(_relative(workspace, target), _version_of(target))
    made = read_inputs(target)
    recorded = made or read_no_video_record(workspace, target)
    if recorded is not None:
        facts.data_version, facts.excluded = recorded.data_version, recorded.excluded
    clips = context.attempt(_CATALOGUE, lambda: _clips(workspace, camera, day), list[Media](), layout.catalog)
    facts.inputs, facts.has_inputs = len(clips), bool(clips)
    facts.current_version = _version_now(recipes.VIDEO, clips)
    if made is None and facts.version is not None:
        facts.note = "Aurora did not make this file, or it is damaged: the next run replaces it"
    elif recorded is not None and made is None:
        facts.note = "no video can be made from its clips: all are excluded"
    elif made is None:
        facts.note = "no run has made it yet" if clips else _no_input(workspace, "clip")
    return facts


def _clips(workspace: CameraWorkspace, camera: str, day: date | None) -> list[Media]:
    if not workspace.layout.catalog.exists():
        return []
    with open_readonly(workspace.layout.catalog) as db:
        return day_media(db, day, camera, "video") if day else newest_clips(db, camera, recipes.LATEST_CLIPS)


def _pixels(workspace: CameraWorkspace, parts: KeyParts, day: date) -> ProductFacts:
    camera = str(parts.camera)
    target = workspace.layout.pixels(camera, day)
    facts = ProductFacts(_relative(workspace, target), _version_of_group(target), copied_by=None)
    facts.data_version, facts.excluded = cameras.pixels.published_inputs(target)
    media = []
    if workspace.layout.catalog.exists():
        with open_readonly(workspace.layout.catalog) as db:
            media = day_media(db, day, camera, "image")
    facts.inputs, facts.current_version = len(media), _version_now(recipes.PIXELS, media)
    facts.has_inputs = bool(media)
    if facts.version is None:
        facts.note = "no run has made it yet" if media else _no_input(workspace, "image")
    return facts


def _version_of_group(target: Path) -> FileVersion | None:
    """The mtime of the metadata, which is written last, and the size of all files."""
    made = _version_of(target / "zarr.json")
    if made is None:
        return None
    size = sum(path.lstat().st_size for path in target.rglob("*") if path.is_file())
    return FileVersion(size, made.mtime_ns)


def _no_input(workspace: CameraWorkspace, kind: str) -> str:
    catalog = workspace.layout.catalog
    return f"no {kind} in the catalogue" if catalog.exists() else f"there is no catalogue yet ({catalog})"


def _thumbnail(
    context: Context, workspace: CameraWorkspace, parts: KeyParts, partition: str, path: str | None
) -> ProductFacts:
    camera = str(parts.camera)
    hour = begin_of(partition)
    target = published(workspace, camera, hour.date()).get(hour.hour)
    if target is not None and path is not None and path != _relative(workspace, target):
        facts = ProductFacts(path, _version_of(context.site.paths.products / path), is_other=True)
        facts.note = f"not the published thumbnail of this hour, which is {target.name}"
        return facts
    if target is not None:
        facts = ProductFacts(_relative(workspace, target), _version_of(target), inputs=1)
        # A published thumbnail stays: its inputs are never compared again.
        facts.data_version = facts.current_version = cameras.thumbnails.read_data_version(target)
        return facts
    facts = ProductFacts(_relative(workspace, workspace.layout.thumbnails(camera, hour.date())), is_directory=True)
    if not is_closed(workspace, hour, context.now):
        facts.note = f"the hour is open until {written(hour + HOUR + workspace.hour_closes_after)}"
        return facts
    if not workspace.layout.catalog.exists():
        facts.note, facts.has_inputs = _no_input(workspace, "image"), False
        return facts
    with open_readonly(workspace.layout.catalog) as db:
        facts.note = _why_no_thumbnail(context, db, workspace, camera, hour)
        facts.inputs = len(media_between(db, camera, "image", epoch_ns(hour), epoch_ns(hour + HOUR)))
        facts.has_inputs = facts.inputs > 0
    return facts


def _why_no_thumbnail(
    context: Context, db: sqlite3.Connection, workspace: CameraWorkspace, camera: str, hour: datetime
) -> str:
    if not is_complete(db, workspace, camera, hour, context.now):
        return "more images of this hour may arrive: the camera host was not listed since the hour closed"
    if not media_between(db, camera, "image", epoch_ns(hour), epoch_ns(hour + HOUR)):
        return "no image of this hour in the catalogue"
    return "no run has made it yet"
