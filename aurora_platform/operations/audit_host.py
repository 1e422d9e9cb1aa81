"""What an audit looks at on a host: login, host key, clock, tools, directories. One session, and no write."""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from aurora_platform.config.hosts import SshHost
from aurora_platform.errors import HostError, HostRefusedError
from aurora_platform.operations.audit_result import AuditLine, Level, by_limits
from aurora_platform.operations.audit_rsync import judged
from aurora_platform.text import printable
from aurora_platform.transport.connections import Connections
from aurora_platform.transport.known_hosts import HostKeyError, damaged_lines, host_keys_of, name_of, named, removal
from aurora_platform.transport.ssh_errors import by_hand

_SKEW_WARN, _SKEW_FAIL = 2.0, 60.0  # s
_FULL_WARN, _FULL_FAIL = 80.0, 95.0  # %
_RSYNC = (3, 1, 0)  # the first that knows --ignore-missing-args, which our rsync asks of theirs
# Before each answer. What a login shell prints comes before it, and may end in the middle of a line.
_MARK = "aurora-audit-answers"
_MARKED_SCRIPT = r'printf "\n%s\n" "$0"; exec "$@"'
# As the mirror asks for it: a find without -printf (BusyBox, BSD) says "no" here.
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
# Behind a directory that may be written: how full its disk is, and its inodes, in %, where df tells.
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
class Place:
    """A directory of a host that we read, or that we write; ``key`` is where the site file names it."""

    path: str
    key: str
    is_written: bool = False


@dataclass(frozen=True)
class HostAudit:
    """One host, and what is looked at there."""

    name: str
    key: str
    """Where the site file speaks of it."""
    host: SshHost
    places: Mapping[str, Place]
    """Directories, by the component that a finding about one has."""
    connections: Connections
    known_hosts: Path
    """Where the platform keeps host keys; ``connections`` writes to a copy of it."""

    @property
    def by_hand(self) -> str:
        return f"ssh -p {self.host.port} {self.host.user}@{self.host.address}"

    @property
    def _copy(self) -> str:
        return str(self.connections.bounds.known_hosts)

    def audit(self) -> list[AuditLine]:
        """Everything about this host; one that cannot be asked has one finding that says why."""
        was_known = _fingerprints(self.host, self.known_hosts)
        began = time.monotonic()
        try:
            _, noise = self._ask(["true"])
        except HostError as error:
            return self._unreachable(error, time.monotonic() - began)
        took = time.monotonic() - began
        how = f"{self.host.user}@{self.host.where}, auth {self.host.auth}, login in {took:.2f} s"
        found = [AuditLine(self.name, Level.OK, how), self._key(was_known), *self._shell(noise)]
        # Each for itself: a host on which one hangs still says the rest.
        for audit in (self._clock, self._tools, self._directories):
            try:
                found += audit()
            except HostError as error:
                found.append(AuditLine(self.name, Level.FAIL, self._said(error), f"try by hand: {self.by_hand}"))
        return found

    def _ask(self, argv: Sequence[str]) -> tuple[str, str]:
        """What a program there prints, and what the login shell has printed before it."""
        said = self.connections.ask(self.host, ["sh", "-c", _MARKED_SCRIPT, _MARK, *argv])
        noise, mark, answer = said.rpartition(f"\n{_MARK}\n")
        if not mark:
            raise HostError(f"it does not run what we ask for, but says {said[:60]!r}")
        return answer, noise

    def _shell(self, noise: str) -> list[AuditLine]:
        if not noise.strip():
            return []
        what = f"the login shell is not quiet: it prints {' '.join(noise.split())[:60]!r} before every answer"
        step = (
            f"let it print nothing where nobody looks (in .bashrc and the like: [ -t 1 ] && ...): {self.by_hand} true"
        )
        return [AuditLine(f"{self.name} login shell", Level.FAIL, what, step)]

    def _said(self, error: Exception) -> str:
        # The next step has a column of its own.
        return str(error).replace(self._copy, str(self.known_hosts)).removesuffix(f" {by_hand(self.host)}")

    def _unreachable(self, error: HostError, took: float) -> list[AuditLine]:
        said = self._said(error)
        unseen = [
            AuditLine(component, Level.OFF, f"not seen: {place.path}") for component, place in self.places.items()
        ]
        if "host key has CHANGED" in said:
            step = f"if it was really reinstalled: ssh-keygen -f {self.known_hosts} -R '{name_of(self.host)}'; else ask"
            return [AuditLine(f"{self.name} host key", Level.FAIL, said, step), *unseen]
        if isinstance(error, HostKeyError):
            step = error.next_step.replace(self._copy, str(self.known_hosts))
            said = error.what.replace(self._copy, str(self.known_hosts))
            return [AuditLine(f"{self.name} host key", Level.FAIL, said, step), *unseen]
        step = f"compare user, auth and identity in {self.key} with what lets you in: {self.by_hand}"
        if not isinstance(error, HostRefusedError):
            step = f"try by hand: {self.by_hand}"
        return [AuditLine(self.name, Level.FAIL, f"{said} (after {took:.1f} s)", step), *unseen]

    def _key(self, was_known: Sequence[str]) -> AuditLine:
        component = f"{self.name} host key"
        if was_known:
            return AuditLine(component, Level.OK, f"known: {', '.join(was_known)}")
        now = ", ".join(_fingerprints(self.host, Path(self._copy))) or "unknown"
        # It may be one whose line was damaged where its name stood.
        level = Level.WARN if damaged_lines(self.known_hosts) else Level.OK
        return AuditLine(
            component, level, f"new: {now}", "will be accepted at the first login; compare it with the host's own"
        )

    def _clock(self) -> list[AuditLine]:
        before = time.time()
        said, _ = self._ask(["date", "-u", "+%s.%N"])
        after = time.time()
        component = f"{self.name} clock"
        try:
            # Where date knows no %N, it says whole seconds: half a second is added, and known no better.
            seconds, _, fraction = said.strip().partition(".")
            is_fine = fraction.isdecimal()
            there = float(f"{seconds}.{fraction}") if is_fine else int(seconds) + 0.5
            datetime.fromtimestamp(there, UTC)
        except (ValueError, OverflowError, OSError):
            return [AuditLine(component, Level.FAIL, f"date says {said[:60]!r}", f"try by hand: {self.by_hand} date")]
        skew, error = there - (before + after) / 2, (after - before) / 2 + (0 if is_fine else 0.5)
        # The round trip is no one's skew: only what it cannot explain counts.
        level = by_limits(max(0.0, abs(skew) - error), _SKEW_WARN, _SKEW_FAIL)
        what = f"{abs(skew):.2f} s {'ahead of' if skew > 0 else 'behind'} ours (known to {error:.2f} s)"
        step = "" if level is Level.OK else "set both clocks by NTP: what has settled is judged by that clock"
        return [AuditLine(component, level, what, step)]

    def _tools(self) -> list[AuditLine]:
        lines = [printable(line) for line in self._ask(["sh", "-c", _TOOLS_SCRIPT, "aurora-audit"])[0].splitlines()]
        has_printf, find, rsync, hashing = (lines + ["none"] * 4)[:4]
        component = f"{self.name} find"
        if has_printf == "yes":
            found = [AuditLine(component, Level.OK, find)]
        else:
            found = [AuditLine(component, Level.FAIL, f"not GNU find: {find}", "install findutils there")]
        found.append(_rsync(f"{self.name} rsync", rsync))
        component = f"{self.name} hashing"
        if hashing == "none":
            what = "neither python3, openssl nor sha256sum: no copy can be compared by its content"
            return [*found, AuditLine(component, Level.WARN, what, "install python3 there")]
        return [*found, AuditLine(component, Level.OK, f"{hashing} is there")]

    def _directories(self) -> list[AuditLine]:
        paths = [place.path for place in self.places.values()]
        if not paths:
            return []
        states = self._ask(["sh", "-c", _DIRECTORIES_SCRIPT, "aurora-audit", *paths])[0].splitlines()
        states += ["not told"] * (len(paths) - len(states))
        found = []
        for (component, place), said in zip(self.places.items(), states, strict=False):
            state, *full = said.split() if said.startswith("writable") else [said]
            found.append(self._directory(component, place, state))
            if place.is_written and full:
                found.append(_space(f"{component} space", place, full))
        return found

    def _directory(self, component: str, place: Place, state: str) -> AuditLine:
        what = f"{state}: {place.path} there"
        if state == "writable" or (state == "readable" and not place.is_written):
            return AuditLine(component, Level.OK, what if place.is_written else f"readable: {place.path} there")
        if state == "missing":
            step = f"make it there, or correct {place.key}" if place.is_written else f"correct {place.key}"
            return AuditLine(component, Level.FAIL, what, step)
        if state in ("readable", "unreadable"):
            need = "write" if place.is_written else "read"
            state = "not writable" if place.is_written else "not readable"
            step = f"let {self.host.user} {need} it there"
            return AuditLine(component, Level.FAIL, f"{state}: {place.path} there", step)
        return AuditLine(component, Level.FAIL, f"no answer about {place.path}", f"try by hand: {self.by_hand}")


def _rsync(component: str, said: str) -> AuditLine:
    """Whether a host's rsync is there, understands ours, and has the known fixes."""
    least = ".".join(map(str, _RSYNC))
    if said == "none":
        return AuditLine(component, Level.FAIL, "not in the PATH there", f"install rsync {least} or later there")
    version = re.match(r"rsync +version v?(\d+(?:\.\d+)+)", said)
    if version is None:
        step = f"rsync {least} or later is needed there: is this one as good?"
        return AuditLine(component, Level.WARN, f"says no version that we know: {said[:80]}", step)
    if tuple(map(int, version[1].split("."))) < _RSYNC:
        return AuditLine(component, Level.FAIL, f"{said}: too old", f"install rsync {least} or later there")
    return judged(component, said, " there")


def _space(component: str, place: Place, full: Sequence[str]) -> AuditLine:
    """How full a disk there is, from the percentages that its df says: bytes, then inodes where they are counted."""
    used = [float(percent.rstrip("%")) for percent in full]
    level = by_limits(max(used), _FULL_WARN, _FULL_FAIL)
    what = f"{used[0]:.0f} % used" + (f"; inodes {used[1]:.0f} % used" if len(used) > 1 else "")
    return AuditLine(
        component, level, what, "" if level is Level.OK else f"make room on the disk of {place.path} there"
    )


def _fingerprints(host: SshHost, known_hosts: Path) -> list[str]:
    """The keys that are known of a host: type and SHA-256."""
    try:
        keys = host_keys_of(known_hosts, name_of(host)).keys
    except HostError:  # which the login says too, and why
        return []
    return [f"{kind} {key.fingerprint}" for kind, key in keys.items()]


def host_keys(known_hosts: Path) -> Iterator[AuditLine]:
    """The file in which host keys are kept: its lines that cannot be read."""
    try:
        damaged = damaged_lines(known_hosts)
    except HostError as error:
        yield AuditLine("known_hosts", Level.FAIL, str(error), f"look at {known_hosts}")
        return
    if not damaged:
        yield AuditLine("known_hosts", Level.OK, f"{known_hosts}: every line can be read")
        return
    what = f"{named(damaged)} of {known_hosts} cannot be read ({', '.join(sorted(set(damaged.values())))}); a host "
    what += "that such a line names, and no other, is refused"
    step = f"compare the key of each such host with the host's own, then: {removal(damaged, known_hosts)}"
    yield AuditLine("known_hosts", Level.WARN, what, step)
