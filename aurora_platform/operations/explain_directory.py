"""Refuses questions about a directory: what is asked for is a file, or a day of an asset."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path

from aurora_platform.config.site import Site
from aurora_platform.layout import (
    ALERTS_KEY,
    CAMERAS,
    CORE_PRODUCTS_KEY,
    HEALTH_KEY,
    OPS_MONITOR,
    WXCAM,
    ArchiveLayout,
    Layout,
    raw_key,
)
from aurora_platform.operations.explain_question import (
    ProductFile,
    Question,
    QuestionError,
    RawFile,
    asset_keys,
)
from aurora_platform.text import printable

_DATE = re.compile(r"(?<!\d)(\d{4})([-_/]?)(\d{2})\2(\d{2})(?!\d)")


def refuse_root(site: Site, path: str) -> None:
    """Raise a :class:`QuestionError` if an absolute path is a directory that the site file names."""
    layout, archive = Layout.of(site), ArchiveLayout.of(site.archive) if site.archive else None
    names = [
        name
        for name, stream in site.streams.items()
        if path in (str(layout.raw_root(name)), stream.path.rstrip("/"), archive.raw_root(stream) if archive else None)
    ]
    if names:
        streams = "stream" if len(names) == 1 else "streams"
        days = ", ".join(f"{raw_key(name)}/YYYY-MM-DD" for name in names)
        raise QuestionError(
            f"{printable(path)}: the directory of {streams} {', '.join(names)}. Ask for a file in it, or for a day: "
            + days
        )
    if path == str(site.paths.products) or (archive is not None and path == archive.products):
        raise QuestionError(_of_products(site, path, ""))
    for key in ("raw", "state", "manifests"):
        if path == str(getattr(site.paths, key)):
            raise QuestionError(
                f"{printable(path)}: the directory paths.{key}. Ask for a file in it, or for an asset as "
                "raw/cl61/2026-03-05"
            )


def refuse_directory(site: Site, question: Question) -> None:
    """Raise a :class:`QuestionError` if a path of a stream, or of a product, is a directory on this machine."""
    if isinstance(question, RawFile):
        stream, roots = site.streams[question.stream], [Layout.of(site).raw_root(question.stream)]
        if site.hosts[stream.host].is_local:
            roots.append(Path(stream.path))
        if any(_is_directory(root / question.path) for root in roots):
            day = _day_of(question.path) or "YYYY-MM-DD"
            raise QuestionError(
                f"{printable(question.path)}: a directory of stream {question.stream}. Ask for a file in it, or for a "
                f"day: {raw_key(question.stream)}/{day}"
            )
    elif isinstance(question, ProductFile) and _is_directory(site.paths.products / question.path):
        raise QuestionError(_of_products(site, question.path, question.path))


def _is_directory(path: Path) -> bool:
    """Whether it is a directory; a symlink is refused elsewhere."""
    return os.path.isdir(path) and not os.path.islink(path)


def _day_of(path: str) -> date | None:
    """The day that a directory is named after."""
    for match in reversed(list(_DATE.finditer(path))):
        try:
            return date(int(match[1]), int(match[3]), int(match[4]))
        except ValueError:
            continue
    return None


def _of_products(site: Site, path: str, relative: str) -> str:
    assets = ", ".join(_assets_below(site, relative))
    return f"{printable(path)}: a directory of products. Ask for a file in it" + (
        f", or for an asset: {assets}" * bool(assets)
    )


def _assets_below(site: Site, path: str) -> Iterator[str]:
    """The assets whose files may be below a directory of products; empty path: of all products."""
    first, *rest = path.split("/")
    cameras = [camera for camera in CAMERAS if camera in rest]
    for key in asset_keys(site):
        if key.startswith(f"{WXCAM}/"):
            is_below = first in ("", WXCAM) and (not cameras or any(f"/{camera}/" in key for camera in cameras))
        elif key in (HEALTH_KEY, ALERTS_KEY):
            is_below = first in ("", OPS_MONITOR)
        else:
            is_below = key == CORE_PRODUCTS_KEY and first != WXCAM
        if is_below:
            yield key
