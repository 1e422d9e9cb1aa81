"""Keeps the output of a program in bounded memory: its beginning, its end, and how many bytes lie between them.

Important lines (for example: the disk is full) are kept wherever they stand, the first few per pattern.

The output of a remote program has no bound of its own. It is read as it comes, so that the program never waits for us,
and no more of it is kept than a person would read.
"""

import os
import re
import select
import threading
from collections.abc import Sequence

KEPT_BYTES = 64 * 1024
"""How much is kept of the beginning, and how much of the end."""
_KEPT_LINES = 5  # per pattern
_LINE_BYTES = 4096  # how much of a line without end is searched
_BLOCK = 1 << 16
_POLL_MS = 100
_MAX_BYTES_AFTER_END = 1 << 20  # what a pipe may still hold when its program has ended


class OutputExcerpt:
    """The first and the last bytes of an output, in bounded memory, and the first lines that match a pattern."""

    def __init__(self, kept: int = KEPT_BYTES, matching: Sequence[re.Pattern[bytes]] = ()) -> None:
        self.kept = kept
        self.total = 0
        self._head = bytearray()
        self._tail = bytearray()
        self._matching = dict.fromkeys(matching, _KEPT_LINES)
        self._line = bytearray()  # the last line, as far as it has come
        self._line_start = 0
        self._matched: dict[int, bytes] = {}

    def add(self, block: bytes) -> None:
        if self._matching:
            self._match_lines(block)
        self.total += len(block)
        room = self.kept - len(self._head)
        self._head += block[:room]
        self._tail += block[room:]
        del self._tail[: -self.kept]

    def _match_lines(self, block: bytes) -> None:
        """Keep the matching lines that end in this block."""
        at = self.total
        for piece in block.splitlines(keepends=True):
            self._line += piece[: _LINE_BYTES - len(self._line)]
            at += len(piece)
            if piece.endswith((b"\n", b"\r")):
                self._end_line(at)

    def _end_line(self, at: int) -> None:
        line = bytes(self._line)
        for pattern in [pattern for pattern in self._matching if pattern.search(line)]:
            self._matched[self._line_start] = line.rstrip(b"\r\n") + b"\n"
            self._matching[pattern] -= 1
            if not self._matching[pattern]:
                del self._matching[pattern]
        self._line.clear()
        self._line_start = at

    def text(self) -> str:
        """The kept output as text with "\n" line ends, and a line that gives the number of bytes left out.

        The matching lines among the bytes left out follow that line.
        """
        tail_start = self.total - len(self._tail)
        left_out = tail_start - len(self._head)
        between = b""
        if left_out:
            between = f"\n[{left_out} bytes are left out here]\n".encode()
            between += b"".join(
                line for at, line in self._matched.items() if at + len(line) > len(self._head) and at < tail_start
            )
        text = bytes(self._head + between + self._tail).decode("utf-8", "replace")
        return text.replace("\r\n", "\n").replace("\r", "\n")


class Output:
    """A pipe for the output of a program, and a thread that reads it; a context manager, left when the program ends.

    ``sink`` is the file descriptor for the program; :meth:`started` closes our copy. Reading stops at the end of the
    block, even if a grandchild keeps the pipe open.
    """

    def __init__(self, matching: Sequence[re.Pattern[bytes]] = ()) -> None:
        self.excerpt = OutputExcerpt(matching=matching)
        self._ended = threading.Event()
        self._source, self.sink = os.pipe()
        self._reader = threading.Thread(target=self._read, name="output of a program", daemon=True)

    def __enter__(self) -> "Output":
        self._reader.start()
        return self

    def started(self) -> None:
        """Close our copy of ``sink``: the program has its own."""
        if self.sink >= 0:
            os.close(self.sink)
            self.sink = -1

    def __exit__(self, *_: object) -> None:
        self.started()
        self._ended.set()
        self._reader.join()
        os.close(self._source)

    def _read(self) -> None:
        poll = select.poll()
        poll.register(self._source, select.POLLIN)
        bytes_after_end = 0
        while bytes_after_end < _MAX_BYTES_AFTER_END:
            has_ended = self._ended.is_set()  # before the poll: what was written until then is in the pipe
            if not poll.poll(0 if has_ended else _POLL_MS):
                if has_ended:
                    return
                continue
            block = os.read(self._source, _BLOCK)
            if not block:
                return
            self.excerpt.add(block)
            bytes_after_end += len(block) if has_ended else 0
