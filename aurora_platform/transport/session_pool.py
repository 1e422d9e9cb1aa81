"""SSH sessions that are kept: all who ask for the same host at the same time, or again, share one.

A session is opened by who comes first; the others wait for that one attempt and share its end, good or bad, so that a
dead host costs its time limit once and not once a stream. One that died is opened anew by who finds it dead.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fabric import Connection

AT_ONCE = 4  # sshd's default is ten channels a session
HASHING_AT_ONCE = 3  # beside those: hashing may take hours, and a look must not wait for it
ALIVE_SECONDS, ALIVE_TIMES = 15, 4  # a connection that answers none of 4 probes, 15 s apart, is dead


class Sessions:
    """Open sessions by who they are with."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[Hashable, Future[Connection]] = {}
        self._turns: dict[Hashable, threading.BoundedSemaphore] = {}

    @contextmanager
    def turn(self, key: Hashable, wait: float, at_once: int = AT_ONCE) -> Iterator[None]:
        """Be one of ``at_once`` that use a session; ``TimeoutError`` where none of them ends within ``wait`` s."""
        with self._lock:
            turns = self._turns.setdefault(key, threading.BoundedSemaphore(at_once))
        if not turns.acquire(timeout=wait):
            raise TimeoutError(f"{at_once} others have asked this host and have no answer yet")
        try:
            yield
        finally:
            turns.release()

    def get(self, key: Hashable, connect: Callable[[], Connection], wait: float) -> tuple[Connection, bool]:
        """A session, and whether it was open already before this was asked: then it may have died unnoticed.

        Parameters
        ----------
        key
            What makes two sessions the same: host, login, and where its key is known.
        connect
            Opens one, or raises; called by one thread at a time for a key.
        wait
            How long to wait for another thread that is about to open it, in s.

        Raises
        ------
        Exception
            Whatever ``connect`` raises, here or in the thread that was waited for; ``TimeoutError`` after ``wait``.
        """
        mine: Future[Connection] | None = None
        with self._lock:
            kept = self._kept.get(key)
            was_open = kept is not None and kept.done()
            if kept is None or (was_open and not _lives(kept)):
                self._kept[key] = mine = Future()
                mine.set_running_or_notify_cancel()
        if mine is None:
            assert kept is not None
            return kept.result(wait), was_open
        try:
            connection = connect()
        except BaseException as error:
            self._forget(key, mine)
            mine.set_exception(error)
            raise
        mine.set_result(connection)
        return connection, False

    def discard(self, key: Hashable, connection: Connection) -> None:
        """Close a session that does not answer, so that the next who asks opens another."""
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None and kept.done() and not kept.exception() and kept.result() is connection:
                del self._kept[key]
        connection.close()

    def _forget(self, key: Hashable, attempt: Future[Connection]) -> None:
        with self._lock:
            if self._kept.get(key) is attempt:
                del self._kept[key]


def _lives(kept: Future[Connection]) -> bool:
    if kept.exception() is not None:
        return False
    transport = kept.result().transport
    return transport is not None and transport.is_active()
