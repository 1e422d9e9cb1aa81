"""``known_hosts``: which keys are known of a host, whether the one that it shows is accepted, and how a new one is
added.

The file is read by bytes and line by line, because a damaged line may cost only the hosts that it names. OpenSSH passes
over such a line and takes the host for a new one, whatever key it shows; Paramiko gives up the whole file, or does the
same. Here a host is refused while a line that names it cannot be read and no other line has a key of it: what the host
shows cannot be compared. All other hosts are as before. A damaged character within a host's name cannot be told: such a
host is a new one. Format: sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT".
"""

import base64
import binascii
import errno
import hmac
import logging
import os
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from filelock import FileLock
from paramiko import BadHostKeyException, MissingHostKeyPolicy, PKey, SSHClient
from paramiko.pkey import UnknownKeyType

from aurora_platform.config.hosts import SshHost
from aurora_platform.errors import HostError, HostRefusedError

_LOG = logging.getLogger("aurora.ssh")

_MOST = 1 << 20  # bytes: the keys of some thousand hosts
_LONGEST_NAME = 255
_NAMED = 5  # lines, in a message
_WAIT = 10  # s, for another process that adds a key
_REVOKED, _AUTHORITY = b"@revoked", b"@cert-authority"


# Behind a key stands a comment. Where a line break was damaged, the next line stands there, with a key of its own.
_LIKE_A_KEY = re.compile(rb"AAAA[A-Za-z0-9+/]{20}")


class HostKeyError(HostRefusedError):
    """The key of a host cannot be compared, or must not be used; ``next_step`` says what an operator does."""

    def __init__(self, what: str, next_step: str) -> None:
        super().__init__(f"{what} {next_step[:1].upper()}{next_step[1:]}.")
        self.what = what
        self.next_step = next_step


@dataclass(frozen=True)
class Line:
    """A line that is neither empty nor a comment."""

    number: int
    text: bytes
    names: tuple[str, ...] = ()
    marker: bytes = b""
    key: PKey | None = None
    damage: str = ""
    """Why it cannot be read; empty where it can."""

    def is_about(self, name: str) -> bool:
        """Whether it names a host; of a damaged line, whether it may."""
        if self.damage:
            # The name may stand behind the rest of another line, whose end was cut off.
            words = map(_text, re.split(rb"[\s,\0]+", self.text))
            return any(word.endswith(name) or (len(word) <= _LONGEST_NAME and _matches(word, name)) for word in words)
        if any(_matches(one[1:], name) for one in self.names if one.startswith("!")):
            return False
        return any(_matches(one, name) for one in self.names)


@dataclass(frozen=True)
class HostKeys:
    """What the file says of one host."""

    keys: dict[str, PKey]
    """By type; where there are several of a type, the first."""
    revoked: tuple[PKey, ...]
    damaged: tuple[int, ...]
    """Numbers of the lines that may be about it and cannot be read."""
    damaged_elsewhere: tuple[int, ...]
    """Numbers of all others that cannot be read."""


def name_of(host: SshHost) -> str:
    """How ``known_hosts`` calls a host."""
    return host.address if host.port == 22 else f"[{host.address}]:{host.port}"


def lines_of(file: Path) -> list[Line]:
    """All lines of the file; none where it does not exist. :class:`HostError` where it cannot be read at all."""
    return [line for number, text in enumerate(_bytes_of(file).split(b"\n"), 1) if (line := _line(number, text))]


def damaged_lines(file: Path) -> dict[int, str]:
    """The lines that cannot be read, by number, and why."""
    return {line.number: line.damage for line in lines_of(file) if line.damage}


def host_keys_of(file: Path, name: str) -> HostKeys:
    """What is known of a host."""
    lines = lines_of(file)
    about = [line for line in lines if line.is_about(name)]
    revoked = tuple(line.key for line in about if line.marker == _REVOKED and line.key)
    keys: dict[str, PKey] = {}
    for line in about:
        if line.key and not line.marker and line.key not in revoked:
            keys.setdefault(line.key.get_name(), line.key)
    damaged = tuple(line.number for line in about if line.damage)
    return HostKeys(keys, revoked, damaged, tuple(line.number for line in lines if line.damage and line not in about))


def require_comparable(file: Path, name: str) -> HostKeys:
    """What is known of a host; :class:`HostKeyError` where what it shows could not be compared."""
    known = host_keys_of(file, name)
    if known.keys or not known.damaged:
        return known
    raise HostKeyError(
        f"{named(known.damaged)} of {file} may be about {name} and cannot be read, so its host key cannot be compared; "
        "refused.",
        "compare the key that it shows with its own (on the host: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), "
        f"then remove {named(known.damaged)}: {removal(known.damaged, file)}",
    )


def named(numbers: Iterable[int]) -> str:
    """Some lines, for a message."""
    found = list(numbers)
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return f"line{'s' * (len(found) > 1)} {', '.join(map(str, found[:_NAMED]))}{more}"


def removal(numbers: Iterable[int], file: Path) -> str:
    """The command that removes as many lines as are named."""
    return f"sed -i '{';'.join(f'{number}d' for number in list(numbers)[:_NAMED])}' {file}"


def lock_of(file: Path) -> FileLock:
    """Held by whoever adds a key."""
    return FileLock(f"{file}.lock", timeout=_WAIT)


def remember(file: Path, name: str, key: PKey) -> None:
    """Add a line, whole or not at all; the lock is the caller's."""
    _append(file, f"{name} {key.get_name()} {key.get_base64()}\n".encode())


def end_last_line(file: Path) -> None:
    """See that the next line begins a new one: ssh(1) would add its own to the rest of a line that was cut off."""
    if _bytes_of(file)[-1:] not in (b"", b"\n"):
        with lock_of(file):
            _append(file, b"")


def _append(file: Path, line: bytes) -> None:
    handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        size = os.fstat(handle).st_size
        if size and os.pread(handle, 1, size - 1) != b"\n":
            line = b"\n" + line
        try:
            if line and os.write(handle, line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))
            os.fsync(handle)
        except OSError:
            os.ftruncate(handle, size)
            raise
    finally:
        os.close(handle)


def _bytes_of(file: Path) -> bytes:
    move = "move it away, or let the user that runs the platform read it; host keys are kept there"
    try:
        # Not held up by a pipe.
        handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return b""
    except OSError as error:
        what = f"{file}: {error.strerror}."
        if isinstance(error, PermissionError | NotADirectoryError) or error.errno == errno.ELOOP:
            raise HostKeyError(what, move) from None
        raise HostError(f"{what} Host keys are kept there: is its disk there?") from None
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise HostKeyError(f"{file} is no file.", move)
        found = os.read(handle, _MOST + 1)
    finally:
        os.close(handle)
    if len(found) > _MOST:
        raise HostKeyError(f"{file} is larger than 1 MB: these are not only host keys.", move)
    return found


def _line(number: int, raw: bytes) -> Line | None:
    text = raw.strip(b" \t\r")
    if not text or text.startswith(b"#"):
        return None
    fields = text.split()
    marker = fields.pop(0) if fields[0].startswith(b"@") else b""
    damage = _damage_of_fields(text, marker, fields)
    if damage:
        return Line(number, text, damage=damage)
    names = tuple(_text(fields[0]).split(","))
    if marker == _AUTHORITY:  # of certificates, which are not asked for here; ssh(1) reads it
        return Line(number, text, names, marker)
    key, damage = _key(_text(fields[1]), fields[2])
    return Line(number, text, names, marker, key, damage)


def _damage_of_fields(text: bytes, marker: bytes, fields: list[bytes]) -> str:
    if b"\0" in text:
        return "it has NUL bytes"
    if marker not in (b"", _REVOKED, _AUTHORITY):
        return "it begins with an unknown marker"
    if len(fields) < 3:
        return "it is cut off"
    if not re.fullmatch(rb"[!-~]+", fields[0] + fields[1]):
        return "it has bytes that are no text"
    if b"\r" in text or any(_LIKE_A_KEY.match(field) for field in fields[3:]):
        return "it has the rest of another line at its end"
    return ""


def _key(kind: str, text: bytes) -> tuple[PKey | None, str]:
    """The key, or why there is none."""
    try:
        blob = base64.b64decode(text, validate=True)
    except binascii.Error:
        return None, "its key is no base64"
    try:
        key = PKey.from_type_string(kind, blob)
        is_whole = key.asbytes() == blob  # of a key that is cut off Paramiko makes another one
    except UnknownKeyType:
        return None, f"its key is of a type that is not known here ({kind[:40]})"
    except Exception:  # paramiko has no common type for what may be wrong with a key
        is_whole = False
    return (key, "") if is_whole else (None, "its key is cut off or damaged")


def _matches(pattern: str, name: str) -> bool:
    """Whether a name, a pattern with * and ?, or a hashed name is that of a host."""
    if pattern.startswith("|1|"):
        return _is_hash_of(pattern, name)
    return fnmatchcase(name.lower(), pattern.lower().replace("[", "[[]"))


def _is_hash_of(hashed: str, name: str) -> bool:
    try:
        salt, digest = (base64.b64decode(part, validate=True) for part in hashed.split("|")[2:4])
    except ValueError:
        return False
    return hmac.compare_digest(hmac.digest(salt, name.lower().encode(), "sha1"), digest)


def _text(some: bytes) -> str:
    return some.decode("ascii", "replace")


class AcceptNew(MissingHostKeyPolicy):
    """Remember the key of a host that was never seen, as OpenSSH's ``accept-new`` does.

    Paramiko's own policy rewrites the whole file; two sessions, or an ``ssh`` beside us, would lose each other's keys.
    """

    def __init__(self, known_hosts: Path) -> None:
        self.known_hosts = known_hosts

    def missing_host_key(self, client: SSHClient, hostname: str, key: PKey) -> None:
        with lock_of(self.known_hosts):
            # As it is now: another session may have added a key of this host meanwhile.
            known = require_comparable(self.known_hosts, hostname)
            if key in known.revoked:
                raise HostKeyError(
                    f"{hostname} shows a host key that {self.known_hosts} has as @revoked; refused.",
                    "ask who answers at that address, and give the host another key",
                )
            if known.keys and key not in known.keys.values():
                raise BadHostKeyException(hostname, key, next(iter(known.keys.values())))
            if not known.keys:
                remember(self.known_hosts, hostname, key)
        client.get_host_keys().add(hostname, key.get_name(), key)
        if known.damaged_elsewhere:
            _LOG.warning(
                f"{hostname} is new, and its host key is accepted: {key.get_name()} {key.fingerprint}. Its own may be "
                f"in {named(known.damaged_elsewhere)} of known_hosts, which cannot be read: compare it with the host's"
            )
