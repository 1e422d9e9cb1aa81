"""Finds what a question of ``aurora explain`` is about: an asset and its partition, a raw file, or a product."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from difflib import get_close_matches
from pathlib import Path, PurePosixPath

from aurora_platform.cameras.filenames import CAMERAS as CAMERA_NAMES
from aurora_platform.cameras.filenames import parse_name
from aurora_platform.config.site import Site
from aurora_platform.layout import (
    CAMERAS,
    CATALOG_KEY,
    COLLECTIONS,
    DAILY_PRODUCTS,
    HOURLY_THUMBNAILS,
    LATEST_VIDEO,
    PRODUCT_MANIFESTS_KEY,
    WXCAM,
    ArchiveLayout,
    Layout,
    manifests_key,
    product_key,
)
from aurora_platform.operations.explain_directory import refuse_directory, refuse_root
from aurora_platform.operations.explain_question import (
    AssetPartition,
    Elsewhere,
    ProductFile,
    Question,
    QuestionError,
    RawFile,
    asset_keys,
    has_partitions,
    is_hourly,
)
from aurora_platform.text import printable

_HOUR = re.compile(r"(\d{4}-\d{2}-\d{2})-([01]\d|2[0-3]):00")
_KEY_HEADS = ("source", "raw", "gws", "manifests", "ops")


def find(
    site: Site, what: str, directory: Path, has_file: Callable[[str, str], bool], stream: str | None = None
) -> Question:
    """Find out what ``what`` names.

    Parameters
    ----------
    site
        The site.
    what
        An asset key with or without a partition; or a path, absolute, relative to ``directory``, or relative to a
        stream.
    directory
        The current directory.
    has_file
        Whether a stream is recorded to have a path; decides between streams that share a directory.
    stream
        The stream that is meant, where several may have the path.

    Raises
    ------
    QuestionError
        Where nothing or several things may be meant.
    """
    if stream is not None and stream not in site.streams:
        raise QuestionError(f"{printable(stream)}: not one of streams ({', '.join(site.streams)})")
    if not what.strip() or "\0" in what:
        raise QuestionError("name a file, or an asset as raw/cl61/2026-03-05")
    path = os.path.normpath(os.path.join(directory, what))
    is_path = what.startswith(("/", "./", "../")) or os.path.isfile(path)
    wrong_partition: QuestionError | None = None
    try:
        if not is_path and (asset := _asset(site, what)) is not None:
            return asset
    except QuestionError as error:
        wrong_partition = error
    if is_path or os.path.lexists(path):
        refuse_root(site, path)
        refuse_root(site, os.path.realpath(path))
    named = list(_of_roots(site, path)) or list(_of_roots(site, os.path.realpath(path)))
    if not is_path and not os.path.lexists(path):
        # Nothing of this name is in the current directory, so its root alone says little.
        named = [one for one in named if _is_included(site, one)] or _of_streams(site, os.path.normpath(what), has_file)
        if not named:
            raise wrong_partition or QuestionError(_names_nothing(site, what))
    if not named:
        return Elsewhere(path, "outside of every directory that the site file names")
    question = _one(site, named, has_file, stream)
    if isinstance(question, ProductFile):
        question = camera_product(site, question.path) or question
    refuse_directory(site, question)
    return question


def _is_included(site: Site, question: Question) -> bool:
    if isinstance(question, RawFile):
        return _names_a_day(site, question.stream, question.path)
    return not isinstance(question, Elsewhere)


def _names_a_day(site: Site, name: str, path: str) -> bool:
    """Whether a path is clearly of a stream: one may include everything, so its name must tell a day as well."""
    stream = site.streams[name]
    return stream.includes(path) and (stream.day == "mtime" or stream.day_of(path, 0) is not None)


def _of_streams(site: Site, path: str, has_file: Callable[[str, str], bool]) -> list[Question]:
    """What a relative path may be: of the streams whose rules fit, else of those that have it, else below a root."""
    named: list[Question] = [RawFile(name, path) for name in site.streams if _names_a_day(site, name, path)]
    named = named or [RawFile(name, path) for name in site.streams if has_file(name, path)]
    if not named and camera_product(site, path) is not None:
        named = [ProductFile(path)]
    return named or [one for one in _of_roots(site, f"{site.paths.raw}/{path}") if _is_included(site, one)]


def _names_nothing(site: Site, what: str) -> str:
    keys = asset_keys(site)
    near = next(
        (near for part in (what, what.rpartition("/")[0]) for near in get_close_matches(part, keys, 1, 0.75)), ""
    )
    if near or what.split("/")[0] in _KEY_HEADS or what.startswith(f"{WXCAM}/"):
        nearest = f" The nearest: {near}." if near else ""
        return f"{printable(what)}: no asset of this site.{nearest} Its assets: {', '.join(keys)}"
    return (
        f"{printable(what)}: no asset, no file below {os.getcwd()}, and no stream includes this path. Give the path in "
        "full, or an asset as raw/cl61/2026-03-05."
    )


def _asset(site: Site, what: str) -> AssetPartition | None:
    keys = asset_keys(site)
    if what in keys:
        return AssetPartition(what)
    key, _, partition = what.rpartition("/")
    if key not in keys:
        return None
    if not has_partitions(key):
        raise QuestionError(f"{key} has no partitions: ask for {key}")
    form = "YYYY-MM-DD-HH:00" if is_hourly(key) else "YYYY-MM-DD"
    match = _HOUR.fullmatch(partition) if is_hourly(key) else re.fullmatch(r"(\d{4}-\d{2}-\d{2})", partition)
    try:
        date.fromisoformat(match[1] if match else "")
    except ValueError:
        raise QuestionError(f"{printable(partition)}: not a partition of {key}, which are {form} (UTC)") from None
    return AssetPartition(key, partition)


def _of_roots(site: Site, path: str) -> Iterator[Question]:
    """Everything that an absolute path may be, by the roots that it is below."""
    layout, archive = Layout.of(site), ArchiveLayout.of(site.archive) if site.archive else None
    is_found = False
    for name, stream in site.streams.items():
        roots = {str(layout.raw_root(name)): "local", stream.path: f"on host {stream.host}"}
        roots |= {archive.raw_root(stream): "in the archive"} if archive else {}
        for root, named_by in roots.items():
            if (relative := _below(path, root)) is not None:
                is_found = True
                yield RawFile(name, relative, named_by)
    if is_found:
        return
    for root in (str(site.paths.products), *([archive.products] if archive else [])):
        if (relative := _below(path, root)) is not None:
            yield ProductFile(relative)
            return
    if archive and (kept := _below(path, archive.versions)) is not None:
        # Below a directory per transfer, at the path that it had below archive.raw.
        for question in _of_roots(site, f"{archive.raw}/{kept.partition('/')[2]}"):
            if isinstance(question, RawFile):
                question = replace(question, named_by="an earlier version that the archive keeps: archive.versions")
            yield question
        return
    for root in (str(site.paths.manifests), *([archive.manifests] if archive else [])):
        if (relative := _below(path, root)) is not None:
            yield _of_manifests(site, path, relative)
            return
    for key, directory in (("raw", site.paths.raw), ("state", site.paths.state)):
        if _below(path, str(directory)) is not None:
            yield Elsewhere(path, f"below paths.{key} ({directory}), in the directory of no stream")
            return


def _of_manifests(site: Site, path: str, relative: str) -> Question:
    for name in site.streams:
        match = re.match(rf"finalized/{name}/(\d{{4}}-\d{{2}}-\d{{2}})_{name}_", relative)
        if match and site.archive and _is_day(match[1]):
            return AssetPartition(manifests_key(name), match[1], relative)
    if site.archive and any(relative.startswith(f"finalized/{name}/") for name in COLLECTIONS):
        return AssetPartition(PRODUCT_MANIFESTS_KEY)
    return Elsewhere(path, "a file of the manifests, which the verifications write (docs/archive.md)")


def _below(path: str, root: str) -> str | None:
    """The path relative to a root; None where it is not below it."""
    try:
        relative = str(PurePosixPath(path).relative_to(root))
    except ValueError:
        return None
    return None if relative == "." else relative


def _one(site: Site, named: list[Question], has_file: Callable[[str, str], bool], stream: str | None) -> Question:
    """The one that is meant: of streams that share a directory, the one that includes the path, or has the file."""
    files = {question.stream: question for question in named if isinstance(question, RawFile)}
    if not files:
        return named[0]
    if stream is not None:
        if stream not in files:
            raise QuestionError(f"{stream} cannot have this path; these streams can: {', '.join(files)}")
        return files[stream]
    if len(files) > 1:
        # The directory of one stream may lie in that of another: there, the longer root counts.
        files = {name: one for name, one in files.items() if site.streams[name].includes(one.path)} or files
    if len(files) > 1:
        files = {name: one for name, one in files.items() if has_file(name, one.path)} or files
    if len(files) > 1:
        commands = "; ".join(f"--stream {name}" for name in files)
        raise QuestionError(f"several streams could have {printable(next(iter(files.values())).path)}: add {commands}")
    return next(iter(files.values()))


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def camera_product(site: Site, path: str) -> AssetPartition | None:
    """The asset partition of a product's path relative to ``paths.products``; None where it is none of the camera's.

    Raises
    ------
    QuestionError
        If the path is the directory of the thumbnails of a day: a thumbnail is of an hour.
    """
    if WXCAM not in site.streams:
        return None
    camera_layout = Layout(Path("raw"), Path(), Path(), Path(), {}).camera
    wanted = Path(path)
    if wanted in [
        camera_layout.catalog.with_name(f"{camera_layout.catalog.name}{end}") for end in ("", "-wal", "-shm")
    ]:
        return AssetPartition(CATALOG_KEY)
    digits = re.search(r"/(\d{4})(\d{2})(\d{2})(?=[./]|$)", path)
    for camera in CAMERAS:
        if wanted == camera_layout.latest_video(camera):
            return AssetPartition(product_key(camera, LATEST_VIDEO))
        try:
            day = date(*map(int, digits.groups())) if digits else None
        except ValueError:
            return None
        if day is None:
            continue
        if wanted == camera_layout.video(camera, day):
            return AssetPartition(product_key(camera, DAILY_PRODUCTS[0]), str(day))
        if wanted.is_relative_to(pixels := camera_layout.pixels(camera, day)):
            part = None if wanted == pixels else path
            return AssetPartition(product_key(camera, DAILY_PRODUCTS[1]), str(day), part)
        if wanted.is_relative_to(thumbnails := camera_layout.thumbnails(camera, day)):
            return _thumbnail(camera, day, path, is_directory=wanted == thumbnails)
    return None


def _thumbnail(camera: str, day: date, path: str, *, is_directory: bool) -> AssetPartition | None:
    """The hour of a path below the thumbnails of a day; None where its name is not that of a thumbnail of the day."""
    key = product_key(camera, HOURLY_THUMBNAILS)
    if is_directory:
        raise QuestionError(f"{printable(path)}: a directory of a day. Ask for an hour: {key}/{day}-HH:00")
    try:
        time = parse_name(PurePosixPath(path).name, CAMERA_NAMES[camera]).time
    except ValueError:
        return None
    return AssetPartition(key, f"{day}-{time:%H}:00", path) if time.date() == day else None
