"""A site with the sky camera on this machine: its files, its thumbnails, and questions about them."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from aurora_platform.cameras.refresh import refresh_day
from aurora_platform.cameras.workspace import CameraWorkspace
from aurora_platform.config.site import load_site
from aurora_platform.layout import Layout
from aurora_platform.operations.explain import explain
from aurora_platform.operations.explain_answer import Answer
from tests.cameras.sample_media import jpeg
from tests.site_files import write_site

DAY = date(2026, 8, 18)
NOW = datetime(2026, 11, 30, 10, tzinfo=UTC)
"""Long after the day: the camera has been silent since."""
IMAGES = [f"FISH/20260818/00/HDR_20260818_00{minute}00.jpg" for minute in ("10", "30", "50")]


def with_archive(data: dict[str, Any]) -> None:
    """Change a site file: an archive that no test connects to."""
    host = {"address": "127.0.0.9", "user": "nobody", "auth": "key", "identity": "no_such_key"}
    data["archive"] = {"hosts": [host], "raw": "/no/such/archive/raw", "products": "/no/such/archive/products"}


class CameraSite:
    """A site below a directory; its stream wxcam begins on 2026-01-12."""

    def __init__(self, home: Path, change: Callable[[dict[str, Any]], None] = lambda data: None) -> None:
        self.home = home
        self.site = load_site(write_site(home, change))
        self.layout = Layout.of(self.site)
        self.source = Path(self.site.streams["wxcam"].path)
        self.source.mkdir(exist_ok=True)

    def put(self, path: str, *, is_local: bool = True) -> None:
        """Write an image of the source, and its local copy; both settled in August."""
        for root in (self.source, *([self.layout.raw_root("wxcam")] if is_local else [])):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(jpeg(sum(map(ord, path)) % 100))
            os.utime(root / path, (1.787e9, 1.787e9))

    def fill(self) -> None:
        """Three images of one hour, all of them local and in the catalogue."""
        for path in IMAGES:
            self.put(path)
        self.refresh()

    def refresh(self) -> None:
        refresh_day(CameraWorkspace.of(self.site), DAY, NOW)

    def thumbnail(self, name: str) -> Path:
        """Write a published thumbnail."""
        path = self.layout.camera.thumbnails("fish_hdr", DAY) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(1))
        return path

    def explain(self, what: object, now: datetime = NOW, **options: Any) -> Answer:
        return explain(self.site, str(what), directory=self.home, now=now, **options)
