"""Error messages of SSH sessions for operators: which host, what happened, and what to check.

Paramiko's own messages are for programmers ("No existing session": a host accepted the connection and fell silent).
"""

from pathlib import Path
from socket import gaierror

from paramiko import AuthenticationException, BadAuthenticationType, BadHostKeyException, ChannelException, SSHException
from paramiko.auth_strategy import AuthFailure
from paramiko.ssh_exception import NoValidConnectionsError

from aurora_platform.config.hosts import SshHost
from aurora_platform.text import printable

_NETWORK = "Is the host up, and does the network (VPN, Tailscale) work?"
# Messages of paramiko: the time for banner and keys was over; or it read an end of file, or no SSH banner.
_SILENT = "No existing session"
_NOT_SSH = ("Error reading SSH protocol banner", "Indecipherable protocol version")
_LATE_LOGIN = "Authentication timeout"
_DENIED = "Authentication failed."
_NOT_OPENED = "Timeout opening channel"


def is_refusal(error: Exception) -> bool:
    """Whether the host denied the login; False if the connection only broke or fell silent during the login."""
    if isinstance(error, AuthFailure):
        return any(is_refusal(failure) for failure in _login_failures(error))
    if isinstance(error, AuthenticationException):
        return isinstance(error, BadAuthenticationType) or str(error) == _DENIED
    return isinstance(error, BadHostKeyException)


def connect_error_message(error: Exception, host: SshHost, known_hosts: Path, seconds: float) -> str:
    """Explain why no session with ``host`` could be opened; ``seconds`` is the bound of each step of the login."""
    if isinstance(error, BadHostKeyException):
        return (
            f"{host.address_and_port}: the host key has CHANGED; refused. If the host was really reinstalled, remove "
            f"its line from {known_hosts} and run again."
        )
    return f"{host.address_and_port}: {_login_failure(error, host, f'{round(seconds, 1):g} s')} {try_ssh_hint(host)}"


def session_error_message(error: Exception, host: SshHost) -> str:
    """Explain why an open session with ``host`` cannot be used any more."""
    return f"{host.address_and_port}: the session failed: {_session_failure(error)} {try_ssh_hint(host)}"


def try_ssh_hint(host: SshHost) -> str:
    """The command with which an operator can see the problem."""
    return f"Try: ssh -p {host.port} {host.user}@{host.address}"


def _login_failure(error: Exception, host: SshHost, bound: str) -> str:
    text = _text(error)
    if isinstance(error, AuthFailure):
        return _login_failure(next(reversed(_login_failures(error)), SSHException(text)), host, bound)
    if isinstance(error, BadAuthenticationType):
        offered = printable(", ".join(error.allowed_types)) or "nothing"
        return (
            f"the host does not accept auth: {host.auth} for user {host.user}; it offers {offered}. Correct auth in "
            "the site file."
        )
    if text == _DENIED:
        return f"the host denies the login of {host.user} with auth: {host.auth}. Are user and identity correct?"
    if text.startswith(_LATE_LOGIN):
        return f"no answer to the login within {bound}. Does it wait for a confirmation (Tailscale's check mode)?"
    if isinstance(error, NoValidConnectionsError):
        return _connect_failure(error)
    if isinstance(error, gaierror):
        return f"the host name cannot be resolved ({error.strerror}). Is it spelled correctly, and does DNS work?"
    if isinstance(error, TimeoutError):
        return f"no answer in time (within {bound}). {_NETWORK}"
    if text == _SILENT:
        return (
            f"the host accepted the connection, then sent nothing useful within {bound} (half open). Does the host "
            "hang, or does another program than sshd use this port?"
        )
    if isinstance(error, EOFError | ConnectionError) or text.startswith(_NOT_SSH):
        return (
            "the host closed the connection before the login. Is this the port of sshd, or does a firewall or a limit "
            "on logins (MaxStartups) reject us?"
        )
    if isinstance(error, SSHException):
        return f"the host does not speak valid SSH ({text.rstrip('.')}). Is this the port of sshd?"
    return f"{text.rstrip('.')}. {_NETWORK}"


def _connect_failure(error: NoValidConnectionsError) -> str:
    reasons = list(error.errors.values())
    if all(isinstance(reason, ConnectionRefusedError) for reason in reasons):
        return (
            "Unable to connect: Connection refused, nothing listens there. Does sshd run on the host, and is the "
            "port correct?"
        )
    messages = ", ".join(sorted({getattr(reason, "strerror", None) or str(reason) for reason in reasons}))
    return f"Unable to connect: {messages}. {_NETWORK}"


def _session_failure(error: Exception) -> str:
    text = _text(error)
    if isinstance(error, ChannelException):
        return f"the host refuses another channel ({error.text}). Does its sshd allow ten (MaxSessions)?"
    if isinstance(error, TimeoutError) or text.startswith(_NOT_OPENED):
        reason = text if isinstance(error, TimeoutError) else "no answer in time to the request for a channel"
        return f"{reason}. Does the host hang, or is the network down?"
    return f"the connection was lost ({text.rstrip('.')}). Was the host or its sshd restarted, or is the network down?"


def _login_failures(error: AuthFailure) -> list[Exception]:
    return [attempt.result for attempt in error.result if isinstance(attempt.result, Exception)]


def _text(error: Exception) -> str:
    return printable(" ".join(str(error).split())) or type(error).__name__
