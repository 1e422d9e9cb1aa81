"""rsync: the one program that moves file data, from a host to here.

Each file comes under its name whole or not at all; a transfer that was cut is resumed; every wait has a bound.
"""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from logging import Logger
from pathlib import Path

from dagster import ConfigurableResource

from aurora_assets.errors import BusyError, TransferError
from aurora_assets.files import remove, shown
from aurora_assets.hosts import Host, SshHost
from aurora_assets.mirror.sync import NEW, PARTIAL, WANTED, Transferred
from resources.shell import ENDS_WITH_PARENT, LOCKED, TIMED_OUT, ShellResource
from resources.ssh import SshResource

# rsync's exit codes that end a pass well: everything, or everything but single files, which are named.
_SOME_FAILED = 23
_DONE = (0, _SOME_FAILED, 24)
_OUR_SIDE = re.compile(
    r"\[(receiver|generator)\].*(No space left|Disk quota|Read-only file system|Input/output error|Permission denied)"
)
# Those that say that it was called wrongly, or is not there: trying again would end alike.
_HOPELESS = (1, 2, 3, 4, 6, 127)
_MEANINGS = {
    5: "the host refused to start the transfer",
    10: "error in socket I/O",
    11: "error in file I/O here: is the disk full?",
    12: "the connection broke",
    13: "it could not write what it had to say",
    20: "ended by a signal",
    30: "nothing moved for too long",
    35: "no connection in time",
    TIMED_OUT: "took longer than the site's limit for a transfer",
    127: "rsync is not installed there",
    137: "killed",
    143: "ended by a signal",
    255: "ssh could not connect, or the connection broke",
}


class RsyncResource(ConfigurableResource):
    """Copies files of a host to here."""

    shell: ShellResource
    ssh: SshResource
    stall_seconds: float = 60
    transfer_seconds: float = 6 * 3600
    bandwidth_kib: int = 0
    """Limit in KiB/s; 0 is none."""

    def transfer(self, host: Host, log: Logger, basis: Path | None = None) -> "RsyncTransfer":
        """The transfer from ``host``, as the mirror wants it.

        ``basis`` is a directory with earlier versions of the files: of what is there too, only the difference is sent.
        """
        return RsyncTransfer(self, host, log, basis)

    def arguments(self, host: Host, root: str, target: Path, work: Path, basis: Path | None = None) -> list[str]:
        """The argument vector that copies the files that ``work`` names from ``root`` on ``host`` to ``target``."""
        source = f"{root.rstrip('/')}/"
        remote: list[str] = []
        if isinstance(host, SshHost):
            address = f"[{host.address}]" if ":" in host.address else host.address
            source = f"{address}:{_literal(source)}"
            # Its ssh ends with rsync; else it would stay for as long as a frozen far side keeps the session open.
            remote = ["--rsh", shlex.join([*ENDS_WITH_PARENT, *self.ssh.command(host)])]
        if basis is not None:
            remote.append(f"--copy-dest={basis}")
        if self.bandwidth_kib:
            remote.append(f"--bwlimit={self.bandwidth_kib}")
        return [
            "rsync",
            *("--files-from", str(work / WANTED), "--from0", "--ignore-missing-args"),
            # The plan has compared size and mtime to the nanosecond; rsync compares to the second and would skip some.
            *("--ignore-times", "--times", "--omit-dir-times"),
            # Owner and mode are those of whoever runs this; nothing but plain files is ever created.
            *("--no-perms", "--chmod=D777,F666", "--no-links", "--no-devices", "--no-specials"),
            *("--temp-dir", str(work / NEW), "--partial-dir", str(work / PARTIAL), "--fsync"),
            # The server side gets its arguments over the connection, not through its shell.
            "--secluded-args",
            *("--timeout", str(max(1, round(self.stall_seconds)))),
            *("--stats", "--no-human-readable"),
            *remote,
            "--",
            source,
            f"{target}/",
        ]


@dataclass
class RsyncTransfer:
    """One host's transfer; see :class:`aurora_assets.mirror.sync.Transfer`."""

    rsync: RsyncResource
    host: Host
    log: Logger
    basis: Path | None = None

    def fetch(self, root: str, paths: Sequence[str], target: Path, work: Path, lock: Path) -> Transferred:
        """See :meth:`aurora_assets.mirror.sync.Transfer.fetch`."""
        _prepare(work, paths)
        output, code = self.rsync.shell.run(
            self.rsync.arguments(self.host, root, target, work, self.basis),
            self.log,
            bound=timedelta(seconds=self.rsync.transfer_seconds),
            lock=lock,
            lock_wait=timedelta(seconds=self.rsync.stall_seconds),
            # Its own --timeout is not enough: rsync takes the keep-alives that it sends for a sign of life.
            stall=timedelta(seconds=self.rsync.stall_seconds),
        )
        code = code if code >= 0 else 128 - code  # as a shell says it: ended by that signal
        if code == LOCKED:
            raise BusyError(f"{lock}: an earlier transfer of this stream is still ending. See `fuser -v {lock}`.")
        lines = [line.strip() for line in output.splitlines() if line.strip()]
        complaints = tuple(shown(line) for line in lines if line.startswith(("rsync: ", "rsync error: ", "ssh: ")))
        if code == _SOME_FAILED and (ours := [line for line in lines if _OUR_SIDE.search(line)]):
            # Code 23 names single files that could not be read there; what cannot be written here is no file's fault.
            raise TransferError(f"rsync could not write here: {shown(ours[0])}", transient="denied" not in ours[0])
        if code not in _DONE:
            # ssh says why in a line of its own, before rsync says that the connection is gone.
            said = "; ".join(shown(line) for line in lines[-3:])
            meaning = _MEANINGS.get(code, "see man rsync")
            raise TransferError(f"rsync ended with {code} ({meaning}): {said}", transient=code not in _HOPELESS)
        return Transferred(_stat(output, "Literal data"), _stat(output, "Matched data"), complaints[:10])


def _prepare(work: Path, paths: Sequence[str]) -> None:
    remove(work / NEW)  # of a transfer that was killed; what it could save is in partial/
    for name in (NEW, PARTIAL):
        (work / name).mkdir(parents=True, exist_ok=True, mode=0o700)
    # "./" in front: rsync would take a name that begins with "#" or ";" for a comment.
    (work / WANTED).write_bytes(b"".join(b"./" + path.encode() + b"\0" for path in paths))


def _literal(path: str) -> str:
    """A path of the far side, which rsync takes for a pattern where it has a wildcard."""
    return re.sub(r"([*?\[\\])", r"\\\1", path) if re.search(r"[*?\[]", path) else path


def _stat(output: str, name: str) -> int:
    match = re.search(rf"^{re.escape(name)}: (\d+) bytes", output, re.MULTILINE)
    return int(match[1]) if match else 0
