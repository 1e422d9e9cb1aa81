"""What went wrong with a session, in one sentence for an operator: which host, what happened, what to look at.

Paramiko's own words are for programmers ("No existing session" is a host that took the connection and fell silent).
"""

from pathlib import Path
from socket import gaierror

from paramiko import AuthenticationException, BadAuthenticationType, BadHostKeyException, ChannelException, SSHException
from paramiko.auth_strategy import AuthFailure
from paramiko.ssh_exception import NoValidConnectionsError

from aurora_platform.config.hosts import SshHost
from aurora_platform.text import printable

_NETWORK = "Is the host up, and is the network (VPN, Tailscale) there?"
# What paramiko says when its time for the banner and the keys was up, and when it read an end or rubbish instead.
_SILENT = "No existing session"
_NOT_SSH = ("Error reading SSH protocol banner", "Indecipherable protocol version")
_LATE_LOGIN = "Authentication timeout"
_DENIED = "Authentication failed."
_NOT_OPENED = "Timeout opening channel"


def is_refusal(error: Exception) -> bool:
    """Whether the host has denied us, and not only broken off or fallen silent while we logged in."""
    if isinstance(error, AuthFailure):
        return any(is_refusal(tried) for tried in _tried(error))
    if isinstance(error, AuthenticationException):
        return isinstance(error, BadAuthenticationType) or str(error) == _DENIED
    return isinstance(error, BadHostKeyException)


def why_no_session(error: Exception, host: SshHost, known_hosts: Path, seconds: float) -> str:
    """Why there is no session with ``host``, each of whose answers was waited for so many ``seconds``."""
    if isinstance(error, BadHostKeyException):
        return (
            f"{host.where}: the host key has CHANGED; refused. If the host was really reinstalled, remove its line "
            f"from {known_hosts} and run again."
        )
    return f"{host.where}: {_before_the_login(error, host, f'{round(seconds, 1):g} s')} {by_hand(host)}"


def why_broken_off(error: Exception, host: SshHost) -> str:
    """Why a session with ``host``, which let us in, is of no use any more."""
    return f"{host.where}: the session broke off: {_after_the_login(error)} {by_hand(host)}"


def by_hand(host: SshHost) -> str:
    """What an operator would type to see it with their own eyes."""
    return f"Try: ssh -p {host.port} {host.user}@{host.address}"


def _before_the_login(error: Exception, host: SshHost, bound: str) -> str:
    text = _text(error)
    if isinstance(error, AuthFailure):
        return _before_the_login(next(reversed(_tried(error)), SSHException(text)), host, bound)
    if isinstance(error, BadAuthenticationType):
        offered = printable(", ".join(error.allowed_types)) or "nothing"
        return f"{host.user} is not let in by auth: {host.auth}; the host offers {offered}. See auth in the site file."
    if text == _DENIED:
        return f"the login of {host.user} by auth: {host.auth} is denied. Are user and identity right?"
    if text.startswith(_LATE_LOGIN):
        return f"no answer to our login within {bound}. Does it wait for a confirmation (Tailscale's check mode)?"
    if isinstance(error, NoValidConnectionsError):
        return _not_connected(error)
    if isinstance(error, gaierror):
        return f"this name cannot be resolved ({error.strerror}). Is it spelled right, and does DNS answer here?"
    if isinstance(error, TimeoutError):
        return f"no answer in time (within {bound}). {_NETWORK}"
    if text == _SILENT:
        return (
            f"it took the connection and then said nothing of use within {bound} (half open). Does the host hang, or "
            "is another program than sshd behind this port?"
        )
    if isinstance(error, EOFError | ConnectionError) or text.startswith(_NOT_SSH):
        return (
            "it took the connection and ended it before we were logged in. Is this the port of sshd, or does a "
            "firewall or a limit on logins (MaxStartups) turn us away?"
        )
    if isinstance(error, SSHException):
        return f"what it says is not the SSH that we speak ({text.rstrip('.')}). Is this the port of sshd?"
    return f"{text.rstrip('.')}. {_NETWORK}"


def _not_connected(error: NoValidConnectionsError) -> str:
    reasons = list(error.errors.values())
    if all(isinstance(reason, ConnectionRefusedError) for reason in reasons):
        return (
            "Unable to connect: Connection refused, nothing listens there. Does sshd run on the host, and is the "
            "port right?"
        )
    said = ", ".join(sorted({getattr(reason, "strerror", None) or str(reason) for reason in reasons}))
    return f"Unable to connect: {said}. {_NETWORK}"


def _after_the_login(error: Exception) -> str:
    text = _text(error)
    if isinstance(error, ChannelException):
        return f"it opens no further channel ({error.text}). Does its sshd allow ten (MaxSessions)?"
    if isinstance(error, TimeoutError) or text.startswith(_NOT_OPENED):
        said = text if isinstance(error, TimeoutError) else "no answer in time to the request for a channel"
        return f"{said}. Does the host hang, or is the network gone?"
    return f"the connection is gone ({text.rstrip('.')}). Was the host or its sshd restarted, or is the network gone?"


def _tried(error: AuthFailure) -> list[Exception]:
    return [tried.result for tried in error.result if isinstance(tried.result, Exception)]


def _text(error: Exception) -> str:
    return printable(" ".join(str(error).split())) or type(error).__name__
