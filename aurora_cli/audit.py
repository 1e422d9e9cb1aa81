"""``aurora audit``: check everything that can make a first deployment fail. It writes nothing."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import click
from rich.text import Text

from aurora_cli.console import print_json, print_line, print_table, wait_display
from aurora_cli.context import days_until_today, describe_later_start, read_only_connections
from aurora_platform.concurrency import run_concurrently
from aurora_platform.config.hosts import ArchiveDirectory, SshHost
from aurora_platform.config.site import DEFAULT_SITE, Site, load_site
from aurora_platform.errors import AuroraError, HostError, SiteError
from aurora_platform.fs.disk_errors import describe_os_error
from aurora_platform.layout import Layout
from aurora_platform.mirror.scan import Survey, none_matches, scan
from aurora_platform.operations.audit_archive import ArchiveDirectoryAudit
from aurora_platform.operations.audit_host import HostAudit, HostDirectory, audit_known_hosts
from aurora_platform.operations.audit_local import local_audits
from aurora_platform.operations.audit_result import AuditLine, Level
from aurora_platform.text import counted
from aurora_platform.transport.connections import Connections

_AT_ONCE = 8  # scans per host at the same time; sshd allows ten sessions per connection (MaxSessions)
_DEEP_BOUND = 600  # s, to read the databases
_DISK_BOUND = 20  # s; a network file system whose server is down would block us for ever


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for other programs.")
@click.option(
    "--deep", is_flag=True, help="Also try what each file system gives, and read every database whole (minutes)."
)
@click.pass_obj
def audit(file: Path | None, as_json: bool, deep: bool) -> None:
    """Check that this machine, every host and the archive are ready for use.

    Writes nothing; with --deep, hidden files that are removed at once, and what was learnt of the file systems. Run it
    before the first start, and when something does not work. Levels: `ok`; `warn`: check it; `FAIL`: the platform would
    not work; `off`: planned offline, not begun, or not checked.

    \b
    Exit codes: 0 nothing is FAIL; 1 something is FAIL.
    Example: aurora --site /srv/aurora/site.yaml audit
    """
    try:
        site = load_site(file)
    except SiteError as error:
        step = "correct the key in the message; docs/site-file.md explains all keys"
        lines, name = [AuditLine("site file", Level.FAIL, str(error), step)], "no site"
    else:
        result = f"{file or DEFAULT_SITE}: {site.name}, {counted(len(site.streams), 'stream')}"
        lines, name = [AuditLine("site file", Level.OK, result), *audit_site(site, deep=deep)], site.name
    count = Counter(line.level for line in lines)
    if as_json:
        print_json(
            {
                "site": name,
                "count": {level.value: count[level] for level in Level},
                "findings": [asdict(line) for line in lines],
            }
        )
    else:
        _show(name, lines)
        print_line(
            ", ".join(f"{count[level]} {level.value}" for level in Level), "red" if count[Level.FAIL] else "green"
        )
    if count[Level.FAIL]:
        raise click.exceptions.Exit(1)


def audit_site(site: Site, *, deep: bool = False) -> list[AuditLine]:
    """Audit this machine, the hosts and the archive at the same time, so that a slow host delays no other check."""
    limits = site.limits
    # Per host: three steps of connecting, the start of a program, and the answers of four programs.
    bound = (4 * limits.connect + 4 * limits.look).total_seconds()
    with read_only_connections(site, within=limits.look) as (connections, _), wait_display() as display:
        machine = local_audits(site, deep=deep) | {
            "known_hosts": partial(audit_known_hosts, Layout.of(site).known_hosts)
        }
        ssh_hosts = {host_audit.name: host_audit for host_audit in _ssh_audits(site, connections)}
        archive = {host_audit.name: host_audit for host_audit in _archive_audits(site, connections)}
        other_hosts = {
            f"host {name}": partial(_audit_other_host, site, connections, name) for name in _other_host_names(site)
        }
        remote = {
            name: display.track(name, partial(_audit_ssh_host, site, connections, host_audit))
            for name, host_audit in ssh_hosts.items()
        }
        remote |= {name: display.track(name, job) for name, job in other_hosts.items()}
        remote |= {name: display.track(name, host_audit.audit) for name, host_audit in archive.items()}
        local_streams = {
            name: partial(_audit_includes, site, connections, [name])
            for name, stream in site.streams.items()
            if stream.enabled and site.hosts[stream.host].is_local
        }
        batches = -(-len(site.streams) // _AT_ONCE)
        # A disk has no bound of its own: it is checked in a thread that may be left behind.
        results = run_concurrently(
            {
                "machine": display.track(
                    "the local disks",
                    lambda: run_concurrently(
                        {name: partial(_as_list, job) for name, job in machine.items()},
                        _DEEP_BOUND if deep else _DISK_BOUND,
                    ),
                ),
                "streams": lambda: run_concurrently(local_streams, 2 * limits.look.total_seconds()),
                "remote": lambda: run_concurrently(remote, bound + 2 * batches * limits.look.total_seconds()),
            }
        )
    lines = {
        name: _lines_or_failure(name, result)
        for group in results.values()
        for name, result in _results_or_raise(group).items()
    }
    return [
        *(line for name in machine for line in lines[name]),
        *(line for name in local_streams for line in lines[name]),
        *(line for name in ssh_hosts for line in lines[name]),
        *(line for name in other_hosts for line in lines[name]),
        *_audit_offline(site),
        *_relax_if_one_host_works([lines[name] for name in archive]),
    ]


def _as_list(job: Callable[[], Iterable[AuditLine]]) -> list[AuditLine]:
    return list(job())


def _results_or_raise[Result](group: dict[str, Result | Exception] | Exception) -> dict[str, Result | Exception]:
    if isinstance(group, Exception):
        raise group
    return group


def _lines_or_failure(name: str, result: list[AuditLine] | Exception) -> list[AuditLine]:
    if not isinstance(result, Exception):
        return result
    if isinstance(result, TimeoutError):
        return [AuditLine(name, Level.FAIL, str(result), "check the host, or the network file system: is it down?")]
    if isinstance(result, OSError) and result.strerror:
        return [AuditLine(name, Level.FAIL, describe_os_error(result))]
    if isinstance(result, AuroraError):
        return [AuditLine(name, Level.FAIL, str(result))]
    # The edge that records and goes on: an audit that fails must not hide the results of the others.
    return [AuditLine(name, Level.FAIL, f"{type(result).__name__}: {result}", "report this as a bug")]


def _ssh_audits(site: Site, connections: Connections) -> Iterator[HostAudit]:
    """Yield the SSH hosts that have an enabled stream, with the directories of these streams."""
    for name, host in site.hosts.items():
        streams = {key: stream for key, stream in site.streams.items() if stream.host == name and stream.enabled}
        if streams and isinstance(host, SshHost):
            places = {
                f"source {key}": HostDirectory(stream.path, f"streams.{key}.path") for key, stream in streams.items()
            }
            yield HostAudit(f"host {name}", f"hosts.{name}", host, places, connections, Layout.of(site).known_hosts)


def _audit_ssh_host(site: Site, connections: Connections, host_audit: HostAudit) -> list[AuditLine]:
    """Audit a host, and the `include` of the streams whose directories can be read."""
    lines = host_audit.audit()
    names = [line.component.removeprefix("source ") for line in lines if line.level is Level.OK]
    return [
        *lines,
        *_audit_includes(site, connections, [name for name in names if f"source {name}" in host_audit.directories]),
    ]


def _other_host_names(site: Site) -> list[str]:
    """List the hosts with an enabled stream that are neither this machine nor reached over SSH."""
    used = {stream.host for stream in site.streams.values() if stream.enabled}
    return [
        name
        for name, host in site.hosts.items()
        if name in used and not host.is_local and not isinstance(host, SshHost)
    ]


def _audit_other_host(site: Site, connections: Connections, name: str) -> list[AuditLine]:
    """Audit a host on which no program can run: log in and list its streams."""
    host = site.hosts[name]
    streams = [key for key, stream in site.streams.items() if stream.host == name and stream.enabled]
    try:
        connections.login(host)
    except HostError as error:
        sources = [AuditLine(f"source {key}", Level.OFF, f"not checked: {site.streams[key].path}") for key in streams]
        return [AuditLine(f"host {name}", Level.FAIL, str(error), f"correct hosts.{name}, or check the host"), *sources]
    what = f"kind {host.kind}: no program can run on it, so only its streams are listed"
    lines = [AuditLine(f"host {name}", Level.OK, what)]
    for key, result in _scan_streams(site, connections, streams).items():
        stream = site.streams[key]
        if isinstance(result, Survey):
            lines.append(AuditLine(f"source {key}", Level.OK, f"listed: {stream.path}"))
            lines += _audit_include(site, key, result)
        elif isinstance(result, HostError):
            lines.append(
                AuditLine(f"source {key}", Level.FAIL, str(result), f"correct streams.{key}.path, or hosts.{name}")
            )
        else:
            lines += _lines_or_failure(f"source {key}", result)
    return lines


def _audit_includes(site: Site, connections: Connections, names: list[str]) -> list[AuditLine]:
    """Report the streams whose `include` matches no file."""
    # A directory that cannot be listed has an audit line of its own with the reason.
    surveys = _scan_streams(site, connections, names).items()
    return [
        line for name, result in surveys if isinstance(result, Survey) for line in _audit_include(site, name, result)
    ]


def _scan_streams(site: Site, connections: Connections, names: list[str]) -> dict[str, Survey | Exception]:
    """Scan these streams, except those that begin later; returns a survey or an error per stream."""
    now = datetime.now(UTC)
    scans = {
        name: partial(
            scan,
            stream,
            connections.source(site.hosts[stream.host], within=site.limits.look.total_seconds()),
            Layout.of(site).raw_root(name),
            days_until_today(stream.live_from(now), now),
            site.limits.look,
        )
        for name in names
        if not describe_later_start(stream := site.streams[name], now)
    }
    return run_concurrently(scans, at_once=_AT_ONCE)


def _audit_include(site: Site, name: str, survey: Survey) -> Iterator[AuditLine]:
    if survey.unmatched:
        what = f"{none_matches(survey.unmatched)}: {', '.join(site.streams[name].include)}"
        yield AuditLine(f"include {name}", Level.WARN, what, f"correct streams.{name}.include, or its path")


def _archive_audits(site: Site, connections: Connections) -> Iterator[HostAudit | ArchiveDirectoryAudit]:
    """Yield the hosts of the archive, with the directories of the archive."""
    for host in site.archive.hosts if site.archive else ():
        assert site.archive is not None
        name = f"archive {host.report_name}"
        if isinstance(host, ArchiveDirectory):
            yield ArchiveDirectoryAudit(name, site.archive, host, Layout.of(site).raw_roots)
            continue
        places = {
            f"{name} raw": HostDirectory(site.archive.raw, "archive.raw", is_written=True),
            f"{name} products": HostDirectory(site.archive.products, "archive.products", is_written=True),
        }
        yield HostAudit(name, "archive.hosts", host, places, connections, Layout.of(site).known_hosts)


def _audit_offline(site: Site) -> Iterator[AuditLine]:
    for name, stream in site.streams.items():
        if not stream.enabled:
            yield AuditLine(f"source {name}", Level.OFF, f"planned offline (enabled: false): {stream.path}")
        elif begins := describe_later_start(stream, datetime.now(UTC)):
            yield AuditLine(f"start {name}", Level.OFF, f"{begins}: until then nothing is listed or fetched")
    for name in site.hosts:
        if not any(stream.enabled for stream in site.streams.values() if stream.host == name):
            yield AuditLine(f"host {name}", Level.OFF, "no stream of this host is enabled: not checked")


def _relax_if_one_host_works(hosts: list[list[AuditLine]]) -> Iterator[AuditLine]:
    """Lower FAIL to warn if one host of the archive has no FAIL: the first host that answers is used."""
    has_working_host = any(Level.FAIL not in {line.level for line in lines} for lines in hosts)
    for line in (line for lines in hosts for line in lines):
        yield replace(line, level=Level.WARN) if has_working_host and line.level is Level.FAIL else line


def _show(name: str, lines: list[AuditLine]) -> None:
    print_table(
        f"audit of {name}",
        ["component", "level", "result", "next step"],
        [
            [line.component, Text(line.level.value, f"bold {line.level.colour}"), line.what, line.next_step]
            for line in lines
        ],
    )
