"""Lists sources: the entries of a directory as its host reports them.

Two kinds of source give the same :class:`Listing`: a directory of this machine, and a remote one, listed by one
``find`` in one session. Entries are passed on one by one, so memory does not grow with the source. Nothing that a
listing reports is trusted: :mod:`aurora_platform.mirror.plan` decides which entries may be used.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import translate
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from aurora_platform.errors import HostError, HostRefusedError, NoSuchRootError
from aurora_platform.fs.disk_errors import next_step
from aurora_platform.fs.versions import DIRECTORY, FILE, SYMLINK, FileVersion, ScannedEntry
from aurora_platform.text import Count, printable
from aurora_platform.transport.name_store import NameStore, Reading, Record

_KINDS = {kind.encode(): kind for kind in (FILE, DIRECTORY, SYMLINK)}

# GNU find writes one NUL-terminated record per entry, so a name may hold any byte. The clock record gives the clock
# that stamped the files, which decides whether a file is settled. The end record shows that the listing is complete. A
# find without -printf (BusyBox, BSD) ends with the same code as for an unreadable directory, so -printf is tried first.
REMOTE_SCRIPT = r"""
LC_ALL=C; export LC_ALL
cd -- "$1" || {
    [ -d "$1" ] && exit 68
    case "$(ls -d -- "$1" 2>&1)" in *': Permission denied') exit 68;; esac
    exit 66
}
shift
find . -maxdepth 0 -printf '' || exit 67
printf 'clock %s\0' "$(date +%s)"
find -P "$@" -printf '%y %s %T@ %p\0'
printf 'end %s\0' "$?"
"""
NO_SUCH_ROOT = 66  # exit code of the script if the source path does not exist
UNREADABLE_ROOT = 68  # ... and if it may not be entered

# Special characters of find's patterns besides the "*" and "?" that we use.
_SPECIAL = re.compile(r"[][\\]")

# One record is a path and three numbers; a longer one is not from find.
_MAX_RECORD = 16_384
_MAX_FIND_ERRORS = 1000
# Errors of our find about a path; the quotes depend on its version. A login shell may write to the same channel, even
# errors of another find.
_QUOTE = "['`\u2018]"
_FIND_ERROR = re.compile(f"find: (?!{_QUOTE}/)(.+)")
_ROOT_ERROR = re.compile(f"{_QUOTE}\\.['\u2019]: (.+)")


type ListedEntry = ScannedEntry[bytes]
"""An entry as a host lists it: its path may be anything."""


@dataclass
class Listing:
    """A listing by a host: its clock (ns since epoch), its entries, and the directories that it could not read.

    ``unreadable`` is complete once ``entries`` is exhausted.
    """

    clock_ns: int
    entries: Generator[ListedEntry]
    """Close it if it is not used up: that ends the session."""
    unreadable: Count = field(default_factory=Count)


def remote_command(
    root: str, below: Sequence[str], without: Sequence[str] = (), named: Sequence[str] = ()
) -> list[str]:
    """The argument vector that lists ``root`` on a remote host; quote it with :func:`shlex.join`."""
    # "./" in front: find would take a name that begins with "-" or "(" for an expression.
    starts = [f"./{path}" for path in below] or ["."]
    skipped = [part for pattern in without for part in ("-path", f"./{pattern}", "-prune", "-o")]
    names = [part for pattern in named for part in ("-o", "-name", _SPECIAL.sub(r"\\\g<0>", pattern))]
    name_filter = ["(", "-type", "l", *names, ")"] if names else []
    return ["sh", "-c", REMOTE_SCRIPT, "aurora-listing", root, *starts, *skipped, *name_filter]


def matching(named: Iterable[str]) -> re.Pattern[bytes]:
    """One expression (``fullmatch``) for base names: ``*`` matches any bytes, ``?`` one byte, the rest itself."""
    patterns = (re.escape(os.fsencode(name)).replace(rb"\*", rb".*").replace(rb"\?", rb".") for name in named)
    return re.compile(b"|".join(patterns) or rb"(?!)", re.DOTALL)


def parts_of(named: Iterable[str]) -> re.Pattern[bytes]:
    """One expression (``search``) for parts of base names: no other name matches a pattern of ``named``.

    :func:`matching` needs 1 us per name for the patterns of some days; this one needs 0.1 us.
    """
    longest = (max(re.split(r"[*?]", name), key=len) for name in named)
    return re.compile(b"|".join(re.escape(os.fsencode(part)) for part in longest))


def split_records(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Cut a stream of bytes into its NUL-terminated records; an incomplete record at the end is dropped."""
    rest = b""
    for block in blocks:
        *records, rest = (rest + block).split(b"\0")
        yield from records
        if len(rest) > _MAX_RECORD:
            raise HostError(f"the listing has a record of more than {_MAX_RECORD} bytes: this is not output of find")


def parse_listing(records: Iterator[bytes], unreadable: Count) -> Listing:
    """Read the records of :data:`REMOTE_SCRIPT`; the entries raise :class:`HostError` if the end record is missing."""
    first = next(records, b"")
    if not re.fullmatch(rb"clock [0-9]{1,11}", first):
        raise HostError("the listing does not begin with the host's clock. Does its login shell print something?")
    return Listing(int(first[6:]) * 1_000_000_000, _entries(records), unreadable)


def _entries(records: Iterator[bytes]) -> Generator[ListedEntry]:
    for record in records:
        if record.startswith(b"end "):
            if record not in (b"end 0", b"end 1"):  # 1: something could not be read, see stderr
                raise HostError(f"find failed on the host ({printable(record[4:])})")
            # Reading on lets the session end in order: its exit code and errors come after its output.
            if next(records, None) is not None:
                raise HostError("the listing goes on after its end")
            return
        yield _entry(record)
    raise HostError("the listing was cut off before its end")


def _entry(record: bytes) -> ListedEntry:
    try:
        kind, size, mtime, path = record.split(b" ", 3)
        seconds, _, fraction = mtime.partition(b".")
        mtime_ns = int(seconds) * 1_000_000_000 + int((fraction + b"000000000")[:9])
        version = FileVersion(int(size), mtime_ns)
        return ScannedEntry(path.removeprefix(b"./"), version, _KINDS.get(kind) or kind.decode("ascii"))
    except ValueError:
        raise HostError(f"the listing has a record that is not from find: {record[:80]!r}") from None


def count_unreadable(stderr: bytes, unreadable: Count) -> None:
    """Count the paths that find could not read; files that vanished meanwhile and other output are ignored.

    Raises
    ------
    HostRefusedError
        If the root itself cannot be read: an empty listing does not mean then that the root is empty.
    """
    lines = stderr.decode("utf-8", "surrogateescape").split("\n")
    errors = (match[1] for line in lines if (match := _FIND_ERROR.fullmatch(line)))
    for text in islice((e for e in errors if not e.endswith(": No such file or directory")), _MAX_FIND_ERRORS):
        if root_error := _ROOT_ERROR.fullmatch(text):
            raise HostRefusedError(printable(root_error[1]))
        unreadable.add(os.fsencode(text))


class LocalSource:
    """A source on this machine, read directly. ``clock_ns`` is the clock that stamps its files (ns since epoch).

    With ``store``, a listing by names reads the root only if it changed since its names were stored.
    """

    def __init__(self, clock_ns: Callable[[], int] = time.time_ns, store: NameStore | None = None) -> None:
        self.clock_ns = clock_ns
        self.store = store

    def list(self, root: str, below: Sequence[str], without: Sequence[str] = (), named: Sequence[str] = ()) -> Listing:
        """See :meth:`aurora_platform.transport.protocols.Source.list`."""
        _require_readable(root, is_listed=not below)
        unreadable = Count()
        skipped = [re.compile(os.fsencode(translate(pattern))) for pattern in without]
        entry_filter = _EntryFilter(skipped, _Names(matching(named), parts_of(named)) if named else None)
        if self.store is not None and named and not below and not without:
            entries = _walk_stored(root, named, self.store, entry_filter, unreadable)
        else:
            entries = _walk(os.fsencode(root), [os.fsencode(b) for b in below], entry_filter, unreadable)
        return Listing(self.clock_ns(), entries, unreadable)


def _require_readable(root: str, is_listed: bool) -> None:
    """Raise if a root does not exist or cannot be entered; with ``is_listed`` also if it cannot be read."""
    try:
        os.stat(os.path.join(root, "."))
        if is_listed:
            os.close(os.open(root, os.O_RDONLY | os.O_DIRECTORY))
    except (FileNotFoundError, NotADirectoryError):
        raise NoSuchRootError(
            f"{root}: no such directory. Is the path in the site file right? {next_step(errno.ENOENT, Path(root))}"
        ) from None
    except OSError as error:
        raise _unreadable_root(root, error) from None


def _unreadable_root(root: str, error: OSError) -> HostError:
    message = f"{root} is not readable: {error.strerror}."
    if isinstance(error, PermissionError):
        return HostRefusedError(f"{message} Let the user that runs Aurora read and enter it (chmod o+rx).")
    return HostError(f"{message} {next_step(error.errno or 0, Path(root))}")


class _Names(NamedTuple):
    """The patterns of names, as expressions."""

    whole: re.Pattern[bytes]
    parts: re.Pattern[bytes]


class _EntryFilter(NamedTuple):
    """Decides which entries of a directory are listed and which are skipped; needs no stat."""

    skipped: list[re.Pattern[bytes]]
    names: _Names | None

    def skips(self, path: bytes) -> bool:
        return any(pattern.match(path) for pattern in self.skipped)

    def lists(self, item: os.DirEntry[bytes]) -> bool:
        return self.names is None or self.names.whole.fullmatch(item.name) is not None or item.is_symlink()

    def without_others(self, items: Iterator[os.DirEntry[bytes]]) -> Iterator[os.DirEntry[bytes]]:
        """Leave out most files that are not listed, as fast as possible: a directory may have 100,000s of them."""
        if self.names is None:
            yield from items
            return
        has_part = self.names.parts.search
        for item in items:
            if has_part(item.name) is not None or not item.is_file(follow_symlinks=False):
                yield item


def _walk_stored(
    root: str, named: Sequence[str], store: NameStore, entry_filter: _EntryFilter, unreadable: Count
) -> Generator[ListedEntry]:
    """Walk a tree by the stored names of its root; if there are none, store them."""
    try:
        record = store.find(root, named)
        reading = None if record else store.begin(root, named)
    except OSError as error:
        raise _unreadable_root(root, error) from None
    if record is None:
        yield from _walk(os.fsencode(root), [], entry_filter, unreadable, reading)
        return
    yield from _stat_names(os.fsencode(root), record)
    if record.directories:
        yield from _walk(os.fsencode(root), [*record.directories], entry_filter, unreadable)


def _stat_names(root: bytes, record: Record) -> Iterator[ListedEntry]:
    for name in record.names:
        try:
            status = os.lstat(os.path.join(root, name))
        except FileNotFoundError:  # vanished since the root was compared with its record
            continue
        except OSError as error:
            raise _unreadable_root(os.fsdecode(root), error) from None
        yield ScannedEntry.of(name, status)


def _walk(
    root: bytes, below: list[bytes], entry_filter: _EntryFilter, unreadable: Count, reading: Reading | None = None
) -> Generator[ListedEntry]:
    """Walk a tree; the names of its root are added to ``reading``."""
    pending: list[bytes] = []
    for start in below or [b""]:
        try:
            status = os.lstat(os.path.join(root, start))
        except FileNotFoundError:
            continue
        except OSError as error:
            unreadable.add(start + b": " + os.fsencode(error.strerror or "cannot be read"))
            continue
        if stat.S_ISDIR(status.st_mode):
            pending.append(start)
        else:
            yield ScannedEntry.of(start, status)
    while pending:
        directory = pending.pop()
        try:
            with os.scandir(os.path.join(root, directory)) as items:
                yield from _list_directory(directory, items, entry_filter, pending, None if directory else reading)
        except OSError as error:
            if not directory:
                raise _unreadable_root(os.fsdecode(root), error) from None
            if not isinstance(error, FileNotFoundError):
                unreadable.add(directory + b": " + os.fsencode(error.strerror or "cannot be read"))


def _list_directory(
    directory: bytes,
    items: Iterator[os.DirEntry[bytes]],
    entry_filter: _EntryFilter,
    pending: list[bytes],
    reading: Reading | None,
) -> Iterator[ListedEntry]:
    """Yield the listed entries of one directory, and add its directories to ``pending``."""
    prefix = os.path.join(directory, b"")
    for item in entry_filter.without_others(items):
        path = prefix + item.name
        if entry_filter.skipped and entry_filter.skips(path):
            continue
        if item.is_dir(follow_symlinks=False):
            pending.append(path)
            if reading is not None:
                reading.add_directory(item.name)
        if not entry_filter.lists(item):
            continue
        if reading is not None:
            reading.add_name(item.name)
        try:
            yield ScannedEntry.of(path, item.stat(follow_symlinks=False))
        except FileNotFoundError:  # vanished since it was listed
            continue
    if reading is not None:
        reading.end()
