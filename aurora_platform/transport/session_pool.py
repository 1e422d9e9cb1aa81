"""A pool of SSH sessions: all threads of a process that use the same host share one session.

The first thread opens the session. The others wait for this attempt and share its result or its error, so a dead host
costs its time limit once and not once per stream. The thread that finds a session dead opens a new one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fabric import Connection

MAX_CHANNELS = 4  # sshd's default is ten channels per session
MAX_HASHING_CHANNELS = 3  # in addition: hashing may take hours, and a listing must not wait for it
KEEPALIVE_SECONDS, KEEPALIVE_PROBES = 15, 4  # a connection that answers none of 4 probes, 15 s apart, is dead


class SessionPool:
    """Open sessions, by host and login."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sessions: dict[Hashable, Future[Connection]] = {}
        self._semaphores: dict[Hashable, threading.BoundedSemaphore] = {}

    @contextmanager
    def permit(self, key: Hashable, wait: float, limit: int = MAX_CHANNELS) -> Iterator[None]:
        """Hold one of ``limit`` permits to use a session; ``TimeoutError`` if none is free within ``wait`` s."""
        with self._lock:
            semaphore = self._semaphores.setdefault(key, threading.BoundedSemaphore(limit))
        if not semaphore.acquire(timeout=wait):
            raise TimeoutError(f"{limit} other requests to this host are still waiting for an answer")
        try:
            yield
        finally:
            semaphore.release()

    def get(self, key: Hashable, connect: Callable[[], Connection], wait: float) -> tuple[Connection, bool]:
        """Return a session, and whether it was already open before this call: then it may have died unnoticed.

        Parameters
        ----------
        key
            Identifies a session: the host, the login, and the ``known_hosts`` file.
        connect
            Opens a session, or raises; called by one thread at a time per key.
        wait
            How long to wait for another thread that is opening the session, in s.

        Raises
        ------
        Exception
            Whatever ``connect`` raises, in this thread or in the thread that opens; ``TimeoutError`` after ``wait``.
        """
        own_attempt: Future[Connection] | None = None
        with self._lock:
            session = self._sessions.get(key)
            was_open = session is not None and session.done()
            if session is None or (was_open and not _is_alive(session)):
                self._sessions[key] = own_attempt = Future()
                own_attempt.set_running_or_notify_cancel()
        if own_attempt is None:
            assert session is not None
            return session.result(wait), was_open
        try:
            connection = connect()
        except BaseException as error:
            self._forget(key, own_attempt)
            own_attempt.set_exception(error)
            raise
        own_attempt.set_result(connection)
        return connection, False

    def discard(self, key: Hashable, connection: Connection) -> None:
        """Close a session that does not answer; the next :meth:`get` opens a new one."""
        with self._lock:
            session = self._sessions.get(key)
            if session is not None and session.done() and not session.exception() and session.result() is connection:
                del self._sessions[key]
        connection.close()

    def _forget(self, key: Hashable, attempt: Future[Connection]) -> None:
        with self._lock:
            if self._sessions.get(key) is attempt:
                del self._sessions[key]


def _is_alive(session: Future[Connection]) -> bool:
    if session.exception() is not None:
        return False
    transport = session.result().transport
    return transport is not None and transport.is_active()
