"""Computes SHA-256 checksums of many files, each with the size and mtime of the file version that was read.

On this machine threads hash, one per core. On a remote host a program hashes: this module holds its text, its requests
and the parser of its answers; :mod:`aurora_platform.transport.ssh_checksums` carries them over SSH. Nothing is cached
and nothing is compared: that is the archive's part. Answers of a remote host are checked as far as possible: an answer
that was not requested, or that comes twice, ends the conversation.
"""

from __future__ import annotations

import errno
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from aurora_platform.errors import HostError, HostRefusedError
from aurora_platform.fs.disk_errors import next_step
from aurora_platform.fs.versions import FileVersion
from aurora_platform.text import printable
from aurora_platform.transport import remote_sha256
from aurora_platform.transport.remote_sha256 import NOT_BELOW_ROOT, Tree, Unusable
from aurora_platform.transport.threads import ResultQueue, run_in_threads

_LARGE = 1 << 22  # bytes; larger files are hashed first, the largest first, so that all cores finish together
_PORTION_FILES = 64  # small files that a thread takes at once
_MAX_PATH = 4096  # bytes; PATH_MAX
_MAX_LINE = 512  # of an answer
_MAX_MTIME = 2**63 - 1  # ns; what a database and os.utime can hold

TOOLS = ("python3", "openssl", "sha256sum")
"""Programs that a remote host may hash with, the best first."""

# Each tool is tried out, because its name alone proves nothing: python3 may be a stub, BusyBox's find has no -printf.
FIND_TOOL_SCRIPT = r"""
exec 2>/dev/null
known=6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d
if python3 -I -S -c 'import hashlib, os, sys; hashlib.sha256(); sys.exit(sys.version_info < (3, 6))'
then echo python3; exit; fi
find . -maxdepth 0 -printf '' || { echo none; exit; }
for tool in 'openssl dgst -sha256 -r' sha256sum; do
  case $(printf '\000' | $tool) in "$known "*) echo "${tool%% *}"; exit ;; esac
done
echo none
"""

# The same protocol as remote_sha256.py, for hosts without Python, at some ms per file. find reads the file version
# before and after. Only the shell's own redirection opens a file, so a path is never an option or an operand. The dots
# on stderr show progress in a large file: the read position has moved. The script ends if nobody reads them.
REMOTE_SCRIPT = r"""
LC_ALL=C; export LC_ALL
renice -n 19 -p $$ >/dev/null 2>&1
case $2 in openssl) tool='openssl dgst -sha256 -r' ;; *) tool=$2 ;; esac
cd -- "$1" || exit 66
version() { find "./$path" -maxdepth 0 -printf '%y %s %T@ %D %i %C@' 2>&1; }
behind_symlink() {
  folder=$path
  while :; do
    case $folder in */*) folder=${folder%/*} ;; *) return 1 ;; esac
    [ -L "./$folder" ] && return 0
  done
}
watch() {
  trap '' PIPE
  was=
  while sleep 4 9>&- && is=$(cat "/proc/$1/fdinfo/0"); do
    [ "$is" = "$was" ] || printf . >&9 || kill "$1"
    was=$is
  done
}
hash() {
  if [ "$size" -lt 100000000 ]; then $tool <"./$path"; return; fi
  $tool <"./$path" & hashing=$!
  watch "$hashing" 9>&2 >/dev/null 2>/dev/null & watching=$!
  wait "$hashing"; code=$?
  kill "$watching"
  return "$code"
}
answer() {
  before=$(version)
  if behind_symlink; then echo '- behind a directory that is a symlink'; return; fi
  case $before in
    'f '*) ;;
    'l '*) echo '- a symlink'; return ;;
    *': No such file or directory' | *': Not a directory') echo '- not there'; return ;;
    find:*) echo '- cannot be read'; return ;;
    *) echo '- not a regular file'; return ;;
  esac
  rest=${before#f }; size=${rest%% *}; rest=${rest#* }; time=${rest%% *}
  sum=$(hash) || { echo '- cannot be read'; return; }
  after=$(version)
  case $after in *': No such file or directory') echo '- not there'; return ;; esac
  if [ "$before" != "$after" ] || behind_symlink; then echo '- changed while it was read'; return; fi
  printf '%s %s %s%.9s\n' "${sum%% *}" "$size" "${time%.*}" "${time#*.}000000000"
}
count=0
while IFS= read -r line; do
  case $line in
    '') echo "end $count"; count=0; continue ;;
    *\\*) path=$(printf '%b.' "$line"); path=${path%.} ;;
    *) path=$line ;;
  esac
  printf '%s %s\n' "$count" "$(answer)"
  count=$((count + 1))
done
"""


@dataclass(frozen=True, slots=True)
class Checksum:
    """Checksum of one file: the requested path, the version that was read, SHA-256 in hex.

    If the file could not be hashed, ``error`` has the reason, ``sha256`` is None, and size and mtime are 0.
    """

    path: str
    version: FileVersion
    sha256: str | None
    error: str = ""


def why_unusable(path: str) -> str:
    """The reason why no file can have this relative path; empty if one can."""
    try:
        raw = os.fsencode(path)
    except UnicodeEncodeError:
        return NOT_BELOW_ROOT
    if "\0" in path or len(raw) >= _MAX_PATH or not {b"", b".", b".."}.isdisjoint(raw.split(b"/")):
        return NOT_BELOW_ROOT
    return ""


def failed_checksum(path: str, reason: str) -> Checksum:
    """The result for a file that could not be hashed."""
    return Checksum(path, FileVersion(0, 0), None, reason)


class LocalHasher:
    """Hashes files of this machine with one thread per available core.

    :class:`TimeoutError` ends it when the disk gives nothing for ``stall`` s.
    """

    def __init__(self, threads: int | None = None, stall: float | None = None) -> None:
        self.threads = threads or len(os.sched_getaffinity(0))
        self.stall = stall

    def checksums(self, root: str, paths: Sequence[str]) -> Iterator[Checksum]:
        """See :meth:`aurora_platform.transport.protocols.Hasher.checksums`."""
        if not os.path.isdir(root):
            raise HostRefusedError(
                f"{root}: no such directory. Is the path in the site file right? {next_step(errno.ENOENT, Path(root))}"
            )
        lock, portions = threading.Lock(), _portions(root, paths)

        def take() -> list[str]:
            with lock:
                return next(portions, [])

        def work(queue: ResultQueue[Checksum]) -> None:
            with closing(Tree(os.fsencode(root))) as tree:
                while portion := take():
                    queue.put([_checksum(tree, path, queue.check) for path in portion])

        return run_in_threads(work, min(self.threads, len(paths)), self.stall)


def _checksum(tree: Tree, path: str, check: Callable[[], None]) -> Checksum:
    if reason := why_unusable(path):
        return failed_checksum(path, reason)
    try:
        sha256, size, mtime_ns = tree.sha256(os.fsencode(path), check)
    except Unusable as unusable:
        return failed_checksum(path, str(unusable))
    return Checksum(path, FileVersion(size, mtime_ns), sha256)


def _portions(root: str, paths: Sequence[str]) -> Iterator[list[str]]:
    """Portions of paths for the threads: large files one by one, the largest first, then the others in their order."""
    large = {number: size for number, path in enumerate(paths) if (size := _size(root, path)) >= _LARGE}
    for number in sorted(large, key=large.__getitem__, reverse=True):
        yield [paths[number]]
    for start in range(0, len(paths), _PORTION_FILES):
        end = min(start + _PORTION_FILES, len(paths))
        portion = [paths[number] for number in range(start, end) if number not in large]
        if portion:
            yield portion


def _size(root: str, path: str) -> int:
    try:
        return os.lstat(f"{root}/{path}").st_size
    except (OSError, ValueError):  # reported when the file is hashed
        return 0


def remote_command(tool: str, root: str) -> list[str]:
    """The argument vector of the program that hashes on a remote host; quote it with :func:`shlex.join`."""
    if tool == "python3":  # isolated, without site-packages and byte code: it reads only the files, and writes nothing
        return ["python3", "-I", "-S", "-B", "-c", Path(remote_sha256.__file__).read_text(), root]
    return ["sh", "-c", REMOTE_SCRIPT, "aurora-hashing", root, tool]


def encode_path(path: str) -> bytes:
    """Encode a path as a line of a request; :func:`aurora_platform.transport.remote_sha256.decode_path` decodes it."""
    return b"".join(
        b"%c" % byte if 32 <= byte < 127 and byte != 92 else b"\\0%03o" % byte for byte in os.fsencode(path)
    )


def encode_request(paths: Sequence[str]) -> bytes:
    """The request for the checksums of ``paths``."""
    return b"".join(encode_path(path) + b"\n" for path in paths) + b"\n"


class AnswerParser:
    """Parses the answers of a remote host to one request."""

    def __init__(self, paths: Sequence[str]) -> None:
        self.is_complete = False
        self._paths = paths
        self._unanswered = set(range(len(paths)))
        self._rest = b""

    def feed(self, block: bytes) -> list[Checksum]:
        """Return the checksums in a block of bytes; :class:`HostError` if it is not an answer to the request."""
        *lines, self._rest = (self._rest + block).split(b"\n")
        checksums = [checksum for line in lines if (checksum := self._checksum(line))]
        if len(self._rest) > _MAX_LINE:
            raise HostError(_unexpected_answer(self._rest))
        return checksums

    def _checksum(self, line: bytes) -> Checksum | None:
        if line == b"end %d" % len(self._paths) and not self._unanswered and not self.is_complete:
            self.is_complete = True
            return None
        match = _ANSWER.fullmatch(line)
        number = int(match["number"]) if match else -1
        if match is None or number not in self._unanswered or int(match["mtime"] or 0) > _MAX_MTIME:
            raise HostError(_unexpected_answer(line))
        self._unanswered.remove(number)
        if match["error"]:
            return failed_checksum(self._paths[number], printable(match["error"]))
        sha256 = match["sha256"].decode("ascii")
        return Checksum(self._paths[number], FileVersion(int(match["size"]), int(match["mtime"])), sha256)


_ANSWER = re.compile(
    rb"(?P<number>[0-9]{1,6}) (?:- (?P<error>[ -~]{1,200})"
    rb"|(?P<sha256>[0-9a-f]{64}) (?P<size>[0-9]{1,18}) (?P<mtime>-?[0-9]{1,19}))"
)


def _unexpected_answer(line: bytes) -> str:
    return f"unexpected answer: {printable(line[:80])!r}. Does the login shell of the host print something?"
