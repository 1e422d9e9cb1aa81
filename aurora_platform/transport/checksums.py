"""SHA-256 of many files in bulk, each with the size and mtime of the very version that was read.

Here by threads, one a core; on a far host by a program there, of which this module has the text, the questions and the
reading of its answers; :mod:`aurora_platform.transport.ssh_checksums` carries them over SSH. Nothing is cached and
nothing is judged: that is the archive's part. Nothing of what a far host says is believed further than it can be
checked: an answer that was not asked for, or asked for once and given twice, ends the conversation.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from queue import Full, Queue

from aurora_platform.errors import HostError, HostRefusedError
from aurora_platform.fs.versions import FileVersion
from aurora_platform.text import printable
from aurora_platform.transport import remote_sha256
from aurora_platform.transport.remote_sha256 import NOT_BELOW, Tree, Unusable

_LARGE = 1 << 22  # bytes; larger files are hashed first, the largest first, so that no core is left with a last one
_AT_A_TIME = 64  # small files that a thread takes at once
_WAITING = 8  # portions that wait for who reads them, not more
_MAX_PATH = 4096  # bytes; PATH_MAX
_MAX_LINE = 512  # of an answer
_MAX_MTIME = 2**63 - 1  # ns; what a database and os.utime can hold
_POLL = 0.5  # s

TOOLS = ("python3", "openssl", "sha256sum")
"""What a far host may hash with, the best first."""

# Which of them is there is tried and not looked up: a python3 may be a stub, and BusyBox's find has no -printf.
WHICH_TOOL = r"""
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

# The same conversation as that of far_digests.py, for hosts without Python, at some ms a file. The version is proved
# by find before and after. Only the shell's own redirection opens a file, so a path is never an option or an operand.
# The dots on stderr tell that a large file is getting on: the place in it has moved. Where nobody hears them, it ends.
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
    """One file: path as asked for, the version that was read, SHA-256 in hex.

    Where there is no digest, ``error`` says why, ``sha256`` is None, and size and mtime are 0.
    """

    path: str
    version: FileVersion
    sha256: str | None
    error: str = ""


def why_unusable(path: str) -> str:
    """Why no file can have this relative path, or nothing."""
    try:
        raw = os.fsencode(path)
    except UnicodeEncodeError:
        return NOT_BELOW
    if "\0" in path or len(raw) >= _MAX_PATH or not {b"", b".", b".."}.isdisjoint(raw.split(b"/")):
        return NOT_BELOW
    return ""


def refused(path: str, why: str) -> Checksum:
    """The digest of a file that has none."""
    return Checksum(path, FileVersion(0, 0), None, why)


class LocalHasher:
    """Files of this machine, by as many threads as there are cores for us."""

    def __init__(self, threads: int | None = None) -> None:
        self.threads = threads or len(os.sched_getaffinity(0))

    def checksums(self, root: str, paths: Sequence[str]) -> Iterator[Checksum]:
        """See :meth:`aurora_platform.transport.protocols.Hasher.checksums`."""
        if not os.path.isdir(root):
            raise HostRefusedError(
                f"{root}: no such directory. Is the disk mounted, and the path in the site file right?"
            )
        lock, portions = threading.Lock(), _portions(root, paths)

        def take() -> list[str]:
            with lock:
                return next(portions, [])

        def work(outlet: Outlet) -> None:
            with closing(Tree(os.fsencode(root))) as tree:
                while portion := take():
                    outlet.put([_checksum(tree, path, outlet.check) for path in portion])

        return in_parallel(work, min(self.threads, len(paths)))


def _checksum(tree: Tree, path: str, check: Callable[[], None]) -> Checksum:
    if why := why_unusable(path):
        return refused(path, why)
    try:
        sha256, size, mtime_ns = tree.sha256(os.fsencode(path), check)
    except Unusable as unusable:
        return refused(path, str(unusable))
    return Checksum(path, FileVersion(size, mtime_ns), sha256)


def _portions(root: str, paths: Sequence[str]) -> Iterator[list[str]]:
    """What a thread takes at a time: large files one by one, the largest first, then the others as they come."""
    large = {number: size for number, path in enumerate(paths) if (size := _size(root, path)) >= _LARGE}
    for number in sorted(large, key=large.__getitem__, reverse=True):
        yield [paths[number]]
    for start in range(0, len(paths), _AT_A_TIME):
        end = min(start + _AT_A_TIME, len(paths))
        portion = [paths[number] for number in range(start, end) if number not in large]
        if portion:
            yield portion


def _size(root: str, path: str) -> int:
    try:
        return os.lstat(f"{root}/{path}").st_size
    except (OSError, ValueError):  # it is judged when it is its turn
        return 0


class Stopped(Exception):  # noqa: N818 - not a failure
    """Nobody wants the rest."""


class Outlet:
    """Where threads put what they find, for one who reads; they wait when that one is slow."""

    def __init__(self) -> None:
        self.found: Queue[list[Checksum] | Exception | None] = Queue(_WAITING)
        self.abandoned = threading.Event()
        self.failed = threading.Event()

    def put(self, checksums: list[Checksum]) -> None:
        """Hand over; raises :class:`Stopped` where nobody reads any more."""
        if checksums:
            self._put(checksums)

    def check(self) -> None:
        """Raise :class:`Stopped` where the rest is of no use any more."""
        if self.abandoned.is_set() or self.failed.is_set():
            raise Stopped

    def run(self, work: Callable[[Outlet], None]) -> None:
        """Do ``work`` and say how it ended."""
        end: Exception | None = None
        try:
            work(self)
        except Stopped:
            pass
        except Exception as error:  # handed on to who reads
            end = error
            self.failed.set()
        try:
            self._put(end)
        except Stopped:
            return

    def _put(self, item: list[Checksum] | Exception | None) -> None:
        while not self.abandoned.is_set():
            try:
                return self.found.put(item, timeout=_POLL)
            except Full:
                continue
        raise Stopped


def in_parallel(work: Callable[[Outlet], None], threads: int) -> Iterator[Checksum]:
    """What so many threads find that all do ``work``, as it comes; an error of one is raised after what came before."""
    outlet = Outlet()
    workers = [threading.Thread(target=outlet.run, args=(work,), daemon=True) for _ in range(threads)]
    failure: Exception | None = None
    try:
        for worker in workers:
            worker.start()
        running = threads
        while running:
            item = outlet.found.get()
            if isinstance(item, list):
                yield from item
            else:
                running -= 1
                failure = failure or item
        if failure is not None:
            raise failure
    finally:
        outlet.abandoned.set()


def remote_command(tool: str, root: str) -> list[str]:
    """The argument vector of the program that hashes on a far host; quote it with :func:`shlex.join`."""
    if tool == "python3":  # isolated, and without site-packages and byte code: nothing is read or written but files
        return ["python3", "-I", "-S", "-B", "-c", Path(remote_sha256.__file__).read_text(), root]
    return ["sh", "-c", REMOTE_SCRIPT, "aurora-hashing", root, tool]


def encoded(path: str) -> bytes:
    """A path as a line of a question; :func:`aurora_platform.transport.remote_sha256.decoded` is the way back."""
    return b"".join(
        b"%c" % byte if 32 <= byte < 127 and byte != 92 else b"\\0%03o" % byte for byte in os.fsencode(path)
    )


def question(paths: Sequence[str]) -> bytes:
    """What asks a far host for the digests of ``paths``."""
    return b"".join(encoded(path) + b"\n" for path in paths) + b"\n"


class Answers:
    """Reads what a far host answers to one question."""

    def __init__(self, paths: Sequence[str]) -> None:
        self.is_whole = False
        self._paths = paths
        self._open = set(range(len(paths)))
        self._rest = b""

    def feed(self, block: bytes) -> list[Checksum]:
        """The digests of a block of bytes; :class:`HostError` where it is no answer to what was asked."""
        *lines, self._rest = (self._rest + block).split(b"\n")
        checksums = [checksum for line in lines if (checksum := self._checksum(line))]
        if len(self._rest) > _MAX_LINE:
            raise HostError(_strange(self._rest))
        return checksums

    def _checksum(self, line: bytes) -> Checksum | None:
        if line == b"end %d" % len(self._paths) and not self._open and not self.is_whole:
            self.is_whole = True
            return None
        found = _ANSWER.fullmatch(line)
        number = int(found["number"]) if found else -1
        if found is None or number not in self._open or int(found["mtime"] or 0) > _MAX_MTIME:
            raise HostError(_strange(line))
        self._open.remove(number)
        if found["error"]:
            return refused(self._paths[number], printable(found["error"]))
        sha256 = found["sha256"].decode("ascii")
        return Checksum(self._paths[number], FileVersion(int(found["size"]), int(found["mtime"])), sha256)


_ANSWER = re.compile(
    rb"(?P<number>[0-9]{1,6}) (?:- (?P<error>[ -~]{1,200})"
    rb"|(?P<sha256>[0-9a-f]{64}) (?P<size>[0-9]{1,18}) (?P<mtime>-?[0-9]{1,19}))"
)


def _strange(line: bytes) -> str:
    return f"this is no answer to what was asked: {printable(line[:80])!r}. Is the login shell there quiet?"
