"""Reads and extends ``known_hosts``: the keys of a host, whether the key that it shows is accepted, and new keys.

The file is read as bytes and line by line, because a damaged line must affect only the hosts that it names. OpenSSH
skips such a line and treats the host as a new one, whatever key it shows; Paramiko gives up the whole file, or does
the same. This module refuses a host while a line that names it cannot be read and no other line has its key: the key
that it shows cannot be compared. Other hosts are not affected. Damage within a host name cannot be detected: such a
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

_MAX_BYTES = 1 << 20  # the keys of some thousand hosts
_MAX_NAME_LENGTH = 255
_MAX_LISTED_LINES = 5  # in a message
_LOCK_WAIT = 10  # s, for another process that adds a key
_REVOKED, _AUTHORITY = b"@revoked", b"@cert-authority"


# A key is followed by a comment. If a line break was damaged, the next line follows instead, with a key of its own.
_KEY_SHAPE = re.compile(rb"AAAA[A-Za-z0-9+/]{20}")


class HostKeyError(HostRefusedError):
    """The key of a host cannot be compared, or must not be used; ``next_step`` is what the operator should do."""

    def __init__(self, problem: str, next_step: str) -> None:
        super().__init__(f"{problem} {next_step[:1].upper()}{next_step[1:]}.")
        self.problem = problem
        self.next_step = next_step


@dataclass(frozen=True)
class KnownHostsLine:
    """A line of the file that is neither empty nor a comment."""

    number: int
    text: bytes
    names: tuple[str, ...] = ()
    marker: bytes = b""
    key: PKey | None = None
    damage: str = ""
    """Why the line cannot be read; empty if it can."""

    def names_host(self, name: str) -> bool:
        """Whether the line names a host; for a damaged line, whether it may name it."""
        if self.damage:
            # The name may follow the rest of another line that was cut off.
            fields = map(_decode, re.split(rb"[\s,\0]+", self.text))
            return any(
                field.endswith(name) or (len(field) <= _MAX_NAME_LENGTH and _matches(field, name)) for field in fields
            )
        if any(_matches(pattern[1:], name) for pattern in self.names if pattern.startswith("!")):
            return False
        return any(_matches(pattern, name) for pattern in self.names)


@dataclass(frozen=True)
class HostKeys:
    """The keys of one host in the file."""

    keys: dict[str, PKey]
    """By key type; the first of several of a type."""
    revoked: tuple[PKey, ...]
    damaged: tuple[int, ...]
    """Numbers of the lines that may name the host but cannot be read."""
    damaged_elsewhere: tuple[int, ...]
    """Numbers of all other lines that cannot be read."""


def name_of(host: SshHost) -> str:
    """The name of a host in ``known_hosts``."""
    return host.address if host.port == 22 else f"[{host.address}]:{host.port}"


def read_lines(file: Path) -> list[KnownHostsLine]:
    """All lines of the file; none if it does not exist. :class:`HostError` if it cannot be read at all."""
    return [line for number, text in enumerate(_bytes_of(file).split(b"\n"), 1) if (line := _line(number, text))]


def damaged_lines(file: Path) -> dict[int, str]:
    """The lines that cannot be read: number -> reason."""
    return {line.number: line.damage for line in read_lines(file) if line.damage}


def host_keys_of(file: Path, name: str) -> HostKeys:
    """The keys of a host in the file."""
    lines = read_lines(file)
    matching = [line for line in lines if line.names_host(name)]
    revoked = tuple(line.key for line in matching if line.marker == _REVOKED and line.key)
    keys: dict[str, PKey] = {}
    for line in matching:
        if line.key and not line.marker and line.key not in revoked:
            keys.setdefault(line.key.get_name(), line.key)
    damaged = tuple(line.number for line in matching if line.damage)
    elsewhere = tuple(line.number for line in lines if line.damage and line not in matching)
    return HostKeys(keys, revoked, damaged, elsewhere)


def require_comparable_keys(file: Path, name: str) -> HostKeys:
    """The keys of a host in the file; :class:`HostKeyError` if its only lines cannot be read."""
    host_keys = host_keys_of(file, name)
    if host_keys.keys or not host_keys.damaged:
        return host_keys
    lines = format_line_numbers(host_keys.damaged)
    raise HostKeyError(
        f"{lines} of {file} may belong to {name} but cannot be read, so its host key cannot be compared; refused.",
        "compare the key that the host shows with its real key (on the host: ssh-keygen -lf "
        f"/etc/ssh/ssh_host_ed25519_key.pub), then remove {lines}: {removal_command(host_keys.damaged, file)}",
    )


def format_line_numbers(numbers: Iterable[int]) -> str:
    """Line numbers for a message: the first five, and how many more."""
    lines = list(numbers)
    more = f" and {len(lines) - _MAX_LISTED_LINES} more" if len(lines) > _MAX_LISTED_LINES else ""
    return f"line{'s' * (len(lines) > 1)} {', '.join(map(str, lines[:_MAX_LISTED_LINES]))}{more}"


def removal_command(numbers: Iterable[int], file: Path) -> str:
    """The command that removes the lines that :func:`format_line_numbers` lists."""
    return f"sed -i '{';'.join(f'{number}d' for number in list(numbers)[:_MAX_LISTED_LINES])}' {file}"


def known_hosts_lock(file: Path) -> FileLock:
    """The lock to hold while adding a key."""
    return FileLock(f"{file}.lock", timeout=_LOCK_WAIT)


def add_host_key(file: Path, name: str, key: PKey) -> None:
    """Add a line, complete or not at all; the caller holds the lock."""
    _append(file, f"{name} {key.get_name()} {key.get_base64()}\n".encode())


def terminate_last_line(file: Path) -> None:
    """End the last line if it was cut off: ssh(1) would append its own line to it."""
    if _bytes_of(file)[-1:] not in (b"", b"\n"):
        with known_hosts_lock(file):
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
    move = "move it away, or let the user that runs Aurora read it; it should hold the host keys"
    try:
        # O_NONBLOCK: opening a pipe must not block.
        handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return b""
    except OSError as error:
        problem = f"{file}: {error.strerror}."
        if isinstance(error, PermissionError | NotADirectoryError) or error.errno == errno.ELOOP:
            raise HostKeyError(problem, move) from None
        raise HostError(f"{problem} This file holds the host keys: is its disk mounted?") from None
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise HostKeyError(f"{file} is not a regular file.", move)
        content = os.read(handle, _MAX_BYTES + 1)
    finally:
        os.close(handle)
    if len(content) > _MAX_BYTES:
        raise HostKeyError(f"{file} is larger than 1 MB: it holds more than host keys.", move)
    return content


def _line(number: int, raw: bytes) -> KnownHostsLine | None:
    text = raw.strip(b" \t\r")
    if not text or text.startswith(b"#"):
        return None
    fields = text.split()
    marker = fields.pop(0) if fields[0].startswith(b"@") else b""
    damage = _damage_of_fields(text, marker, fields)
    if damage:
        return KnownHostsLine(number, text, damage=damage)
    names = tuple(_decode(fields[0]).split(","))
    if marker == _AUTHORITY:  # for certificates, which our sessions do not use; ssh(1) reads it
        return KnownHostsLine(number, text, names, marker)
    key, damage = _key(_decode(fields[1]), fields[2])
    return KnownHostsLine(number, text, names, marker, key, damage)


def _damage_of_fields(text: bytes, marker: bytes, fields: list[bytes]) -> str:
    if b"\0" in text:
        return "it has NUL bytes"
    if marker not in (b"", _REVOKED, _AUTHORITY):
        return "it begins with an unknown marker"
    if len(fields) < 3:
        return "it is cut off"
    if not re.fullmatch(rb"[!-~]+", fields[0] + fields[1]):
        return "it has bytes that are not text"
    if b"\r" in text or any(_KEY_SHAPE.match(field) for field in fields[3:]):
        return "it has the rest of another line at its end"
    return ""


def _key(kind: str, text: bytes) -> tuple[PKey | None, str]:
    """The key, or the reason why it cannot be read."""
    try:
        blob = base64.b64decode(text, validate=True)
    except binascii.Error:
        return None, "its key is not base64"
    try:
        key = PKey.from_type_string(kind, blob)
        is_complete = key.asbytes() == blob  # Paramiko reads another key from a key that was cut off
    except UnknownKeyType:
        return None, f"its key has an unknown type ({kind[:40]})"
    except Exception:  # paramiko has no common type for the errors of a key
        is_complete = False
    return (key, "") if is_complete else (None, "its key is cut off or damaged")


def _matches(pattern: str, name: str) -> bool:
    """Whether a name, a pattern with * and ?, or a hashed name matches the name of a host."""
    if pattern.startswith("|1|"):
        return _is_hash_of(pattern, name)
    return fnmatchcase(name.lower(), pattern.lower().replace("[", "[[]"))


def _is_hash_of(hashed: str, name: str) -> bool:
    try:
        salt, name_hash = (base64.b64decode(part, validate=True) for part in hashed.split("|")[2:4])
    except ValueError:
        return False
    return hmac.compare_digest(hmac.digest(salt, name.lower().encode(), "sha1"), name_hash)


def _decode(raw: bytes) -> str:
    return raw.decode("ascii", "replace")


class AcceptNew(MissingHostKeyPolicy):
    """Accept and store the key of a new host, as OpenSSH's ``accept-new`` does.

    Paramiko's own policy rewrites the whole file; two sessions, or an ``ssh`` at the same time, would lose keys.
    """

    def __init__(self, known_hosts: Path) -> None:
        self.known_hosts = known_hosts

    def missing_host_key(self, client: SSHClient, hostname: str, key: PKey) -> None:
        with known_hosts_lock(self.known_hosts):
            # Read again: another session may have added a key of this host meanwhile.
            host_keys = require_comparable_keys(self.known_hosts, hostname)
            if key in host_keys.revoked:
                raise HostKeyError(
                    f"{hostname} shows a host key that {self.known_hosts} marks as @revoked; refused.",
                    "find out which host answers at that address, and give the host another key",
                )
            if host_keys.keys and key not in host_keys.keys.values():
                raise BadHostKeyException(hostname, key, next(iter(host_keys.keys.values())))
            if not host_keys.keys:
                add_host_key(self.known_hosts, hostname, key)
        client.get_host_keys().add(hostname, key.get_name(), key)
        if host_keys.damaged_elsewhere:
            lines = format_line_numbers(host_keys.damaged_elsewhere)
            _LOG.warning(
                f"{hostname} is new; its host key is accepted: {key.get_name()} {key.fingerprint}. Its earlier key may "
                f"be in {lines} of known_hosts, which cannot be read: compare the accepted key with the host's own key"
            )
