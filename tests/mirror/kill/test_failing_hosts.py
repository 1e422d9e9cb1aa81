"""Failing hosts: each stream ends by its own time limit with its own error, and none delays or fails another."""

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

# In s, whole numbers as in a site file; limits.look may be 50 s at most.
CONNECT, STALL, SCAN = 4 * factor(), 4 * factor(), min(48, 8 * factor())
NEVER = 100 * factor()
SLACK = patient(15)  # for work without waiting, which needs half a second
SIZE, CUT_AFTER = 6_000_000, 2_000_000


@dataclass(frozen=True)
class Observatory:
    """Two streams on a good host, and one on each failing host."""

    site: Site
    ports: dict[str, int]
    hangs: ExitStack
    """The failing hosts; closing it ends their connections, and whoever waits for one gets an error."""

    def with_limits(self, **seconds: int) -> "Observatory":
        limits = self.site.limits.model_copy(update={name: timedelta(seconds=s) for name, s in seconds.items()})
        return replace(self, site=self.site.model_copy(update={"limits": limits}))

    @property
    def connections(self) -> Connections:
        return Connections.of(self.site)

    def source_of(self, stream: str) -> Path:
        return Path(self.site.streams[stream].path)

    def run(self, name: str) -> MirrorReport:
        """Mirror a stream as a run does."""
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
        """Scan a stream as a sensor does."""
        stream, within = self.site.streams[name], self.site.limits.look
        source = self.connections.source(self.site.hosts[stream.host], within=within.total_seconds())
        return scan(stream, source, Layout.of(self.site).raw_root(name), [DAY], within=within)

    def run_to_end(self, act: Callable[[str], Any], name: str) -> "Ending":
        """Run ``act`` for a stream; return its result or its error."""
        began = time.monotonic()
        try:
            result = act(name)
        except AuroraError as error:
            result = error
        return Ending(result, time.monotonic() - began)

    def all_at_once(self, act: Callable[[str], Any]) -> "dict[str, Ending]":
        """Run ``act`` for every stream, each in its own thread."""
        with ThreadPoolExecutor(len(STREAMS)) as pool:
            return dict(zip(STREAMS, pool.map(partial(self.run_to_end, act), STREAMS), strict=True))


@dataclass(frozen=True)
class Ending:
    """The result of the work on a stream, and its duration in s."""

    result: Any
    seconds: float

    @property
    def text(self) -> str:
        return f"{type(self.result).__name__}: {self.result}"


HOSTS = ("good", "dead", "half_open", "cut", "silent")
STREAMS = {"one": "good", "two": "good", **{name: name for name in HOSTS[1:]}}


@pytest.fixture
def observatory(tmp_path: Path) -> Iterator[Observatory]:
    for name in STREAMS:
        write(tmp_path / "source" / name, {"small": b"x"})
    for name in ("cut", "silent"):
        write(tmp_path / "source" / name, {"big": random.Random(name).randbytes(SIZE)})
    with ExitStack() as stack:
        server = stack.enter_context(SshServer(tmp_path / "sshd", address="127.0.0.2"))
        hangs = stack.enter_context(ExitStack())
        cut, silent = (
            hangs.enter_context(
                Proxy(server, address, way, left=CUT_AFTER, ready=partial(half_has_arrived, tmp_path, name))
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
        limits = {"connect": CONNECT, "stall": STALL, "look": SCAN, "listing": 20 * factor()}
        site = Site.model_validate(
            {
                "name": "apart",
                "paths": {name: str(tmp_path / name) for name in ("raw", "products", "state", "manifests")},
                "hosts": {name: {**login, "address": address, "port": port} for name, (address, port) in at.items()},
                "streams": {
                    name: {**ANYTHING, "host": host, "path": str(tmp_path / "source" / name), "raw": name}
                    for name, host in STREAMS.items()
                },
                "limits": {name: f"{seconds}s" for name, seconds in limits.items()},
            }
        )
        yield Observatory(site, {name: port for name, (_, port) in at.items()}, hangs)


def half_has_arrived(home: Path, name: str) -> bool:
    """Whether half of the bytes that come before the connection fails are written locally."""
    return sum(path.stat().st_size for path in (home / "raw/.incoming" / name / "new").glob("big*")) > CUT_AFTER / 2


def check_unreachable(ended: dict[str, Ending], at: Observatory, bound: float) -> None:
    """Check the results of the dead and the half-open host, of a run or of a sensor."""
    dead, half_open = ended["dead"], ended["half_open"]
    assert isinstance(dead.result, HostError)
    assert str(dead.result).startswith(f"127.0.0.3:{at.ports['dead']}: "), dead.text
    assert "Unable to connect" in str(dead.result), dead.text
    assert isinstance(half_open.result, HostError)
    assert str(half_open.result).startswith(f"127.0.0.4:{at.ports['half_open']}: "), half_open.text
    assert dead.result.transient, "it is retried"
    assert half_open.result.transient
    assert half_open.seconds < bound


def test_no_stream_waits_for_a_hanging_host_or_a_silent_connection(observatory: Observatory) -> None:
    """The two hosts hang until the other streams have ended."""
    observatory = observatory.with_limits(connect=NEVER, stall=NEVER)
    with ThreadPoolExecutor(len(STREAMS)) as pool:
        runs = {name: pool.submit(observatory.run_to_end, observatory.run, name) for name in STREAMS}
        try:
            ended = {name: runs[name].result(NEVER / 2) for name in ("one", "two", "dead", "cut")}
            assert not runs["half_open"].done()
            assert not runs["silent"].done()
        finally:
            observatory.hangs.close()
    for name in ("one", "two"):
        assert isinstance(ended[name].result, MirrorReport), ended[name].text
    for name in ("dead", "cut"):
        assert isinstance(ended[name].result, AuroraError), ended[name].text
    for name in ("half_open", "silent"):
        assert isinstance(runs[name].result().result, AuroraError), runs[name].result().text


def test_each_run_ends_by_its_own_time_limit_and_cut_transfers_are_resumed(observatory: Observatory) -> None:
    first = observatory.all_at_once(observatory.run)
    check_unreachable(first, observatory, CONNECT + SLACK)
    for name in ("one", "two"):
        assert isinstance(first[name].result, MirrorReport), first[name].text
        assert first[name].result.total("copied") == 1
    for name, text, waits in (
        ("cut", r"rsync ended with (12|255) \(.*connection", 0),
        # Arrived files are listed again; a session that went silent has that long to answer.
        ("silent", r"rsync ended with 30 \(nothing moved for too long\)", STALL + CONNECT),
    ):
        error = first[name].result
        assert isinstance(error, TransferError), first[name].text
        assert re.match(text, str(error)), first[name].text
        assert "\n" not in str(error)
        assert error.transient
        assert first[name].seconds < waits + SLACK
        assert not (Layout.of(observatory.site).raw_root(name) / "big").exists(), "a partial file is not published"

    second = observatory.all_at_once(observatory.run)
    check_unreachable(second, observatory, CONNECT + SLACK)
    for name in ("one", "two"):
        assert second[name].result.total("unchanged") == 1
    for name in ("cut", "silent"):
        report = second[name].result
        assert isinstance(report, MirrorReport), second[name].text
        assert report.resumed_bytes > CUT_AFTER / 4
        # The session that went silent is found dead after the time limit for an answer, and replaced.
        waits = CONNECT if name == "silent" else 0
        assert second[name].seconds < waits + SLACK
    for name in ("one", "two", "cut", "silent"):
        assert differences(observatory.source_of(name), Layout.of(observatory.site).raw_root(name)) == []
    assert left_over(observatory.site.paths.raw) == []


def test_each_sensor_scan_ends_by_its_own_time_limit(observatory: Observatory) -> None:
    ended = observatory.all_at_once(observatory.tick)
    check_unreachable(ended, observatory, SCAN + SLACK)
    for name in ("one", "two", "cut", "silent"):
        assert isinstance(ended[name].result, Survey), ended[name].text
        assert [day.missing for day in ended[name].result.behind] == [1 if name in ("one", "two") else 2]
        assert ended[name].seconds < SCAN + SLACK
