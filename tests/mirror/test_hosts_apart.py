"""Hosts in trouble: each stream ends by its own bound with its own error, and none delays or fails another."""

import random
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from aurora_assets.errors import AuroraError, HostError, TransferError
from aurora_assets.mirror.survey import Survey, look
from aurora_assets.mirror.sync import MirrorReport, mirror_days
from aurora_assets.site import Site
from resources.outside import Outside, outside_of
from simulator.ssh_server import SshServer
from tests.mirror.parts import ANYTHING, DAY, LOG, differences, left_over, write
from tests.troubled_hosts import Proxy, accepts_and_never_answers, nothing_listens

CONNECT, STALL, LOOK = 3, 2, 4  # s, as whole seconds are what a site file has
SLACK = 3  # s, for what is work and no waiting, on a machine that does something else besides
SIZE, CUT_AFTER = 6_000_000, 2_000_000


@dataclass(frozen=True)
class Observatory:
    """Two good streams, and one on each host that is in trouble."""

    site: Site
    ports: dict[str, int]

    @property
    def outside(self) -> Outside:
        return outside_of(self.site)

    def there(self, stream: str) -> Path:
        return Path(self.site.streams[stream].path)

    def run(self, name: str) -> MirrorReport:
        """What a run does."""
        stream, outside = self.site.streams[name], self.outside
        host = self.site.hosts[stream.host]
        return mirror_days(
            name,
            stream,
            [DAY],
            source=outside.ssh.source(host),
            transfer=outside.rsync.transfer(host, LOG, basis=self.site.raw_root(name)),
            raw=self.site.paths.raw,
            locks=self.site.paths.locks,
            wait=self.site.limits.lock,
        )

    def tick(self, name: str) -> Survey:
        """What a sensor does."""
        stream, within = self.site.streams[name], self.site.limits.look
        source = self.outside.ssh.source(self.site.hosts[stream.host], within=within.total_seconds())
        return look(stream, source, self.site.raw_root(name), [DAY], within=within)

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
        cut = stack.enter_context(Proxy(server, "127.0.0.5", "cuts", left=CUT_AFTER))
        silent = stack.enter_context(Proxy(server, "127.0.0.6", "goes silent", left=CUT_AFTER))
        at = {
            "good": (server.address, server.port),
            "dead": ("127.0.0.3", stack.enter_context(nothing_listens("127.0.0.3"))),
            "half_open": ("127.0.0.4", stack.enter_context(accepts_and_never_answers("127.0.0.4"))),
            "cut": (cut.address, cut.port),
            "silent": (silent.address, silent.port),
        }
        login = {"kind": "ssh", "user": server.user, "auth": "key", "identity": str(server.identity)}
        site = Site.model_validate(
            {
                "name": "apart",
                "paths": {name: str(tmp_path / name) for name in ("raw", "products", "state", "manifests")},
                "hosts": {name: {**login, "address": address, "port": port} for name, (address, port) in at.items()},
                "streams": {
                    name: {**ANYTHING, "host": host, "path": str(tmp_path / "far" / name), "raw": name}
                    for name, host in STREAMS.items()
                },
                "limits": {"connect": f"{CONNECT}s", "stall": f"{STALL}s", "look": f"{LOOK}s", "listing": "20s"},
            }
        )
        yield Observatory(site, {name: port for name, (_, port) in at.items()})


def check_unreachable(ended: dict[str, Ended], ports: dict[str, int], bound: float) -> None:
    """The dead and the half-open host, of a run as of a sensor."""
    dead, half_open = ended["dead"], ended["half_open"]
    assert isinstance(dead.result, HostError)
    assert str(dead.result).startswith(f"127.0.0.3:{ports['dead']}: "), dead.said
    assert "Unable to connect" in str(dead.result), dead.said
    assert dead.seconds < SLACK, "a refusal is no waiting"
    assert isinstance(half_open.result, HostError)
    assert str(half_open.result).startswith(f"127.0.0.4:{ports['half_open']}: "), half_open.said
    assert dead.result.transient, "it is tried again"
    assert half_open.result.transient
    assert half_open.seconds < bound


def test_runs_of_all_streams_end_each_by_its_own_bound_and_what_was_cut_is_resumed(observatory: Observatory) -> None:
    first = observatory.all_at_once(observatory.run)
    check_unreachable(first, observatory.ports, CONNECT + SLACK)
    for name in ("one", "two"):
        assert isinstance(first[name].result, MirrorReport), first[name].said
        assert first[name].result.total("copied") == 1
        assert first[name].seconds < min(first["half_open"].seconds, SLACK), "it waited for nobody"
    for name, said, bound in (
        ("cut", r"rsync ended with (12|255) \(.*connection", SLACK),
        ("silent", r"rsync ended with 30 \(nothing moved for too long\)", STALL + SLACK),
    ):
        error = first[name].result
        assert isinstance(error, TransferError), first[name].said
        assert re.match(said, str(error)), first[name].said
        assert "\n" not in str(error)
        assert error.transient
        assert first[name].seconds < bound
        assert not (observatory.site.raw_root(name) / "big").exists(), "half a file has no name"

    second = observatory.all_at_once(observatory.run)
    check_unreachable(second, observatory.ports, CONNECT + SLACK)
    for name in ("one", "two"):
        assert second[name].result.total("unchanged") == 1
    for name in ("cut", "silent"):
        report = second[name].result
        assert isinstance(report, MirrorReport), second[name].said
        assert report.resumed_bytes > CUT_AFTER / 4
        # The session that went silent is found dead after the bound for an answer, and replaced.
        assert second[name].seconds < (CONNECT if name == "silent" else 0) + SLACK
    for name in ("one", "two", "cut", "silent"):
        assert differences(observatory.there(name), observatory.site.raw_root(name)) == []
    assert left_over(observatory.site.paths.raw) == []


def test_looks_of_all_sensors_end_each_by_its_own_bound(observatory: Observatory) -> None:
    ended = observatory.all_at_once(observatory.tick)
    check_unreachable(ended, observatory.ports, LOOK)
    for name in ("one", "two", "cut", "silent"):
        assert isinstance(ended[name].result, Survey), ended[name].said
        assert [day.missing for day in ended[name].result.behind] == [1 if name in ("one", "two") else 2]
        assert ended[name].seconds < SLACK
