"""Hashes files on a remote host over a few channels of the shared SSH session, one conversation per channel.

:mod:`aurora_platform.transport.checksums` has the program and the format of requests and answers. This module carries
them, within bounds: no progress on a channel for the stall time, or too long in total, raises :class:`HostError`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from weakref import WeakKeyDictionary

from paramiko import Channel, ChannelException, SSHException, Transport

from aurora_platform.errors import HostError, HostRefusedError
from aurora_platform.text import printable
from aurora_platform.transport.checksums import (
    FIND_TOOL_SCRIPT,
    TOOLS,
    AnswerParser,
    Checksum,
    encode_request,
    failed_checksum,
    remote_command,
    why_unusable,
)
from aurora_platform.transport.remote_sha256 import NO_SUCH_ROOT
from aurora_platform.transport.session_pool import MAX_HASHING_CHANNELS
from aurora_platform.transport.ssh_errors import session_error_message
from aurora_platform.transport.ssh_session import SshSession
from aurora_platform.transport.threads import ResultQueue, run_in_threads

# A request is sent completely before its answers are read. This cannot block for ever: both fit the windows of a
# channel (2 MB each way), even if the remote program reads a path only when it has answered the one before it.
_MAX_PATHS = 1024
_MAX_BYTES = 1 << 18

_BLOCK = 1 << 16
_MAX_STDERR = 1 << 12
_POLL = 0.5  # s
_TOOLS: WeakKeyDictionary[Transport, str] = WeakKeyDictionary()  # by session


class SshHasher:
    """Hashes files on a remote host: only paths and checksums cross the network, not the files.

    While its checksums are read it may hold all hashing permits of the host. Do not read two iterators of one host
    alternately: they would wait for each other.
    """

    def __init__(self, session: SshSession) -> None:
        self.session = session
        self.host, self.bounds = session.host, session.bounds

    def checksums(self, root: str, paths: Sequence[str]) -> Iterator[Checksum]:
        """See :meth:`aurora_platform.transport.protocols.Hasher.checksums`."""
        if not paths:
            return
        shares, deadline = _Shares(paths), time.monotonic() + self.bounds.hashing_seconds
        command = remote_command(self._tool(), root)
        refusals: list[ChannelException] = []

        def work(queue: ResultQueue[Checksum]) -> None:
            try:
                self._work(command, shares, deadline, queue)
            except ChannelException as refusal:  # the host allows fewer channels: the other channels do the work
                refusals.append(refusal)
            except (OSError, SSHException, EOFError) as error:
                raise HostError(session_error_message(error, self.host)) from None

        yield from run_in_threads(work, min(MAX_HASHING_CHANNELS, len(paths)))
        if refusals and shares.left:  # the channel of an earlier request may still have been closing on the host
            refusals.clear()
            time.sleep(_POLL)
            yield from run_in_threads(work, 1)
        if refusals and shares.left:
            raise HostError(session_error_message(refusals[0], self.host))

    def _tool(self) -> str:
        """The program that hashes on this host; determined once per session."""
        connection, _ = self.session.connection()
        tool = _TOOLS.get(connection.transport)
        if tool is None:
            tool = self.session.ask(["sh", "-c", FIND_TOOL_SCRIPT]).strip()
            if tool not in TOOLS:
                raise HostRefusedError(
                    f"{self.host.address}: no program for SHA-256 on the host: install python3, or GNU find and one of "
                    "openssl and sha256sum"
                )
            _TOOLS[connection.transport] = tool
        return tool

    def _work(self, command: Sequence[str], shares: _Shares, deadline: float, queue: ResultQueue[Checksum]) -> None:
        with ExitStack() as stack:
            if not self._wait_for_permit(stack, shares, deadline, queue):
                return
            channel = stack.enter_context(closing(self.session.start(command)))
            conversation = _Conversation(channel, self.bounds.hashing_stall_seconds, deadline, queue.check)
            while share := shares.take():
                usable = []
                for path in share:
                    if reason := why_unusable(path):
                        queue.put([failed_checksum(path, reason)])
                    else:
                        usable.append(path)
                self._exchange(conversation, usable, queue)

    def _exchange(self, conversation: _Conversation, paths: Sequence[str], queue: ResultQueue[Checksum]) -> None:
        try:
            for checksums in conversation.request(paths):
                queue.put(checksums)
        except HostError as error:
            raise type(error)(f"{self.host.address}: hashing: {error}") from None

    def _wait_for_permit(
        self, stack: ExitStack, shares: _Shares, deadline: float, queue: ResultQueue[Checksum]
    ) -> bool:
        """Wait for a hashing permit of this host; False if other channels have finished the work meanwhile."""
        while shares.left and time.monotonic() < deadline:
            queue.check()
            try:
                stack.enter_context(self.session.hashing_permit(wait=_POLL))
            except TimeoutError:
                continue
            return True
        if shares.left:
            raise HostError(f"{self.host.address}: hashing: not started in time: other hashing on this host still runs")
        return False


class _Shares:
    """Hands out the paths in shares that get smaller towards the end, so that all channels end at the same time."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = paths
        self._next = 0
        self._lock = threading.Lock()

    @property
    def left(self) -> int:
        return len(self._paths) - self._next

    def take(self) -> list[str]:
        with self._lock:
            max_paths = min(_MAX_PATHS, max(1, self.left // (2 * MAX_HASHING_CHANNELS)))
            share: list[str] = []
            room = _MAX_BYTES
            while self.left and len(share) < max_paths and room > 0:
                share.append(self._paths[self._next])
                room -= 16 * len(share[-1])  # more than its line takes: four bytes per character, four per byte
                self._next += 1
            return share


class _Conversation:
    """Requests to the remote program of one channel, and its answers."""

    def __init__(self, channel: Channel, stall: float, deadline: float, check: Callable[[], None]) -> None:
        self._channel = channel
        self._stall = stall
        self._deadline = deadline
        self._check = check
        self._stderr = bytearray()

    def request(self, paths: Sequence[str]) -> Iterator[list[Checksum]]:
        """Yield the checksums of ``paths`` as they come."""
        answers = AnswerParser(paths)
        self._send(encode_request(paths))
        while not answers.is_complete:
            if not (block := self._receive()):
                raise self._end_error()
            yield answers.feed(block)

    def _send(self, text: bytes) -> None:
        self._channel.settimeout(self._stall)
        try:
            self._channel.sendall(text)
        except TimeoutError:
            raise HostError(f"the program on the host read no request within {self._stall:g} s") from None
        except OSError:  # it has ended; its output or its exit code has the reason
            return

    def _receive(self) -> bytes:
        """Return the next block, or nothing at the end. Output on stderr is the heartbeat of the remote program."""
        last_heartbeat = time.monotonic()
        while True:
            self._check()
            now = time.monotonic()
            if self._take_stderr():
                last_heartbeat = now
            if now > self._deadline:
                raise HostError("took longer than the bound for hashing and was ended")
            if now > last_heartbeat + self._stall:
                raise HostError(f"no progress for {self._stall:g} s. Does the host's disk hang, or the network?")
            self._channel.settimeout(min(_POLL, self._stall / 4))
            with suppress(TimeoutError):
                return self._channel.recv(_BLOCK)

    def _take_stderr(self) -> bool:
        """Read one block of stderr, if there is one; never all of it: a flood of output must not keep us here."""
        if not self._channel.recv_stderr_ready():
            return False
        self._stderr = (self._stderr + self._channel.recv_stderr(_BLOCK))[-_MAX_STDERR:]
        return True

    def _end_error(self) -> HostError:
        # End of output and exit code are two messages; a closed channel sets the event as well.
        if not self._channel.status_event.wait(self._stall) or self._channel.exit_status < 0:
            return HostError("the connection was lost before the last answer. Was the host or its sshd restarted?")
        if self._channel.exit_status == NO_SUCH_ROOT:
            return HostRefusedError("the directory does not exist there. Is the path in the site file right?")
        self._take_stderr()
        message = printable(bytes(self._stderr).strip(b".\n ")[-200:]) or "no message"
        return HostError(f"the program on the host ended with exit code {self._channel.exit_status}: {message}")
