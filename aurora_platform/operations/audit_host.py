"""Audits a host: login, host key, clock, tools, directories. Uses one session, and writes nothing."""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from aurora_platform.config.hosts import SshHost
from aurora_platform.errors import HostError, HostRefusedError
from aurora_platform.operations.audit_result import AuditLine, Level, level_by_limits
from aurora_platform.operations.audit_rsync import audit_rsync_version
from aurora_platform.text import printable
from aurora_platform.transport.connections import Connections
from aurora_platform.transport.known_hosts import (
    HostKeyError,
    damaged_lines,
    format_line_numbers,
    host_keys_of,
    name_of,
    removal_command,
)
from aurora_platform.transport.ssh_errors import try_ssh_hint

_SKEW_WARN, _SKEW_FAIL = 2.0, 60.0  # s
_FULL_WARN, _FULL_FAIL = 80.0, 95.0  # %
_RSYNC = (3, 1, 0)  # the first with --ignore-missing-args, which the local rsync requests
# Printed before each answer. A login shell may print something before it, without a final newline.
_MARK = "aurora-audit-answers"
_MARKED_SCRIPT = r'printf "\n%s\n" "$0"; exec "$@"'
# The mirror needs find -printf; BusyBox and BSD lack it, which prints "no".
_TOOLS_SCRIPT = r"""
LC_ALL=C; export LC_ALL
find / -maxdepth 0 -printf '' 2>/dev/null && echo yes || echo no
find --version 2>/dev/null | head -n 1 | grep . || echo none
rsync --version 2>/dev/null | head -n 1 | grep . || echo none
for tool in python3 openssl sha256sum; do
    if command -v "$tool" >/dev/null; then echo "$tool"; exit; fi
done
echo none
"""
# After "writable": how full the disk is, and its inodes, in %, if df reports them.
_DIRECTORIES_SCRIPT = r"""
LC_ALL=C; export LC_ALL
full() { df -P "$1" -- "$path" 2>/dev/null | tail -n 1 | grep -o '[0-9][0-9]*%' | head -n 1; }
for path do
    if [ ! -d "$path" ]; then echo missing
    elif [ ! -r "$path" ] || [ ! -x "$path" ]; then echo unreadable
    elif [ ! -w "$path" ]; then echo readable
    else echo writable $(full -k) $(full -i)
    fi
done
"""


@dataclass(frozen=True)
class HostDirectory:
    """A directory on a host that Aurora reads or writes; ``key`` is its key in the site file."""

    path: str
    key: str
    is_written: bool = False


@dataclass(frozen=True)
class HostAudit:
    """The audit of a host."""

    name: str
    key: str
    """Its key in the site file."""
    host: SshHost
    directories: Mapping[str, HostDirectory]
    """Directories, by the component of their audit lines."""
    connections: Connections
    known_hosts: Path
    """The platform's file of host keys; ``connections`` writes to a copy of it."""

    @property
    def ssh_command(self) -> str:
        return f"ssh -p {self.host.port} {self.host.user}@{self.host.address}"

    @property
    def _known_hosts_copy(self) -> str:
        return str(self.connections.bounds.known_hosts)

    def audit(self) -> list[AuditLine]:
        """Audit this host. A host that cannot be reached has one line with the reason."""
        recorded_keys = _fingerprints(self.host, self.known_hosts)
        began = time.monotonic()
        try:
            _, noise = self._run(["true"])
        except HostError as error:
            return self._unreachable(error, time.monotonic() - began)
        took = time.monotonic() - began
        what = f"{self.host.user}@{self.host.address_and_port}, auth {self.host.auth}, login in {took:.2f} s"
        lines = [
            AuditLine(self.name, Level.OK, what),
            self._audit_host_key(recorded_keys),
            *self._audit_login_shell(noise),
        ]
        # Independent of each other: if one hangs, the others are still reported.
        for audit in (self._audit_clock, self._audit_tools, self._audit_directories):
            try:
                lines += audit()
            except HostError as error:
                lines.append(AuditLine(self.name, Level.FAIL, self._message(error), f"try by hand: {self.ssh_command}"))
        return lines

    def _run(self, argv: Sequence[str]) -> tuple[str, str]:
        """Run a program on the host; return its output, and what the login shell has printed before."""
        output = self.connections.ask(self.host, ["sh", "-c", _MARKED_SCRIPT, _MARK, *argv])
        noise, mark, answer = output.rpartition(f"\n{_MARK}\n")
        if not mark:
            raise HostError(f"the host does not run the requested program; it answers {output[:60]!r}")
        return answer, noise

    def _audit_login_shell(self, noise: str) -> list[AuditLine]:
        if not noise.strip():
            return []
        what = f"the login shell is not quiet: it prints {' '.join(noise.split())[:60]!r} before every answer"
        step = (
            "let it print only on a terminal (in .bashrc and similar files: [ -t 1 ] && ...); "
            f"this must print nothing: {self.ssh_command} true"
        )
        return [AuditLine(f"{self.name} login shell", Level.FAIL, what, step)]

    def _message(self, error: Exception) -> str:
        # The next step is a separate field of the line.
        return (
            str(error)
            .replace(self._known_hosts_copy, str(self.known_hosts))
            .removesuffix(f" {try_ssh_hint(self.host)}")
        )

    def _unreachable(self, error: HostError, took: float) -> list[AuditLine]:
        message = self._message(error)
        unchecked = [
            AuditLine(component, Level.OFF, f"not checked: {directory.path}")
            for component, directory in self.directories.items()
        ]
        if "host key has CHANGED" in message:
            step = (
                f"if the host was reinstalled: ssh-keygen -f {self.known_hosts} -R '{name_of(self.host)}'; "
                "if not, ask who answers at that address"
            )
            return [AuditLine(f"{self.name} host key", Level.FAIL, message, step), *unchecked]
        if isinstance(error, HostKeyError):
            step = error.next_step.replace(self._known_hosts_copy, str(self.known_hosts))
            message = error.problem.replace(self._known_hosts_copy, str(self.known_hosts))
            return [AuditLine(f"{self.name} host key", Level.FAIL, message, step), *unchecked]
        step = f"compare user, auth and identity in {self.key} with a login by hand: {self.ssh_command}"
        if not isinstance(error, HostRefusedError):
            step = f"try by hand: {self.ssh_command}"
        return [AuditLine(self.name, Level.FAIL, f"{message} (after {took:.1f} s)", step), *unchecked]

    def _audit_host_key(self, recorded_keys: Sequence[str]) -> AuditLine:
        component = f"{self.name} host key"
        if recorded_keys:
            return AuditLine(component, Level.OK, f"known: {', '.join(recorded_keys)}")
        new_keys = ", ".join(_fingerprints(self.host, Path(self._known_hosts_copy))) or "unknown"
        # The host may have a recorded key after all: in a damaged line whose host name cannot be read.
        level = Level.WARN if damaged_lines(self.known_hosts) else Level.OK
        step = "it will be accepted at the first login; compare it with the key on the host"
        return AuditLine(component, level, f"new: {new_keys}", step)

    def _audit_clock(self) -> list[AuditLine]:
        before = time.time()
        output, _ = self._run(["date", "-u", "+%s.%N"])
        after = time.time()
        component = f"{self.name} clock"
        try:
            # A date without %N gives whole seconds: half a second is added, and the error is as large.
            seconds, _, fraction = output.strip().partition(".")
            has_fraction = fraction.isdecimal()
            remote_time = float(f"{seconds}.{fraction}") if has_fraction else int(seconds) + 0.5
            datetime.fromtimestamp(remote_time, UTC)
        except (ValueError, OverflowError, OSError):
            return [
                AuditLine(
                    component, Level.FAIL, f"date prints {output[:60]!r}", f"try by hand: {self.ssh_command} date"
                )
            ]
        skew, error = remote_time - (before + after) / 2, (after - before) / 2 + (0 if has_fraction else 0.5)
        # The round trip adds an error: only the part of the skew that exceeds it counts.
        level = level_by_limits(max(0.0, abs(skew) - error), _SKEW_WARN, _SKEW_FAIL)
        what = f"{abs(skew):.2f} s {'ahead of' if skew > 0 else 'behind'} this machine's clock (error {error:.2f} s)"
        step = "" if level is Level.OK else "set both clocks by NTP: the host's clock decides which files have settled"
        return [AuditLine(component, level, what, step)]

    def _audit_tools(self) -> list[AuditLine]:
        lines = [printable(line) for line in self._run(["sh", "-c", _TOOLS_SCRIPT, "aurora-audit"])[0].splitlines()]
        has_printf, find, rsync, hashing = (lines + ["none"] * 4)[:4]
        component = f"{self.name} find"
        if has_printf == "yes":
            audit_lines = [AuditLine(component, Level.OK, find)]
        else:
            step = "install findutils on the host"
            audit_lines = [AuditLine(component, Level.FAIL, f"not GNU find: {find}", step)]
        audit_lines.append(_audit_rsync(f"{self.name} rsync", rsync))
        component = f"{self.name} hashing"
        if hashing == "none":
            what = "neither python3, openssl nor sha256sum is installed: no copy can be compared by its content"
            return [*audit_lines, AuditLine(component, Level.WARN, what, "install python3 on the host")]
        return [*audit_lines, AuditLine(component, Level.OK, f"{hashing} is installed")]

    def _audit_directories(self) -> list[AuditLine]:
        paths = [directory.path for directory in self.directories.values()]
        if not paths:
            return []
        states = self._run(["sh", "-c", _DIRECTORIES_SCRIPT, "aurora-audit", *paths])[0].splitlines()
        states += ["unknown"] * (len(paths) - len(states))
        lines = []
        for (component, directory), answer in zip(self.directories.items(), states, strict=False):
            state, *percents = answer.split() if answer.startswith("writable") else [answer]
            lines.append(self._audit_directory(component, directory, state))
            if directory.is_written and percents:
                lines.append(_audit_space(f"{component} space", directory, percents))
        return lines

    def _audit_directory(self, component: str, directory: HostDirectory, state: str) -> AuditLine:
        what = f"{state}: {directory.path}"
        if state == "writable" or (state == "readable" and not directory.is_written):
            return AuditLine(component, Level.OK, what if directory.is_written else f"readable: {directory.path}")
        if state == "missing":
            make = "make it on the host, or " if directory.is_written else ""
            step = f"{make}correct {directory.key}"
            return AuditLine(component, Level.FAIL, what, step)
        if state in ("readable", "unreadable"):
            need = "write" if directory.is_written else "read"
            state = "not writable" if directory.is_written else "not readable"
            step = f"allow {self.host.user} to {need} it"
            return AuditLine(component, Level.FAIL, f"{state}: {directory.path}", step)
        return AuditLine(component, Level.FAIL, f"no answer about {directory.path}", f"try by hand: {self.ssh_command}")


def _audit_rsync(component: str, version_line: str) -> AuditLine:
    """Audit a host's rsync: is it installed, compatible with the local one, and does it have the security fixes?"""
    least = ".".join(map(str, _RSYNC))
    install = f"install rsync {least} or later on the host"
    if version_line == "none":
        return AuditLine(component, Level.FAIL, "not in the PATH of the host", install)
    version = re.match(r"rsync +version v?(\d+(?:\.\d+)+)", version_line)
    if version is None:
        step = f"rsync {least} or later is needed on the host; check that this program is compatible"
        return AuditLine(component, Level.WARN, f"unknown version: {version_line[:80]}", step)
    if tuple(map(int, version[1].split("."))) < _RSYNC:
        return AuditLine(component, Level.FAIL, f"{version_line}: too old", install)
    return audit_rsync_version(component, version_line, " on the host")


def _audit_space(component: str, directory: HostDirectory, percents: Sequence[str]) -> AuditLine:
    """Audit how full a disk of the host is, from the percentages of df: bytes, then inodes if they are counted."""
    used = [float(percent.rstrip("%")) for percent in percents]
    level = level_by_limits(max(used), _FULL_WARN, _FULL_FAIL)
    what = f"{used[0]:.0f} % used" + (f"; inodes {used[1]:.0f} % used" if len(used) > 1 else "")
    step = "" if level is Level.OK else f"free space on the host's disk of {directory.path}"
    return AuditLine(component, level, what, step)


def _fingerprints(host: SshHost, known_hosts: Path) -> list[str]:
    """Return the recorded keys of a host: type and SHA-256."""
    try:
        keys = host_keys_of(known_hosts, name_of(host)).keys
    except HostError:  # the login fails with the same reason and reports it
        return []
    return [f"{kind} {key.fingerprint}" for kind, key in keys.items()]


def audit_known_hosts(known_hosts: Path) -> Iterator[AuditLine]:
    """Audit the file of host keys: can each line be read?"""
    try:
        damaged = damaged_lines(known_hosts)
    except HostError as error:
        yield AuditLine("known_hosts", Level.FAIL, str(error), f"check {known_hosts}")
        return
    if not damaged:
        yield AuditLine("known_hosts", Level.OK, f"{known_hosts}: every line can be read")
        return
    reasons = ", ".join(sorted(set(damaged.values())))
    what = f"{format_line_numbers(damaged)} of {known_hosts} cannot be read ({reasons}); a host "
    what += "named in such a line and in no other line is refused"
    step = f"compare the key of each such host with the key on the host, then: {removal_command(damaged, known_hosts)}"
    yield AuditLine("known_hosts", Level.WARN, what, step)
