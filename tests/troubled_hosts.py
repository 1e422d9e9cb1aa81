"""Real faulty hosts and connections: nothing listens, no answer, a connection that is cut or stalls in the middle."""

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
    """A proxy to a host that fails once: after ``left`` bytes it cuts or stalls all its connections.

    Or it is always slow and never fails.
    """

    behind: SshServer
    address: str
    way: Way
    port: int = 0
    left: int = 2_000_000
    ready: Callable[[], bool] = lambda: True
    """It fails only when this is true: the client may not have read all bytes yet."""
    has_failed: threading.Event = field(default_factory=threading.Event)
    _open: list[socket.socket] = field(default_factory=list)
    _silent: set[int] = field(default_factory=set)

    def __enter__(self) -> "Proxy":
        self._listener = socket.create_server((self.address, 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for connection in (self._listener, *self._open):
            shut(connection)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                host = socket.create_connection((self.behind.address, self.behind.port))
                self._open += [client, host]
                for source, target in ((client, host), (host, client)):
                    threading.Thread(target=self._forward, args=(source, target), daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while block := source.recv(1 << 14):
                if id(source) in self._silent:
                    continue
                target.sendall(block)
                if self.way == "is slow":
                    time.sleep(len(block) / _SLOW)
                    continue
                self.left -= len(block)
                if self.left < 0 and not self.has_failed.is_set():
                    self.has_failed.set()
                    deadline = time.monotonic() + _READY
                    while not self.ready() and time.monotonic() < deadline:  # after the deadline it fails anyway
                        time.sleep(0.01)
                    self._fail()
            if id(source) not in self._silent:
                shut(target)

    def _fail(self) -> None:
        if self.way == "goes silent":
            self._silent |= {id(connection) for connection in self._open}
        else:
            for connection in self._open:
                shut(connection)


def shut(connection: socket.socket) -> None:
    """Shut down and close a socket."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


@contextmanager
def nothing_listens(address: str) -> Iterator[int]:
    """Reserve a port that refuses connections."""
    with socket.socket() as taken:
        taken.bind((address, 0))
        yield taken.getsockname()[1]


@contextmanager
def accepts_and_never_answers(address: str) -> Iterator[int]:
    with socket.create_server((address, 0), backlog=50) as listener:
        yield listener.getsockname()[1]


@contextmanager
def nobody_answers(address: str) -> Iterator[int]:
    """Open a port that drops the first packet, like a host that is off: its connection queue is full."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((address, 0), backlog=0))
        address_and_port = listener.getsockname()
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(address_and_port)
        yield address_and_port[1]


def answer_with(server: SshServer, script: str) -> None:
    """Make a host run this shell script at every login; the script must not contain double quotes."""
    assert server.identity
    key = server.identity.with_suffix(".pub")
    key.write_text(f'command="{script}" {key.read_text()}')


ENDLESS = r"while :; do printf 'f 1 1700000000.5 ./x\0'; sleep 0.05; done"
"""An endless listing, to follow ``CLOCK``."""
CLOCK = r"printf 'clock %s\0' $(date +%s); "
