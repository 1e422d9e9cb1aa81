"""A site whose local files come through the real mirror, from a source that changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from aurora_platform.archive.change_guard import guard_of
from aurora_platform.archive.push_plan import Pushing
from aurora_platform.config.hosts import LocalHost
from aurora_platform.mirror.reports import MirrorReport
from aurora_platform.mirror.sync import mirror_days
from aurora_platform.transport.bounds import Bounds
from aurora_platform.transport.local_host import LocalAccess
from tests.archive.parts import LOG
from tests.archive.places import DAY, STREAM
from tests.archive.pushed import PushedSite, hosts_of_kind
from tests.mirror.parts import ChangingSource

OLD = {"revisable": "2d"}
OPEN = {"revisable": "3650d"}


class MirroredSite(PushedSite):
    """A site whose local files come through the real mirror."""

    def mirror(self, *days: date, change: Callable[[], object] | None = None) -> MirrorReport:
        """Run a pass; with ``change`` the source changes after its first listing."""
        stream = self.site.streams[STREAM]
        access = LocalAccess(LocalHost(kind="local"), Bounds(self.home / "known_hosts"))
        return mirror_days(
            STREAM,
            stream,
            days or [DAY],
            source=access.source() if change is None else ChangingSource(access.source(), change),
            transfer=access.transfer(LOG),
            raw=self.site.paths.raw,
            locks=self.site.paths.state / "locks",
            wait=timedelta(seconds=10),
            guard=guard_of(self.site, STREAM),
        )

    def finalize_days(self, count: int, *days: date) -> dict[str, bytes]:
        """Mirror, push and finalize; returns path -> content."""
        contents = {}
        for day in days or [DAY]:
            for name in self.fill(count, day, sides=["source"]):
                contents[name] = self.place("source", name).read_bytes()
        self.mirror(*(days or [DAY]))
        self.push_days(*(days or [DAY]))
        report = self.verify_and_publish(*days).report
        assert all(day.verdict.is_final for day in report.days)
        return contents

    def push_days(self, *days: date) -> Any:
        with self.records.ledger() as ledger:
            return Pushing(self.site, self.archive_settings, self.archive_hosts(), ledger).raw(STREAM, days)

    def change(self, names: Sequence[str], day: date = DAY) -> None:
        """Give files other bytes and another mtime at the source, as a compromised host would."""
        for number, name in enumerate(names):
            self.write("source", name, b"of somebody else", day, number=1000 + number)


def mirrored_site(home: Path, changes: dict[str, Any]) -> MirroredSite:
    """Make a site with a local archive; ``changes`` are settings of its stream."""
    site = MirroredSite(home, changes)
    site.hosts = hosts_of_kind("local", ())
    return site


def readable_bytes(site: MirroredSite) -> set[bytes]:
    """The content of every file of the archive and of the local tree."""
    roots = (site.home / "far", site.home / "raw")
    return {place.read_bytes() for root in roots for place in root.rglob("*") if place.is_file()}
