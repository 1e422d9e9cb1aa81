"""``aurora audit``: everything that a first deployment trips over, looked at before it does. It writes nothing."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import click
from rich.text import Text

from aurora_cli.console import say, show_json, show_table, waiting
from aurora_cli.context import days_from, not_begun, read_only_connections
from aurora_platform.concurrency import run_concurrently
from aurora_platform.config.hosts import SshHost
from aurora_platform.config.site import DEFAULT_SITE, Site, load_site
from aurora_platform.errors import HostError, SiteError
from aurora_platform.layout import Layout
from aurora_platform.mirror.scan import Survey, none_matches, scan
from aurora_platform.operations.audit_host import Place, Visit, host_keys
from aurora_platform.operations.audit_local import local_audits
from aurora_platform.operations.audit_result import AuditLine, Level
from aurora_platform.text import counted
from aurora_platform.transport.connections import Connections

_AT_ONCE = 8  # looks at one host at the same time, as sshd has ten sessions for a connection (MaxSessions)
_DISK_BOUND = 20  # s; a network file system whose server is gone would hold us for ever


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For another program.")
@click.pass_obj
def audit(file: Path | None, as_json: bool) -> None:
    """Check, without writing anything, what the platform needs: here, on every host, and in the archive.

    Exit code 1 where something is FAIL: the platform would not work. `warn` is worth a look, `off` is planned offline.
    """
    try:
        site = load_site(file)
    except SiteError as error:
        step = "correct the key that is named; docs/site-file.md explains each"
        found, name = [AuditLine("site file", Level.FAIL, str(error), step)], "no site"
    else:
        used = file or DEFAULT_SITE
        found, name = (
            [AuditLine("site file", Level.OK, f"{used}: {site.name}, {counted(len(site.streams), 'stream')}")],
            site.name,
        )
        found += _look(site)
    count = Counter(line.level for line in found)
    if as_json:
        show_json(
            {
                "site": name,
                "count": {level.value: count[level] for level in Level},
                "findings": [asdict(one) for one in found],
            }
        )
    else:
        _show(name, found)
        say(", ".join(f"{count[level]} {level.value}" for level in Level), "red" if count[Level.FAIL] else "green")
    if count[Level.FAIL]:
        raise click.exceptions.Exit(1)


def _look(site: Site) -> list[AuditLine]:
    """All looks at the same time: what does not answer costs its own bound, and nobody else's."""
    limits = site.limits
    # Three steps of connecting and a start of a program, and a bound for what each of the four says.
    bound = (4 * limits.connect + 4 * limits.look).total_seconds()
    with read_only_connections(site, within=limits.look) as (connections, _), waiting() as waits:
        here = local_audits(site) | {"known_hosts": partial(host_keys, Layout.of(site).known_hosts)}
        hosts = {visit.name: visit for visit in _hosts(site, connections)}
        archive = {visit.name: visit for visit in _archive(site, connections)}
        others = {f"host {name}": partial(_other_kind, site, connections, name) for name in _of_other_kinds(site)}
        far = {name: waits.on(name, partial(_host, site, connections, visit)) for name, visit in hosts.items()}
        far |= {name: waits.on(name, look) for name, look in others.items()}
        far |= {name: waits.on(name, visit.audit) for name, visit in archive.items()}
        local = {
            name: partial(_streams, site, connections, [name])
            for name, stream in site.streams.items()
            if stream.enabled and site.hosts[stream.host].is_local
        }
        turns = -(-len(site.streams) // _AT_ONCE)
        # A disk has no bound of its own: it is looked at in a thread that may be left behind.
        ends = run_concurrently(
            {
                "here": waits.on(
                    "the disks here",
                    lambda: run_concurrently({name: partial(_listed, one) for name, one in here.items()}, _DISK_BOUND),
                ),
                "streams": lambda: run_concurrently(local, 2 * limits.look.total_seconds()),
                "far": lambda: run_concurrently(far, bound + 2 * turns * limits.look.total_seconds()),
            }
        )
    found = {name: _findings(name, end) for group in ends.values() for name, end in _all_of(group).items()}
    return [
        *(line for name in here for line in found[name]),
        *(line for name in local for line in found[name]),
        *(line for name in hosts for line in found[name]),
        *(line for name in others for line in found[name]),
        *_offline(site),
        *_one_is_enough([found[name] for name in archive]),
    ]


def _listed(lines: Callable[[], Iterable[AuditLine]]) -> list[AuditLine]:
    return list(lines())


def _all_of[Result](group: dict[str, Result | Exception] | Exception) -> dict[str, Result | Exception]:
    if isinstance(group, Exception):
        raise group
    return group


def _findings(name: str, end: list[AuditLine] | Exception) -> list[AuditLine]:
    if not isinstance(end, Exception):
        return end
    if isinstance(end, TimeoutError):
        return [AuditLine(name, Level.FAIL, str(end), "is it a network file system, or a host, that is gone?")]
    # The edge that records and goes on: a look that breaks must not hide what the others saw.
    return [AuditLine(name, Level.FAIL, f"{type(end).__name__}: {end}", "please report this")]


def _hosts(site: Site, connections: Connections) -> Iterator[Visit]:
    """The hosts with a stream that is on, and where its files lie there."""
    for name, host in site.hosts.items():
        streams = {key: one for key, one in site.streams.items() if one.host == name and one.enabled}
        if streams and isinstance(host, SshHost):
            places = {f"source {key}": Place(one.path, f"streams.{key}.path") for key, one in streams.items()}
            yield Visit(f"host {name}", f"hosts.{name}", host, places, connections, Layout.of(site).known_hosts)


def _host(site: Site, connections: Connections, visit: Visit) -> list[AuditLine]:
    """A host, and what lies in those of its directories that can be read."""
    found = visit.audit()
    names = [one.component.removeprefix("source ") for one in found if one.level is Level.OK]
    return [*found, *_streams(site, connections, [name for name in names if f"source {name}" in visit.places])]


def _of_other_kinds(site: Site) -> list[str]:
    """The hosts with a stream that is on which are neither this machine nor one on which programs can be run."""
    used = {stream.host for stream in site.streams.values() if stream.enabled}
    return [
        name
        for name, host in site.hosts.items()
        if name in used and not host.is_local and not isinstance(host, SshHost)
    ]


def _other_kind(site: Site, connections: Connections, name: str) -> list[AuditLine]:
    """A host that can be asked nothing but what its streams list, and those streams."""
    host = site.hosts[name]
    streams = [key for key, one in site.streams.items() if one.host == name and one.enabled]
    try:
        connections.login(host)
    except HostError as error:
        unseen = [AuditLine(f"source {key}", Level.OFF, f"not seen: {site.streams[key].path}") for key in streams]
        return [AuditLine(f"host {name}", Level.FAIL, str(error), f"correct hosts.{name}, or see to the host"), *unseen]
    what = f"of kind {host.kind}: no program can be run there, so its streams are listed, and no more is asked"
    found = [AuditLine(f"host {name}", Level.OK, what)]
    for key, end in _surveys(site, connections, streams).items():
        stream = site.streams[key]
        if isinstance(end, Survey):
            found.append(AuditLine(f"source {key}", Level.OK, f"listed: {stream.path}"))
            found += _unmatched(site, key, end)
        elif isinstance(end, HostError):
            found.append(
                AuditLine(f"source {key}", Level.FAIL, str(end), f"correct streams.{key}.path, or hosts.{name}")
            )
        else:
            found += _findings(f"source {key}", end)
    return found


def _streams(site: Site, connections: Connections, names: list[str]) -> list[AuditLine]:
    """Streams whose patterns match nothing of what lies there."""
    # What cannot be looked at is no finding of its own: the directory has one that says why.
    surveys = _surveys(site, connections, names).items()
    return [line for name, end in surveys if isinstance(end, Survey) for line in _unmatched(site, name, end)]


def _surveys(site: Site, connections: Connections, names: list[str]) -> dict[str, Survey | Exception]:
    """What a look at each of these streams has seen, or why it has not; those that have not begun are left out."""
    now = datetime.now(UTC)
    looks = {
        name: partial(
            scan,
            stream,
            connections.source(site.hosts[stream.host], within=site.limits.look.total_seconds()),
            Layout.of(site).raw_root(name),
            days_from(stream.live_from(now), now),
            site.limits.look,
        )
        for name in names
        if not not_begun(stream := site.streams[name], now)
    }
    return run_concurrently(looks, at_once=_AT_ONCE)


def _unmatched(site: Site, name: str, survey: Survey) -> Iterator[AuditLine]:
    if survey.unmatched:
        what = f"{none_matches(survey.unmatched)}: {', '.join(site.streams[name].include)}"
        yield AuditLine(f"include {name}", Level.WARN, what, f"correct streams.{name}.include, or its path")


def _archive(site: Site, connections: Connections) -> Iterator[Visit]:
    """The archive's hosts, and its directories as each of them sees them."""
    for host in site.archive.hosts if site.archive else ():
        assert site.archive is not None
        name = f"archive {host.address}"
        places = {
            f"{name} raw": Place(site.archive.raw, "archive.raw", is_written=True),
            f"{name} products": Place(site.archive.products, "archive.products", is_written=True),
        }
        yield Visit(name, "archive.hosts", host, places, connections, Layout.of(site).known_hosts)


def _offline(site: Site) -> Iterator[AuditLine]:
    for name, stream in site.streams.items():
        if not stream.enabled:
            yield AuditLine(f"source {name}", Level.OFF, f"planned offline (enabled: false): {stream.path}")
        elif begins := not_begun(stream, datetime.now(UTC)):
            yield AuditLine(f"start {name}", Level.OFF, f"{begins}: until then nothing is looked at or fetched")
    for name in site.hosts:
        if not any(stream.enabled for stream in site.streams.values() if stream.host == name):
            yield AuditLine(f"host {name}", Level.OFF, "no stream of it is on: not asked")


def _one_is_enough(hosts: list[list[AuditLine]]) -> Iterator[AuditLine]:
    """The archive's findings: the first host that answers is used, so where one is all right, others may be down."""
    is_one_good = any(Level.FAIL not in {line.level for line in lines} for lines in hosts)
    for line in (line for lines in hosts for line in lines):
        yield replace(line, level=Level.WARN) if is_one_good and line.level is Level.FAIL else line


def _show(name: str, found: list[AuditLine]) -> None:
    show_table(
        f"audit of {name}",
        ["component", "level", "what", "next step"],
        [[one.component, Text(one.level.value, f"bold {one.level.colour}"), one.what, one.next_step] for one in found],
    )
