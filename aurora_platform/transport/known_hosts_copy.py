"""A temporary copy of the host keys, for whoever only looks. Apart, because the rest needs paramiko."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def copied_known_hosts(known_hosts: Path) -> Iterator[Path]:
    """Yield a temporary copy, for whoever only looks: no key of a new host is added to the file itself.

    A file that cannot be read is yielded itself: connecting to a host then fails with the reason.
    """
    # A connection that was given up may still write to the copy while it is removed.
    with tempfile.TemporaryDirectory(prefix="aurora-", ignore_cleanup_errors=True) as directory:
        copy = Path(directory) / "known_hosts"
        try:
            content = known_hosts.read_bytes() if known_hosts.is_file() or not known_hosts.exists() else None
        except FileNotFoundError:
            content = b""
        except OSError:
            content = None
        if content is None:
            copy = known_hosts
        else:
            copy.write_bytes(content)
        yield copy
