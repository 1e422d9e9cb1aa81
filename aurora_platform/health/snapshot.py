"""Takes the snapshot of a site: reads everything at once, read-only, within a time limit.

Whatever does not answer in time is unknown, with the reason. This machine is read directly; hosts, Dagster and pages
are arguments with small protocols.
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
from aurora_platform.config.hosts import ArchiveDirectory, SshHost
from aurora_platform.config.package_files import CHECKOUT
from aurora_platform.config.site import Site
from aurora_platform.health.archive_work import read_restore_drill, read_retention
from aurora_platform.health.freshness import (
    measure_products,
    measure_stream,
    read_summary,
    unknown_product_freshness,
    unknown_stream_freshness,
    unreadable_manifest,
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
from aurora_platform.layout import Layout
from aurora_platform.text import printable
from aurora_platform.transport.local_archive import check_root

_SLACK = 3.0  # s of the time limit, kept for composing the snapshot
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
    """Runs a program on a host and returns its output, or raises; every wait has a time limit."""

    def __call__(self, host: SshHost, argv: Sequence[str]) -> str: ...


class Orchestrator(Protocol):
    """Dagster's records."""

    def platform(self) -> Platform:
        """Return failed and stuck runs, failed checks, the queue, daemons, failing and overdue ticks."""
        ...

    def newest_of_products(self) -> Mapping[str, datetime | None]:
        """Return the time of the newest data per product (asset key with slashes)."""
        ...


class Fetcher(Protocol):
    """Loads a page, within its own time limit."""

    def __call__(self, name: str, url: str) -> Page: ...


def take_snapshot(
    site: Site,
    *,
    run_on_host: HostCommand,
    orchestrator: Orchestrator,
    fetch: Fetcher,
    dagster_version: str,
    now: datetime | None = None,
) -> Snapshot:
    """Take a snapshot; this takes no longer than ``health.within``."""
    began, now = time.monotonic(), now or datetime.now(UTC)
    bound = max(1.0, site.health.within.total_seconds() - _SLACK)
    jobs: dict[str, Callable[[], Any]] = {
        **{f"disk {name}": _disk_job(name, path) for name, path in _local_directories(site).items()},
        **{f"host {name}": job for name, job in _archive_jobs(site).items()},
        **{
            f"host {name}": _host_job(name, host, _remote_directories(site, name), run_on_host)
            for name, host in _hosts(site).items()
        },
        **{f"page {name}": _page_job(fetch, name, page.url) for name, page in site.endpoints.items()},
        "platform": orchestrator.platform,
        "products": lambda: list(measure_products(site, orchestrator.newest_of_products(), now)),
        **{f"stream {name}": _stream_job(site, name, now) for name in site.streams},
        "manifests": lambda: read_summary(site),
        "restore drill": lambda: read_restore_drill(Layout.of(site).restore_drill),
        "retention": lambda: read_retention(Layout.of(site).retention),
        "software": lambda: _software(dagster_version),
    }
    # All at once, so that none waits for another that hangs.
    results = run_concurrently(jobs, within=bound, at_once=len(jobs))
    disks, hosts = _disks_and_hosts(site, results)
    return Snapshot(
        generated_at_utc=now.replace(microsecond=0),
        site=site.name,
        seconds=round(time.monotonic() - began, 3),
        filesystems=disks,
        freshness=_all_freshness(site, results),
        manifests=_manifests(site, results["manifests"]),
        platform=_value_or(results["platform"], None) or Platform(error=str(results["platform"])),
        hosts=hosts,
        pages=[_page_or_error(results[f"page {name}"], name, page.url) for name, page in site.endpoints.items()],
        restore_drill=_value_or(results["restore drill"], None),
        retention=_value_or(results["retention"], None),
        software=_value_or(results["software"], None)
        or Software(version="unknown", python=platform.python_version(), dagster=dagster_version),
    )


def _value_or[T](result: Any, default: T) -> T:
    return default if isinstance(result, Exception) else result


def _stream_job(site: Site, name: str, now: datetime) -> Callable[[], list[Freshness]]:
    return lambda: list(measure_stream(site, name, read_summary(site), now))


def _all_freshness(site: Site, results: Mapping[str, Any]) -> list[Freshness]:
    streams: list[Freshness] = []
    for name in site.streams:
        result = results[f"stream {name}"]
        streams += unknown_stream_freshness(site, name, _reason(result)) if isinstance(result, Exception) else result
    result = results["products"]
    return [
        *streams,
        *(unknown_product_freshness(site, _reason(result)) if isinstance(result, Exception) else result),
    ]


def _manifests(site: Site, result: Mapping[str, Manifest] | Exception) -> list[Manifest]:
    """Return the manifests of each stream if there is an archive, also of a stream that has none yet."""
    if site.archive is None:
        return []
    if isinstance(result, Exception):
        return [unreadable_manifest(name, _reason(result)) for name in site.streams]
    return [result.get(name) or Manifest(stream=name) for name in site.streams]


def _reason(error: Exception) -> str:
    return printable(str(error) or type(error).__name__)


def _local_directories(site: Site) -> dict[str, Path]:
    paths = site.paths
    return {"raw": paths.raw, "products": paths.products, "state": paths.state, "manifests": paths.manifests}


def _hosts(site: Site) -> dict[str, SshHost]:
    hosts = {name: host for name, host in site.hosts.items() if isinstance(host, SshHost)}
    return hosts | {name: host for name, host in _archive_hosts(site).items() if isinstance(host, SshHost)}


def _archive_hosts(site: Site) -> dict[str, ArchiveDirectory | SshHost]:
    return {f"archive {host.report_name}": host for host in site.archive.hosts} if site.archive else {}


def _remote_directories(site: Site, name: str) -> list[tuple[str, str]]:
    """Return name and path of the directories that the site uses on a host."""
    if name.startswith("archive ") and site.archive:
        return [(f"{name} raw", site.archive.raw), (f"{name} products", site.archive.products)]
    paths = sorted({stream.path for stream in site.streams.values() if stream.host == name and stream.enabled})
    return [(f"host {name} {path}", path) for path in paths]


def _archive_jobs(site: Site) -> dict[str, Callable[[], tuple[HostState, list[Filesystem]]]]:
    """Return a job for an archive on this machine: are its disks mounted, apart from ours, and how full are they?"""
    archive = site.archive
    if archive is None or archive.directory is None:
        return {}
    host, name = archive.directory, f"archive {archive.directory.report_name}"
    directories, local_copies = _remote_directories(site, name), Layout.of(site).raw_roots

    def read_directories() -> tuple[HostState, list[Filesystem]]:
        for _, path in directories:
            check_root(archive, host, local_copies, path)
        state = HostState(name=name, address=host.report_name, reachable=True, clock_skew_s=0.0)
        return state, [_disk_job(disk, Path(path))() for disk, path in directories]

    return {name: read_directories}


def _disk_job(name: str, path: Path) -> Callable[[], Filesystem]:
    def read_disk() -> Filesystem:
        try:
            # A directory that does not exist yet will be on its parent's file system.
            status = os.statvfs(next(existing for existing in (path, *path.parents) if existing.exists()))
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

    return read_disk


def _host_job(
    name: str, host: SshHost, directories: Sequence[tuple[str, str]], run_on_host: HostCommand
) -> Callable[[], tuple[HostState, list[Filesystem]]]:
    def read_host() -> tuple[HostState, list[Filesystem]]:
        before = time.time()
        output = run_on_host(host, ["sh", "-c", REMOTE_SCRIPT, "aurora-health", *(path for _, path in directories)])
        after = time.time()
        lines = output.split("\n")
        # A login shell may print something first; the script's own first line is recognized by its form.
        first = next((n for n, line in enumerate(lines) if re.fullmatch(r"aurora \d{1,11}\.\d{1,9}", line)), None)
        if first is None:
            return HostState(name=name, address=host.address, reachable=True, error="its answer has no time"), [
                Filesystem(name=disk, path=path, error="no answer") for disk, path in directories
            ]
        clock = float(lines[first].split()[1])
        # The host read its clock somewhere between the two times; the session may have had to be opened first.
        skew = clock - after if clock > after else min(0.0, clock - before)
        state = HostState(name=name, address=host.address, reachable=True, clock_skew_s=round(skew, 1))
        return state, [_parse_df(lines[first + 1 :], n, *directory) for n, directory in enumerate(directories)]

    return read_host


def _parse_df(lines: Sequence[str], number: int, name: str, path: str) -> Filesystem:
    """Parse the two lines of the directory with this number: ``df`` in kB, then in inodes."""
    space, inodes = (next(iter(lines[2 * number + offset :]), "") for offset in (0, 1))
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


def _disks_and_hosts(site: Site, results: Mapping[str, Any]) -> tuple[list[Filesystem], list[HostState]]:
    disks: list[Filesystem] = []
    hosts: list[HostState] = []
    for name, path in _local_directories(site).items():
        result = results[f"disk {name}"]
        disks.append(
            Filesystem(name=name, path=str(path), error=str(result)) if isinstance(result, Exception) else result
        )
    addresses = {name: host.address for name, host in _hosts(site).items()}
    addresses |= {name: host.report_name for name, host in _archive_hosts(site).items()}
    for name, address in addresses.items():
        result = results[f"host {name}"]
        if isinstance(result, Exception):
            hosts.append(HostState(name=name, address=address, reachable=False, error=str(result)))
            disks += [
                Filesystem(name=disk, path=path, error="its host does not answer")
                for disk, path in _remote_directories(site, name)
            ]
        else:
            hosts.append(result[0])
            disks += result[1]
    return disks, hosts


def _page_job(fetch: Fetcher, name: str, url: str) -> Callable[[], Page]:
    return lambda: fetch(name, url)


def _page_or_error(result: Any, name: str, url: str) -> Page:
    return Page(name=name, url=url, error=str(result)) if isinstance(result, Exception) else result


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
    """Return the commit that pip installed the package from; None if it did not come from a repository (PEP 610)."""
    origin = json.loads(metadata.distribution("aurora-platform").read_text("direct_url.json") or "{}")
    commit = origin.get("vcs_info", {}).get("commit_id")
    return commit[:12] if commit else None


def _git(checkout: Path, *arguments: str) -> str | None:
    """Return the output of git; None if the checkout is no repository, or git is not installed."""
    try:
        done = subprocess.run(
            # Without this, git status would write the index; a snapshot changes nothing.
            ["git", "--no-optional-locks", "-C", str(checkout), *arguments],
            capture_output=True,
            text=True,
            timeout=_GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
