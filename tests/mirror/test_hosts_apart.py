"""Hosts in trouble: each stream ends by its own bound with its own error, and none delays or fails another."""

import math
import random
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from aurora_platform.config.site import Site
from aurora_platform.errors import AuroraError, HostError, TransferError
from aurora_platform.layout import Layout
from aurora_platform.mirror.scan import Survey, look
from aurora_platform.mirror.sync import MirrorReport, mirror_days
from aurora_platform.transport.connections import Connections
from aurora_simulator.ssh_server import SshServer
from tests.mirror.parts import ANYTHING, DAY, LOG, differences, left_over, write
from tests.troubled_hosts import Proxy, accepts_and_never_answers, nothing_listens

# In s, as whole seconds are what a site file has; on a machine that is busy now, so many times that (see `busy`).
CONNECT, STALL, LOOK = 3, 2, 4
SLACK = 3  # for what is work and no waiting
MOST_BUSY = 10  # limits.look has a limit itself
PASS = 0.5  # at most, of one good stream alone on a machine that has nothing else to do
SIZE, CUT_AFTER = 6_000_000, 2_000_000


@dataclass(frozen=True)
class Observatory:
    """Two good streams, and one on each host that is in trouble."""

    site: Site
    ports: dict[str, int]
    busy: int = 1
    """How many times longer this machine takes now, and all bounds are, than where it has nothing else to do."""

    @property
    def connect(self) -> int:
        return CONNECT * self.busy

    @property
    def stall(self) -> int:
        return STALL * self.busy

    @property
    def look(self) -> int:
        return LOOK * self.busy

    @property
    def slack(self) -> int:
        return SLACK * self.busy

    @property
    def connections(self) -> Connections:
        return Connections.of(self.site)

    def there(self, stream: str) -> Path:
        return Path(self.site.streams[stream].path)

    def run(self, name: str) -> MirrorReport:
        """What a run does."""
        stream, connections = self.site.streams[name], self.connections
        host = self.site.hosts[stream.host]
        return mirror_days(
            name,
            stream,
            [DAY],
            source=connections.source(host),
            transfer=connections.transfer(host, LOG, basis=Layout.of(self.site).raw_root(name)),
            raw=self.site.paths.raw,
            locks=Layout.of(self.site).locks,
            wait=self.site.limits.lock,
        )

    def tick(self, name: str) -> Survey:
        """What a sensor does."""
        stream, within = self.site.streams[name], self.site.limits.look
        source = self.connections.source(self.site.hosts[stream.host], within=within.total_seconds())
        return look(stream, source, Layout.of(self.site).raw_root(name), [DAY], within=within)

    def all_at_once(self, act: Callable[[str], Any]) -> "dict[str, Ended]":
        """Do something for every stream in a thread of its own."""
        began = time.monotonic()

        def ended(name: str) -> Ended:
            try:
                result = act(name)
            except AuroraError as error:
                result = error
            return Ended(result, time.monotonic() - began)

        with ThreadPoolExecutor(len(self.site.streams)) as pool:
            return dict(zip(self.site.streams, pool.map(ended, self.site.streams), strict=True))


@dataclass(frozen=True)
class Ended:
    """How the work on a stream ended, and after how many s."""

    result: Any
    seconds: float

    @property
    def said(self) -> str:
        return f"{type(self.result).__name__}: {self.result}"


HOSTS = ("good", "dead", "half_open", "cut", "silent")
STREAMS = {"one": "good", "two": "good", **{name: name for name in HOSTS[1:]}}


@pytest.fixture
def observatory(tmp_path: Path) -> Iterator[Observatory]:
    for name in STREAMS:
        write(tmp_path / "far" / name, {"small": b"x"})
    for name in ("cut", "silent"):
        write(tmp_path / "far" / name, {"big": random.Random(name).randbytes(SIZE)})
    with ExitStack() as stack:
        server = stack.enter_context(SshServer(tmp_path / "sshd", address="127.0.0.2"))
        cut, silent = (
            stack.enter_context(
                Proxy(server, address, way, left=CUT_AFTER, ready=partial(half_is_here, tmp_path, name))
            )
            for address, way, name in (("127.0.0.5", "cuts", "cut"), ("127.0.0.6", "goes silent", "silent"))
        )
        at = {
            "good": (server.address, server.port),
            "dead": ("127.0.0.3", stack.enter_context(nothing_listens("127.0.0.3"))),
            "half_open": ("127.0.0.4", stack.enter_context(accepts_and_never_answers("127.0.0.4"))),
            "cut": (cut.address, cut.port),
            "silent": (silent.address, silent.port),
        }
        login = {"kind": "ssh", "user": server.user, "auth": "key", "identity": str(server.identity)}

        def site_at(home: Path, busy: int) -> Site:
            limits = {"connect": CONNECT, "stall": STALL, "look": LOOK, "listing": 20}
            return Site.model_validate(
                {
                    "name": "apart",
                    "paths": {name: str(home / name) for name in ("raw", "products", "state", "manifests")},
                    "hosts": {
                        name: {**login, "address": address, "port": port} for name, (address, port) in at.items()
                    },
                    "streams": {
                        name: {**ANYTHING, "host": host, "path": str(tmp_path / "far" / name), "raw": name}
                        for name, host in STREAMS.items()
                    },
                    "limits": {name: f"{seconds * busy}s" for name, seconds in limits.items()},
                }
            )

        ports = {name: port for name, (_, port) in at.items()}
        began = time.monotonic()
        Observatory(site_at(tmp_path / "alone", MOST_BUSY), ports).run("one")
        busy = min(MOST_BUSY, math.ceil((time.monotonic() - began) / PASS))
        yield Observatory(site_at(tmp_path, busy), ports, busy)


def half_is_here(home: Path, name: str) -> bool:
    """Whether half of what comes through before the line fails is written here."""
    return sum(path.stat().st_size for path in (home / "raw/.incoming" / name / "new").glob("big*")) > CUT_AFTER / 2


def check_unreachable(ended: dict[str, Ended], at: Observatory, bound: float) -> None:
    """The dead and the half-open host, of a run as of a sensor."""
    dead, half_open = ended["dead"], ended["half_open"]
    assert isinstance(dead.result, HostError)
    assert str(dead.result).startswith(f"127.0.0.3:{at.ports['dead']}: "), dead.said
    assert "Unable to connect" in str(dead.result), dead.said
    assert dead.seconds < at.slack, "a refusal is no waiting"
    assert isinstance(half_open.result, HostError)
    assert str(half_open.result).startswith(f"127.0.0.4:{at.ports['half_open']}: "), half_open.said
    assert dead.result.transient, "it is tried again"
    assert half_open.result.transient
    assert half_open.seconds < bound


def slack_beside(ended: dict[str, Ended], at: Observatory) -> float:
    """What is work and no waiting, by what the good streams took that ran at the same time: a list, a copy, a list."""
    return max(at.slack, 4 * max(ended[name].seconds for name in ("one", "two")))


def test_runs_of_all_streams_end_each_by_its_own_bound_and_what_was_cut_is_resumed(observatory: Observatory) -> None:
    first = observatory.all_at_once(observatory.run)
    check_unreachable(first, observatory, observatory.connect + observatory.slack)
    for name in ("one", "two"):
        assert isinstance(first[name].result, MirrorReport), first[name].said
        assert first[name].result.total("copied") == 1
        assert first[name].seconds < min(first["half_open"].seconds, observatory.slack), "it waited for nobody"
    for name, said, waits in (
        ("cut", r"rsync ended with (12|255) \(.*connection", 0),
        # What had come whole is listed again, for which a session that went silent has that long to answer.
        ("silent", r"rsync ended with 30 \(nothing moved for too long\)", observatory.stall + observatory.connect),
    ):
        error = first[name].result
        assert isinstance(error, TransferError), first[name].said
        assert re.match(said, str(error)), first[name].said
        assert "\n" not in str(error)
        assert error.transient
        assert first[name].seconds < waits + slack_beside(first, observatory)
        assert not (Layout.of(observatory.site).raw_root(name) / "big").exists(), "half a file has no name"

    second = observatory.all_at_once(observatory.run)
    check_unreachable(second, observatory, observatory.connect + observatory.slack)
    for name in ("one", "two"):
        assert second[name].result.total("unchanged") == 1
    for name in ("cut", "silent"):
        report = second[name].result
        assert isinstance(report, MirrorReport), second[name].said
        assert report.resumed_bytes > CUT_AFTER / 4
        # The session that went silent is found dead after the bound for an answer, and replaced.
        waits = observatory.connect if name == "silent" else 0
        assert second[name].seconds < waits + slack_beside(second, observatory)
    for name in ("one", "two", "cut", "silent"):
        assert differences(observatory.there(name), Layout.of(observatory.site).raw_root(name)) == []
    assert left_over(observatory.site.paths.raw) == []


def test_looks_of_all_sensors_end_each_by_its_own_bound(observatory: Observatory) -> None:
    ended = observatory.all_at_once(observatory.tick)
    check_unreachable(ended, observatory, observatory.look)
    for name in ("one", "two", "cut", "silent"):
        assert isinstance(ended[name].result, Survey), ended[name].said
        assert [day.missing for day in ended[name].result.behind] == [1 if name in ("one", "two") else 2]
        assert ended[name].seconds < observatory.slack
