"""The command line of the OpenSSH client, for programs that run ``ssh`` themselves.

The same rules as in our own sessions (:mod:`aurora_platform.transport.ssh_session`): no agent, no key but the
configured one, no user or system configuration; a new host key is accepted and a changed one refused; every step has
a bound.
"""

from __future__ import annotations

from aurora_platform.config.hosts import SshHost
from aurora_platform.transport import known_hosts
from aurora_platform.transport.bounds import Bounds
from aurora_platform.transport.session_pool import KEEPALIVE_PROBES, KEEPALIVE_SECONDS


def openssh_command(host: SshHost, bounds: Bounds) -> list[str]:
    """The argument vector of ``ssh`` for ``host``, for a program that appends the address itself.

    Raises
    ------
    HostError
        If the line of the host in ``known_hosts`` cannot be read: OpenSSH would treat it as a new host.
    """
    file = bounds.known_hosts
    file.parent.mkdir(parents=True, exist_ok=True)
    if not known_hosts.require_comparable_keys(file, known_hosts.name_of(host)).keys:
        known_hosts.terminate_last_line(file)
    identity = str(host.identity) if host.auth == "key" else "none"
    options = {
        "BatchMode": "yes",
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "IdentityFile": identity,
        "PubkeyAuthentication": "yes" if host.auth == "key" else "no",
        "PasswordAuthentication": "no",
        "KbdInteractiveAuthentication": "no",
        "StrictHostKeyChecking": "accept-new",
        "UserKnownHostsFile": str(bounds.known_hosts),
        "GlobalKnownHostsFile": "/dev/null",
        "HashKnownHosts": "no",
        "UpdateHostKeys": "no",
        "CheckHostIP": "no",
        "ConnectTimeout": str(max(1, round(bounds.connect_seconds))),
        "ServerAliveInterval": str(KEEPALIVE_SECONDS),
        "ServerAliveCountMax": str(KEEPALIVE_PROBES),
        "ControlPath": "none",
        "ClearAllForwardings": "yes",
    }
    pairs = [part for key, value in options.items() for part in ("-o", f"{key}={value}")]
    return ["ssh", "-F", "/dev/null", "-T", *pairs, "-p", str(host.port), "-l", host.user]
