"""Hosts in trouble: each stream ends by its own bound with its own error, and none delays or fails another."""

import random
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from aurora_platform.config.site import Site
from aurora_platform.errors import AuroraError, HostError, TransferError
from aurora_platform.layout import Layout
from aurora_platform.mirror.reports import MirrorReport
from aurora_platform.mirror.scan import Survey, scan
from aurora_platform.mirror.sync import mirror_days
from aurora_platform.transport.connections import Connections
from aurora_simulator.ssh_server import SshServer
from tests.mirror.parts import ANYTHING, DAY, LOG, differences, left_over, write
from tests.patience import factor, patient
from tests.troubled_hosts import Proxy, accepts_and_never_answers, nothing_listens

# In s, as whole seconds are what a site file has; limits.look may be 50 s at most.
CONNECT, STALL, LOOK = 4 * factor(), 4 * factor(), min(48, 8 * factor())
NEVER = 100 * factor()
SLACK = patient(15)  # for what is work and no waiting, of which there is half a second
SIZE, CUT_AFTER = 6_000_000, 2_000_000


@dataclass(frozen=True)
class Observatory:
    """Two good streams, and one on each host that is in trouble."""

    site: Site
    ports: dict[str, int]
    hangs: ExitStack
    """The hosts in trouble; closed, they hang no more, and whoever waits for one is told."""

    def with_limits(self, **seconds: int) -> "Observatory":
        limits = self.site.limits.model_copy(update={name: timedelta(seconds=s) for name, s in seconds.items()})
        return replace(self, site=self.site.model_copy(update={"limits": limits}))

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
        return scan(stream, source, Layout.of(self.site).raw_root(name), [DAY], within=within)

    def ended(self, act: Callable[[str], Any], name: str) -> "Ended":
        """Do something for a stream, to its end."""
        began = time.monotonic()
        try:
            result = act(name)
        except AuroraError as error:
            result = error
        return Ended(result, time.monotonic() - began)

    def all_at_once(self, act: Callable[[str], Any]) -> "dict[str, Ended]":
        """Do something for every stream in a thread of its own."""
        with ThreadPoolExecutor(len(STREAMS)) as pool:
            return dict(zip(STREAMS, pool.map(partial(self.ended, act), STREAMS), strict=True))


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
        hangs = stack.enter_context(ExitStack())
        cut, silent = (
            hangs.enter_context(
                Proxy(server, address, way, left=CUT_AFTER, ready=partial(half_is_here, tmp_path, name))
            )
            for address, way, name in (("127.0.0.5", "cuts", "cut"), ("127.0.0.6", "goes silent", "silent"))
        )
        at = {
            "good": (server.address, server.port),
            "dead": ("127.0.0.3", hangs.enter_context(nothing_listens("127.0.0.3"))),
            "half_open": ("127.0.0.4", hangs.enter_context(accepts_and_never_answers("127.0.0.4"))),
            "cut": (cut.address, cut.port),
            "silent": (silent.address, silent.port),
        }
        login = {"kind": "ssh", "user": server.user, "auth": "key", "identity": str(server.identity)}
        limits = {"connect": CONNECT, "stall": STALL, "look": LOOK, "listing": 20 * factor()}
        site = Site.model_validate(
            {
                "name": "apart",
                "paths": {name: str(tmp_path / name) for name in ("raw", "products", "state", "manifests")},
                "hosts": {name: {**login, "address": address, "port": port} for name, (address, port) in at.items()},
                "streams": {
                    name: {**ANYTHING, "host": host, "path": str(tmp_path / "far" / name), "raw": name}
                    for name, host in STREAMS.items()
                },
                "limits": {name: f"{seconds}s" for name, seconds in limits.items()},
            }
        )
        yield Observatory(site, {name: port for name, (_, port) in at.items()}, hangs)


def half_is_here(home: Path, name: str) -> bool:
    """Whether half of what comes through before the line fails is written here."""
    return sum(path.stat().st_size for path in (home / "raw/.incoming" / name / "new").glob("big*")) > CUT_AFTER / 2


def check_unreachable(ended: dict[str, Ended], at: Observatory, bound: float) -> None:
    """The dead and the half-open host, of a run as of a sensor."""
    dead, half_open = ended["dead"], ended["half_open"]
    assert isinstance(dead.result, HostError)
    assert str(dead.result).startswith(f"127.0.0.3:{at.ports['dead']}: "), dead.said
    assert "Unable to connect" in str(dead.result), dead.said
    assert isinstance(half_open.result, HostError)
    assert str(half_open.result).startswith(f"127.0.0.4:{at.ports['half_open']}: "), half_open.said
    assert dead.result.transient, "it is tried again"
    assert half_open.result.transient
    assert half_open.seconds < bound


def test_nobody_waits_for_a_host_that_hangs_nor_for_a_line_that_went_silent(observatory: Observatory) -> None:
    """Those two hang for as long as the others take, however long that is, and are let go then."""
    observatory = observatory.with_limits(connect=NEVER, stall=NEVER)
    with ThreadPoolExecutor(len(STREAMS)) as pool:
        runs = {name: pool.submit(observatory.ended, observatory.run, name) for name in STREAMS}
        try:
            ended = {name: runs[name].result(NEVER / 2) for name in ("one", "two", "dead", "cut")}
            assert not runs["half_open"].done()
            assert not runs["silent"].done()
        finally:
            observatory.hangs.close()
    for name in ("one", "two"):
        assert isinstance(ended[name].result, MirrorReport), ended[name].said
    for name in ("dead", "cut"):
        assert isinstance(ended[name].result, AuroraError), ended[name].said
    for name in ("half_open", "silent"):
        assert isinstance(runs[name].result().result, AuroraError), runs[name].result().said


def test_runs_of_all_streams_end_each_by_its_own_bound_and_what_was_cut_is_resumed(observatory: Observatory) -> None:
    first = observatory.all_at_once(observatory.run)
    check_unreachable(first, observatory, CONNECT + SLACK)
    for name in ("one", "two"):
        assert isinstance(first[name].result, MirrorReport), first[name].said
        assert first[name].result.total("copied") == 1
    for name, said, waits in (
        ("cut", r"rsync ended with (12|255) \(.*connection", 0),
        # What had come whole is listed again, for which a session that went silent has that long to answer.
        ("silent", r"rsync ended with 30 \(nothing moved for too long\)", STALL + CONNECT),
    ):
        error = first[name].result
        assert isinstance(error, TransferError), first[name].said
        assert re.match(said, str(error)), first[name].said
        assert "\n" not in str(error)
        assert error.transient
        assert first[name].seconds < waits + SLACK
        assert not (Layout.of(observatory.site).raw_root(name) / "big").exists(), "half a file has no name"

    second = observatory.all_at_once(observatory.run)
    check_unreachable(second, observatory, CONNECT + SLACK)
    for name in ("one", "two"):
        assert second[name].result.total("unchanged") == 1
    for name in ("cut", "silent"):
        report = second[name].result
        assert isinstance(report, MirrorReport), second[name].said
        assert report.resumed_bytes > CUT_AFTER / 4
        # The session that went silent is found dead after the bound for an answer, and replaced.
        waits = CONNECT if name == "silent" else 0
        assert second[name].seconds < waits + SLACK
    for name in ("one", "two", "cut", "silent"):
        assert differences(observatory.there(name), Layout.of(observatory.site).raw_root(name)) == []
    assert left_over(observatory.site.paths.raw) == []


def test_looks_of_all_sensors_end_each_by_its_own_bound(observatory: Observatory) -> None:
    ended = observatory.all_at_once(observatory.tick)
    check_unreachable(ended, observatory, LOOK + SLACK)
    for name in ("one", "two", "cut", "silent"):
        assert isinstance(ended[name].result, Survey), ended[name].said
        assert [day.missing for day in ended[name].result.behind] == [1 if name in ("one", "two") else 2]
        assert ended[name].seconds < LOOK + SLACK
