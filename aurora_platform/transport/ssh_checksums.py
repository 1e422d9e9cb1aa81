"""Hashing the files of a far host: one conversation a channel, a few channels of the session that is open anyway.

What is asked is decided by :mod:`aurora_platform.transport.checksums`; here it is carried, and bounded: a channel that
does not get on for the stall time, or a whole that takes longer than it may, ends as a :class:`HostError`.
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
    TOOLS,
    WHICH_TOOL,
    Answers,
    Checksum,
    Outlet,
    in_parallel,
    question,
    refused,
    remote_command,
    why_unusable,
)
from aurora_platform.transport.remote_sha256 import NO_SUCH_ROOT
from aurora_platform.transport.session_pool import HASHING_AT_ONCE
from aurora_platform.transport.ssh_errors import why_broken_off
from aurora_platform.transport.ssh_session import SshSession

# A question is sent whole before its answers are read. That cannot block for good: both fit the windows of a channel
# (2 MB each way), also where the far program reads no further than it has answered.
_MOST_PATHS = 1024
_MOST_BYTES = 1 << 18

_BLOCK = 1 << 16
_MOST_STDERR = 1 << 12
_POLL = 0.5  # s
_TOOLS: WeakKeyDictionary[Transport, str] = WeakKeyDictionary()  # by session


class SshHasher:
    """The files of a far host, hashed there: names go in, digests come out, and no file crosses the network.

    While somebody reads from it, it may hold all the turns that hashing has on a host: who would read two of one host
    alternately waits for themselves.
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

        def work(outlet: Outlet) -> None:
            try:
                self._work(command, shares, deadline, outlet)
            except ChannelException as refusal:  # a host that allows fewer channels: the others do it
                refusals.append(refusal)
            except (OSError, SSHException, EOFError) as error:
                raise HostError(why_broken_off(error, self.host)) from None

        yield from in_parallel(work, min(HASHING_AT_ONCE, len(paths)))
        if refusals and shares.left:  # the channel of a question before may have been closing there
            refusals.clear()
            time.sleep(_POLL)
            yield from in_parallel(work, 1)
        if refusals and shares.left:
            raise HostError(why_broken_off(refusals[0], self.host))

    def _tool(self) -> str:
        """What this session's host hashes with; asked once a session."""
        connection, _ = self.session.connection()
        tool = _TOOLS.get(connection.transport)
        if tool is None:
            tool = self.session.ask(["sh", "-c", WHICH_TOOL]).strip()
            if tool not in TOOLS:
                raise HostRefusedError(
                    f"{self.host.address}: nothing there that hashes: install python3, or GNU find and one of openssl "
                    "and sha256sum"
                )
            _TOOLS[connection.transport] = tool
        return tool

    def _work(self, command: Sequence[str], shares: _Shares, deadline: float, outlet: Outlet) -> None:
        with ExitStack() as stack:
            if not self._turn(stack, shares, deadline, outlet):
                return
            channel = stack.enter_context(closing(self.session.start(command)))
            conversation = _Conversation(channel, self.bounds.hashing_stall_seconds, deadline, outlet.check)
            while share := shares.take():
                usable = []
                for path in share:
                    if why := why_unusable(path):
                        outlet.put([refused(path, why)])
                    else:
                        usable.append(path)
                self._exchange(conversation, usable, outlet)

    def _exchange(self, conversation: _Conversation, paths: Sequence[str], outlet: Outlet) -> None:
        try:
            for checksums in conversation.ask(paths):
                outlet.put(checksums)
        except HostError as error:
            raise type(error)(f"{self.host.address}: hashing: {error}") from None

    def _turn(self, stack: ExitStack, shares: _Shares, deadline: float, outlet: Outlet) -> bool:
        """Wait for one of the turns that hashing has on this host; False where the work was done by others first."""
        while shares.left and time.monotonic() < deadline:
            outlet.check()
            try:
                stack.enter_context(self.session.hashing_turn(wait=_POLL))
            except TimeoutError:
                continue
            return True
        if shares.left:
            raise HostError(f"{self.host.address}: hashing: no turn in time, because others hash on this host")
        return False


class _Shares:
    """The paths, given out in shares that get smaller towards the end, so that all channels end together."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = paths
        self._next = 0
        self._lock = threading.Lock()

    @property
    def left(self) -> int:
        return len(self._paths) - self._next

    def take(self) -> list[str]:
        with self._lock:
            most = min(_MOST_PATHS, max(1, self.left // (2 * HASHING_AT_ONCE)))
            share: list[str] = []
            room = _MOST_BYTES
            while self.left and len(share) < most and room > 0:
                share.append(self._paths[self._next])
                room -= 16 * len(share[-1])  # more than its line takes: four bytes a character, four a byte
                self._next += 1
            return share


class _Conversation:
    """Questions to the far program of one channel, and its answers."""

    def __init__(self, channel: Channel, stall: float, deadline: float, check: Callable[[], None]) -> None:
        self._channel = channel
        self._stall = stall
        self._deadline = deadline
        self._check = check
        self._stderr = bytearray()

    def ask(self, paths: Sequence[str]) -> Iterator[list[Checksum]]:
        """The digests of ``paths``, as they come."""
        answers = Answers(paths)
        self._send(question(paths))
        while not answers.is_whole:
            if not (block := self._receive()):
                raise self._ended()
            yield answers.feed(block)

    def _send(self, text: bytes) -> None:
        self._channel.settimeout(self._stall)
        try:
            self._channel.sendall(text)
        except TimeoutError:
            raise HostError(f"it took no question within {self._stall:g} s") from None
        except OSError:  # it has ended; what it said, or its exit code, tells why
            return

    def _receive(self) -> bytes:
        """The next block, or nothing at the end. What comes on stderr says that the far program gets on."""
        heard = time.monotonic()
        while True:
            self._check()
            now = time.monotonic()
            if self._take_stderr():
                heard = now
            if now > self._deadline:
                raise HostError("it takes longer than it may, and was ended")
            if now > heard + self._stall:
                raise HostError(f"nothing was heard for {self._stall:g} s. Does the disk there hang, or the network?")
            self._channel.settimeout(min(_POLL, self._stall / 4))
            with suppress(TimeoutError):
                return self._channel.recv(_BLOCK)

    def _take_stderr(self) -> bool:
        """Take one block of stderr, if there is one: never all, for who floods it is to slow down nobody else."""
        if not self._channel.recv_stderr_ready():
            return False
        self._stderr = (self._stderr + self._channel.recv_stderr(_BLOCK))[-_MOST_STDERR:]
        return True

    def _ended(self) -> HostError:
        # Its end and its exit code are two messages; a closed channel sets the event as well.
        if not self._channel.status_event.wait(self._stall) or self._channel.exit_status < 0:
            return HostError("the connection is gone before the last answer. Was the host or its sshd restarted?")
        if self._channel.exit_status == NO_SUCH_ROOT:
            return HostRefusedError("the directory does not exist there. Is the path in the site file right?")
        self._take_stderr()
        said = printable(bytes(self._stderr).strip(b".\n ")[-200:]) or "no message"
        return HostError(f"the program there ended with exit code {self._channel.exit_status}: {said}")
