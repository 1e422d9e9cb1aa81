"""Hosts and lines in trouble, for real: nothing listens, nobody answers, a line is cut or goes silent half-way."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal

from aurora_simulator.ssh_server import SshServer
from tests.patience import factor, patient

Way = Literal["cuts", "goes silent", "is slow"]
_SLOW = 300_000 / factor()  # bytes a second
_READY = patient(60)  # s


@dataclass
class Proxy:
    """A host behind a line that fails once: when so much has come through, all its connections are cut, or stall.

    Or one that is slow all the while, and never fails.
    """

    behind: SshServer
    address: str
    way: Way
    port: int = 0
    left: int = 2_000_000
    ready: Callable[[], bool] = lambda: True
    """Then only it fails: what has come through may still be on its way to whoever reads it."""
    has_failed: threading.Event = field(default_factory=threading.Event)
    _open: list[socket.socket] = field(default_factory=list)
    _silent: set[int] = field(default_factory=set)

    def __enter__(self) -> "Proxy":
        self._listener = socket.create_server((self.address, 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for one in (self._listener, *self._open):
            shut(one)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection((self.behind.address, self.behind.port))
                self._open += [near, far]
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._pass_on, args=(one, other), daemon=True).start()

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while block := one.recv(1 << 14):
                if id(one) in self._silent:
                    continue
                other.sendall(block)
                if self.way == "is slow":
                    time.sleep(len(block) / _SLOW)
                    continue
                self.left -= len(block)
                if self.left < 0 and not self.has_failed.is_set():
                    self.has_failed.set()
                    until = time.monotonic() + _READY
                    while not self.ready() and time.monotonic() < until:  # it fails then all the same
                        time.sleep(0.01)
                    self._fail()
            if id(one) not in self._silent:
                shut(other)

    def _fail(self) -> None:
        if self.way == "goes silent":
            self._silent |= {id(one) for one in self._open}
        else:
            for one in self._open:
                shut(one)


def shut(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()


@contextmanager
def nothing_listens(address: str) -> Iterator[int]:
    """A port that is taken, and refuses."""
    with socket.socket() as taken:
        taken.bind((address, 0))
        yield taken.getsockname()[1]


@contextmanager
def accepts_and_never_answers(address: str) -> Iterator[int]:
    with socket.create_server((address, 0), backlog=50) as listener:
        yield listener.getsockname()[1]


@contextmanager
def nobody_answers(address: str) -> Iterator[int]:
    """A port whose first packet is dropped, as when a host is off: its queue of connections is full."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((address, 0), backlog=0))
        place = listener.getsockname()
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(place)
        yield place[1]


def answer_with(server: SshServer, script: str) -> None:
    """Makes a host answer every login with a shell script of its own, in which no double quote stands."""
    assert server.identity
    key = server.identity.with_suffix(".pub")
    key.write_text(f'command="{script}" {key.read_text()}')


ENDLESS = r"while :; do printf 'f 1 1700000000.5 ./x\0'; sleep 0.05; done"
"""A listing that goes on and on, after its clock."""
CLOCK = r"printf 'clock %s\0' $(date +%s); "
