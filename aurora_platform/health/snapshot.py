"""Looking at everything at once, read-only, within a bound: what does not answer in time is not known, and said so.

What is on this machine is read directly; hosts, Dagster and pages come in as arguments with small protocols.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

from aurora_platform.concurrency import run_concurrently
from aurora_platform.config.hosts import SshHost
from aurora_platform.config.package_files import CHECKOUT
from aurora_platform.config.site import Site
from aurora_platform.health.freshness import (
    measure_stream,
    measure_products,
    read_summary,
    unreadable_manifest,
    unknown_product_freshness,
    unknown_stream_freshness,
)
from aurora_platform.health.models import (
    Filesystem,
    Freshness,
    HostState,
    Manifest,
    Page,
    Platform,
    Snapshot,
    Software,
)
from aurora_platform.text import printable

_SLACK = 3.0  # s of the bound, for what has come to be put together
_GIT_SECONDS = 5.0

# One line each: the clock, then for each directory its file system in kB and in inodes, by POSIX's df.
REMOTE_SCRIPT = r"""
LC_ALL=C; export LC_ALL
echo "aurora $(date +%s.%N)"
for place in "$@"; do
  echo "space $(df -Pk -- "$place" 2>&1 | tail -n 1)"
  echo "inodes $(df -Pi -- "$place" 2>&1 | tail -n 1)"
done
"""
_DF = re.compile(r".*\s(\d+|-)\s+(\d+|-)\s+(\d+|-)\s+(\d+|-)%?\s+/.*")


class HostCommand(Protocol):
    """Runs a program on a host and returns what it prints, or raises; every wait has a bound."""

    def __call__(self, host: SshHost, argv: Sequence[str]) -> str: ...


class Orchestrator(Protocol):
    """Dagster, as its records show it."""

    def platform(self) -> Platform:
        """Failed and stuck runs, failed checks, the queue, daemons, ticks that fail or do not come."""
        ...

    def newest_of_products(self) -> Mapping[str, datetime | None]:
        """The time of the newest data in each product (asset key with slashes)."""
        ...


class Fetcher(Protocol):
    """Gets a page, within its own bound."""

    def __call__(self, name: str, url: str) -> Page: ...


def take_snapshot(
    site: Site,
    *,
    ask: HostCommand,
    orchestrator: Orchestrator,
    fetch: Fetcher,
    dagster_version: str,
    now: datetime | None = None,
) -> Snapshot:
    """Look at everything; takes no longer than ``health.within``."""
    began, now = time.monotonic(), now or datetime.now(UTC)
    bound = max(1.0, site.health.within.total_seconds() - _SLACK)
    jobs: dict[str, Callable[[], Any]] = {
        **{f"disk {name}": _statvfs(name, path) for name, path in _places(site).items()},
        **{f"host {name}": _host(name, host, _far_places(site, name), ask) for name, host in _hosts(site).items()},
        **{f"page {name}": _page(fetch, name, page.url) for name, page in site.endpoints.items()},
        "platform": orchestrator.platform,
        "products": lambda: list(measure_products(site, orchestrator.newest_of_products(), now)),
        **{f"stream {name}": _stream(site, name, now) for name in site.streams},
        "manifests": lambda: read_summary(site),
        "software": lambda: _software(dagster_version),
    }
    # Each at once, so that none waits for another that hangs.
    found = run_concurrently(jobs, within=bound, at_once=len(jobs))
    disks, hosts = _disks_and_hosts(site, found)
    return Snapshot(
        generated_at_utc=now.replace(microsecond=0),
        site=site.name,
        seconds=round(time.monotonic() - began, 3),
        filesystems=disks,
        freshness=_all_freshness(site, found),
        manifests=_manifests(site, found["manifests"]),
        platform=_or(found["platform"], None) or Platform(error=str(found["platform"])),
        hosts=hosts,
        pages=[_pages(found[f"page {name}"], name, page.url) for name, page in site.endpoints.items()],
        software=_or(found["software"], None)
        or Software(version="unknown", python=platform.python_version(), dagster=dagster_version),
    )


def _or[T](found: Any, otherwise: T) -> T:
    return otherwise if isinstance(found, Exception) else found


def _stream(site: Site, name: str, now: datetime) -> Callable[[], list[Freshness]]:
    return lambda: list(measure_stream(site, name, read_summary(site), now))


def _all_freshness(site: Site, found: Mapping[str, Any]) -> list[Freshness]:
    streams: list[Freshness] = []
    for name in site.streams:
        end = found[f"stream {name}"]
        streams += unknown_stream_freshness(site, name, _why(end)) if isinstance(end, Exception) else end
    end = found["products"]
    return [*streams, *(unknown_product_freshness(site, _why(end)) if isinstance(end, Exception) else end)]


def _manifests(site: Site, end: Mapping[str, Manifest] | Exception) -> list[Manifest]:
    """Those of each stream, where there is an archive; also of one that has none yet."""
    if site.archive is None:
        return []
    if isinstance(end, Exception):
        return [unreadable_manifest(name, _why(end)) for name in site.streams]
    return [end.get(name) or Manifest(stream=name) for name in site.streams]


def _why(error: Exception) -> str:
    return printable(str(error) or type(error).__name__)


def _places(site: Site) -> dict[str, Path]:
    paths = site.paths
    return {"raw": paths.raw, "products": paths.products, "state": paths.state, "manifests": paths.manifests}


def _hosts(site: Site) -> dict[str, SshHost]:
    hosts = {name: host for name, host in site.hosts.items() if isinstance(host, SshHost)}
    for host in site.archive.hosts if site.archive else ():
        hosts[f"archive {host.address}"] = host
    return hosts


def _far_places(site: Site, name: str) -> list[tuple[str, str]]:
    """Name and path of the directories that matter on a host."""
    if name.startswith("archive ") and site.archive:
        return [(f"{name} raw", site.archive.raw), (f"{name} products", site.archive.products)]
    paths = sorted({stream.path for stream in site.streams.values() if stream.host == name and stream.enabled})
    return [(f"host {name} {path}", path) for path in paths]


def _statvfs(name: str, path: Path) -> Callable[[], Filesystem]:
    def look() -> Filesystem:
        try:
            # A directory that has yet to be made is on its parent's file system.
            status = os.statvfs(next(one for one in (path, *path.parents) if one.exists()))
        except OSError as error:
            return Filesystem(name=name, path=str(path), error=error.strerror or str(error))
        used = status.f_blocks - status.f_bfree
        room = used + status.f_bavail
        inodes = 100.0 * (status.f_files - status.f_ffree) / status.f_files if status.f_files else None
        return Filesystem(
            name=name,
            path=str(path),
            total_bytes=status.f_blocks * status.f_frsize,
            free_bytes=status.f_bavail * status.f_frsize,
            used_percent=round(100.0 * used / room, 1) if room else 0.0,
            inodes_used_percent=None if inodes is None else round(inodes, 1),
        )

    return look


def _host(
    name: str, host: SshHost, places: Sequence[tuple[str, str]], ask: HostCommand
) -> Callable[[], tuple[HostState, list[Filesystem]]]:
    def look() -> tuple[HostState, list[Filesystem]]:
        before = time.time()
        said = ask(host, ["sh", "-c", REMOTE_SCRIPT, "aurora-health", *(path for _, path in places)])
        after = time.time()
        lines = said.split("\n")
        # A login shell may speak first; our own first line is known.
        begin = next((n for n, line in enumerate(lines) if re.fullmatch(r"aurora \d{1,11}\.\d{1,9}", line)), None)
        if begin is None:
            return HostState(name=name, address=host.address, reachable=True, error="no clock in its answer"), [
                Filesystem(name=n, path=path, error="no answer") for n, path in places
            ]
        clock = float(lines[begin].split()[1])
        # Somewhere between asking and hearing; the session may have had to be opened first.
        skew = clock - after if clock > after else min(0.0, clock - before)
        state = HostState(name=name, address=host.address, reachable=True, clock_skew_s=round(skew, 1))
        return state, [_far(lines[begin + 1 :], n, *place) for n, place in enumerate(places)]

    return look


def _far(lines: Sequence[str], number: int, name: str, path: str) -> Filesystem:
    space, inodes = (next(iter(lines[2 * number + one :]), "") for one in (0, 1))
    match, counted = _DF.fullmatch(space.removeprefix("space ")), _DF.fullmatch(inodes.removeprefix("inodes "))
    if match is None or "-" in match.groups():
        return Filesystem(name=name, path=path, error=printable(space.removeprefix("space ")) or "no answer")
    used = None if counted is None or "-" in counted.groups() else float(counted[4])
    return Filesystem(
        name=name,
        path=path,
        total_bytes=int(match[1]) * 1024,
        free_bytes=int(match[3]) * 1024,
        used_percent=float(match[4]),
        inodes_used_percent=used,
    )


def _disks_and_hosts(site: Site, found: Mapping[str, Any]) -> tuple[list[Filesystem], list[HostState]]:
    disks: list[Filesystem] = []
    hosts: list[HostState] = []
    for name, path in _places(site).items():
        end = found[f"disk {name}"]
        disks.append(Filesystem(name=name, path=str(path), error=str(end)) if isinstance(end, Exception) else end)
    for name, host in _hosts(site).items():
        end = found[f"host {name}"]
        if isinstance(end, Exception):
            hosts.append(HostState(name=name, address=host.address, reachable=False, error=str(end)))
            disks += [
                Filesystem(name=n, path=path, error="its host does not answer") for n, path in _far_places(site, name)
            ]
        else:
            hosts.append(end[0])
            disks += end[1]
    return disks, hosts


def _page(fetch: Fetcher, name: str, url: str) -> Callable[[], Page]:
    return lambda: fetch(name, url)


def _pages(end: Any, name: str, url: str) -> Page:
    return Page(name=name, url=url, error=str(end)) if isinstance(end, Exception) else end


def _software(dagster_version: str) -> Software:
    commit = _git(CHECKOUT, "rev-parse", "--short=12", "HEAD") if CHECKOUT else _installed_commit()
    changes = _git(CHECKOUT, "status", "--porcelain", "--untracked-files=no") if CHECKOUT and commit else None
    return Software(
        version=metadata.version("aurora-platform"),
        commit=commit or None,
        is_modified=None if changes is None else bool(changes),
        python=platform.python_version(),
        dagster=dagster_version,
    )


def _installed_commit() -> str | None:
    """The commit that pip installed the package from; None where it came from anything but a repository (PEP 610)."""
    origin = json.loads(metadata.distribution("aurora-platform").read_text("direct_url.json") or "{}")
    commit = origin.get("vcs_info", {}).get("commit_id")
    return commit[:12] if commit else None


def _git(checkout: Path, *arguments: str) -> str | None:
    """What git says of a checkout; None where it is no repository, or there is no git."""
    try:
        done = subprocess.run(
            # Its index is not written: a look changes nothing.
            ["git", "--no-optional-locks", "-C", str(checkout), *arguments],
            capture_output=True,
            text=True,
            timeout=_GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
