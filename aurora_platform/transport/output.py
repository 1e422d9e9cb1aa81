"""The output of a program while it is written: its beginning and its end, and how much was left out between them.

Lines that matter wherever they stand (that the disk is full, say) are kept as well, the first few of each kind.

What a far program says has no bound of its own. It is read as it comes, so that the program never waits for us, and no
more of it is kept than a person would read.
"""

import os
import re
import select
import threading
from collections.abc import Sequence

KEPT_BYTES = 64 * 1024
"""So much is kept of the beginning, and of the end."""
_KEPT_LINES = 5  # of each pattern
_LINE_BYTES = 4096  # so much is looked at of a line that does not end
_BLOCK = 1 << 16
_POLL_MS = 100
_MOST_AFTER = 1 << 20  # what a pipe may still hold of a program that has ended


class Ends:
    """The first and the last bytes of what is added, in bounded memory, and the first lines that match a pattern."""

    def __init__(self, kept: int = KEPT_BYTES, matching: Sequence[re.Pattern[bytes]] = ()) -> None:
        self.kept = kept
        self.total = 0
        self._head = bytearray()
        self._tail = bytearray()
        self._matching = dict.fromkeys(matching, _KEPT_LINES)
        self._line = bytearray()  # what has come of the last one
        self._began = 0  # where that one begins
        self._matched: dict[int, bytes] = {}

    def add(self, block: bytes) -> None:
        if self._matching:
            self._look(block)
        self.total += len(block)
        room = self.kept - len(self._head)
        self._head += block[:room]
        self._tail += block[room:]
        del self._tail[: -self.kept]

    def _look(self, block: bytes) -> None:
        """Keep the lines that end in a block and match."""
        at = self.total
        for piece in block.splitlines(keepends=True):
            self._line += piece[: _LINE_BYTES - len(self._line)]
            at += len(piece)
            if piece.endswith((b"\n", b"\r")):
                self._end_line(at)

    def _end_line(self, at: int) -> None:
        line = bytes(self._line)
        for pattern in [pattern for pattern in self._matching if pattern.search(line)]:
            self._matched[self._began] = line.rstrip(b"\r\n") + b"\n"
            self._matching[pattern] -= 1
            if not self._matching[pattern]:
                del self._matching[pattern]
        self._line.clear()
        self._began = at

    def text(self) -> str:
        """What is kept, as text with "\n" at the ends of its lines, and a line that says what was left out.

        After that come the lines that match, where they are among what was left out.
        """
        over = self.total - len(self._tail)
        left_out = over - len(self._head)
        between = b""
        if left_out:
            between = f"\n[{left_out} bytes are left out here]\n".encode()
            between += b"".join(
                line for at, line in self._matched.items() if at + len(line) > len(self._head) and at < over
            )
        text = bytes(self._head + between + self._tail).decode("utf-8", "replace")
        return text.replace("\r\n", "\n").replace("\r", "\n")


class Output:
    """A pipe for a program to write to, and a thread that reads it; a context manager, which ends with the program.

    ``sink`` is the descriptor for the program; it is closed here by :meth:`started`. Where a grandchild keeps it open,
    the end of the block is the end all the same.
    """

    def __init__(self, matching: Sequence[re.Pattern[bytes]] = ()) -> None:
        self.ends = Ends(matching=matching)
        self._over = threading.Event()
        self._source, self.sink = os.pipe()
        self._reader = threading.Thread(target=self._read, name="output of a program", daemon=True)

    def __enter__(self) -> "Output":
        self._reader.start()
        return self

    def started(self) -> None:
        """Say that the program has its own copy of ``sink``."""
        if self.sink >= 0:
            os.close(self.sink)
            self.sink = -1

    def __exit__(self, *_: object) -> None:
        self.started()
        self._over.set()
        self._reader.join()
        os.close(self._source)

    def _read(self) -> None:
        poll = select.poll()
        poll.register(self._source, select.POLLIN)
        after = 0
        while after < _MOST_AFTER:
            is_over = self._over.is_set()  # before the look: what was written until then is in the pipe
            if not poll.poll(0 if is_over else _POLL_MS):
                if is_over:
                    return
                continue
            block = os.read(self._source, _BLOCK)
            if not block:
                return
            self.ends.add(block)
            after += len(block) if is_over else 0
