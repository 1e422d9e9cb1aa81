"""Runs a real sshd on a loopback address, as the remote host of tests and benchmarks.

It runs from a temporary directory with its own host key, configuration and log, and does not touch the sshd of the
machine. All of 127.0.0.0/8 is this machine, so several servers on several addresses serve as several hosts. It does not
simulate a slow or broken network. Use it for tests and benchmarks only.

With ``auth="key"`` the client logs in as the user who runs the tests; this works with and without root. With
``auth="none"`` (root only) it logs in by SSH's "none" method, as Tailscale SSH does, as the system user
``aurora-none``. This user exists only for tests; its password is empty only while a server of any test process runs.

Files for ``aurora-none`` must be world-readable, and every directory above them traversable. pytest makes its
directories 0700: use `make_readable` on them, or work in a `readable_directory`.
"""

import fcntl
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

Auth = Literal["key", "none"]

NONE_USER = "aurora-none"
_NONE_HOME = Path("/run") / NONE_USER  # only root writes in /run: nobody else can replace it by a link
_NONE_LOCK = Path("/run") / f"{NONE_USER}.lock"
_PRIVILEGE_SEPARATION = Path("/run/sshd")  # sshd refuses to run as root without it
_SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin"  # often not in the PATH of a user
_MARK = "AURORA_TEST_SSHD"  # in the environment of every session: stop() finds the session's remaining processes by it
_TIMEOUT = 10.0  # s, for a server to answer and for its processes to end
_POLL_INTERVAL = 0.02  # s
_PORTS_TO_TRY = 5  # another process may take a free port before sshd does


def why_no_sshd(auth: Auth) -> str | None:
    """Return why this machine cannot run a server with this authentication (for a skip), or None if it can."""
    for program in ("sshd", "ssh-keygen") + (("useradd", "usermod") if auth == "none" else ()):
        if _program(program) is None:
            return f"{program} is not installed (Debian: apt-get install openssh-server openssh-client passwd)"
    if auth == "none":
        return None if os.geteuid() == 0 else 'SSH authentication "none" needs root, for a user with an empty password'
    user = pwd.getpwuid(os.geteuid())
    if Path(user.pw_shell).name in ("nologin", "false"):
        return f"{user.pw_name} cannot log in: the shell is {user.pw_shell}"
    if os.geteuid() == 0 and (_password(user.pw_name) or "").startswith("!"):
        return f"{user.pw_name} cannot log in: the account is locked (usermod -p '*' {user.pw_name})"
    return None


class SshServer:
    """An sshd that runs between ``__enter__`` and ``__exit__``; use a directory for one server at a time.

    Parameters
    ----------
    directory
        Directory of keys, configuration and log; made when missing. Existing keys are reused.
    address
        IPv4 loopback address to listen on.
    auth
        ``"key"``: only one client key. ``"none"``: only SSH's "none" method.
    host_key
        An existing private host key (mode 0600); by default the server makes one.
    options
        More lines for the configuration.
    within
        A program with arguments that executes the command after it, for example ``unshare``.

    Attributes
    ----------
    port : int
        Chosen at the first `start` and kept; 0 before.
    user : str
        Login name.
    identity : Path or None
        The client's private key; None with ``auth="none"``.
    host_key : Path
        The private host key in use; the public one is beside it with the suffix ``.pub``.
    """

    def __init__(
        self,
        directory: Path,
        *,
        address: str = "127.0.0.2",
        auth: Auth = "key",
        host_key: Path | None = None,
        options: Sequence[str] = (),
        within: Sequence[str] = (),
    ) -> None:
        if reason := why_no_sshd(auth):
            raise RuntimeError(reason)
        self.directory = directory.resolve()
        self.address = address
        self.port = 0
        self.auth: Auth = auth
        self.options = options
        self.within = within
        self.user = NONE_USER if auth == "none" else pwd.getpwuid(os.geteuid()).pw_name
        self.directory.mkdir(parents=True, exist_ok=True)
        self.host_key = host_key.resolve() if host_key else _make_key(self.directory / "host_key")
        self.identity = _make_key(self.directory / "client_key") if auth == "key" else None
        self._log = self.directory / "sshd.log"
        self._mark = uuid.uuid4().hex
        self._while_running = ExitStack()
        self._is_running = False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start sshd and return when it answers; a second start uses the same port.

        Call it from a thread that outlives the server: with ``setpriv``, the kernel ends sshd with that thread, so that
        a killed test run leaves no server behind.

        Raises
        ------
        RuntimeError
            If it runs already, or if sshd did not start; the message has sshd's log.
        """
        if self._is_running:
            raise RuntimeError(f"the server on {self.address}:{self.port} runs already: stop() it first")
        if os.geteuid() == 0:
            _PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)
        with ExitStack() as stack:
            if self.auth == "none":
                stack.enter_context(_open_account())
            process = self._launch()
            stack.callback(_kill_all, process, self._mark)
            self._is_running = True
            self._while_running = stack.pop_all()

    def stop(self) -> None:
        """Kill sshd, its sessions and their processes at once, as when a host loses power; may be repeated."""
        self._is_running = False
        self._while_running.close()

    def rotate_host_key(self) -> None:
        """Make a new host key. A running server restarts with it on the same port, which ends its sessions."""
        self.host_key = _make_key(self.directory / f"host_key_{uuid.uuid4().hex[:8]}")
        if self._is_running:
            self.stop()
            self.start()

    def log(self) -> str:
        """Return sshd's log of all starts so far, at level VERBOSE: ``Accepted publickey for ...`` for each login."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def _launch(self) -> subprocess.Popen[bytes]:
        for _ in range(_PORTS_TO_TRY):
            port = self.port or free_port(self.address)
            before = len(self.log())
            process = self._launch_on(port)
            if process is not None:
                self.port = port
                return process
            if self.port or "Address already in use" not in self.log()[before:]:
                break
        raise RuntimeError(f"sshd did not start on {self.address}:{port}; it wrote to {self._log}:\n{self.log()}")

    def _launch_on(self, port: int) -> subprocess.Popen[bytes] | None:
        """Run sshd; return None when it ended or did not answer."""
        config = self.directory / "sshd_config"
        config.write_text(self._config(port))
        # Use the absolute path, because sshd executes itself again for every connection.
        command = [*self.within, _program("sshd") or "sshd", "-D", "-e", "-f", str(config)]
        if setpriv := _program("setpriv"):
            command = [setpriv, "--pdeathsig", "KILL", *command]
        before = len(self.log())
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory, start_new_session=True
            )
        try:
            deadline = time.monotonic() + _TIMEOUT
            while process.poll() is None and time.monotonic() < deadline:
                # Check both, because another SSH server may have taken the port.
                if "Server listening on" in self.log()[before:] and _is_ssh_server(self.address, port):
                    return process
                time.sleep(_POLL_INTERVAL)
        except BaseException:
            _kill_all(process, self._mark)
            raise
        _kill_all(process, self._mark)
        return None

    def _config(self, port: int) -> str:
        lines = [
            f"ListenAddress {self.address}:{port}",
            f'HostKey "{self.host_key}"',
            f"AllowUsers {self.user}",
            # Debian's bash reads ~/.bashrc for a remote command unless SHLVL marks it as a nested shell. A developer's
            # ~/.bashrc must not affect the test (pyenv's rehash, for example, waits for a lock).
            f"SetEnv {_MARK}={self._mark} SHLVL=5",
            "PidFile none",
            "LogLevel VERBOSE",
            "UsePAM no",
            "StrictModes no",
            "KbdInteractiveAuthentication no",
            "UseDNS no",
            "PrintMotd no",
            "PrintLastLog no",
            "LoginGraceTime 20",
            "MaxStartups 100",
            "Subsystem sftp internal-sftp",
            *self.options,
        ]
        if _sshd_version() >= (9, 8):
            lines.append("PerSourcePenalties no")  # else tests with failed logins would lock out others
        if self.identity is None:
            lines += ["PasswordAuthentication yes", "PermitEmptyPasswords yes", "PubkeyAuthentication no"]
        else:
            lines += ["PasswordAuthentication no", "PubkeyAuthentication yes", "PermitRootLogin yes"]
            lines.append(f'AuthorizedKeysFile "{str(self.identity).replace("%", "%%")}.pub"')
        return "\n".join(lines) + "\n"


def make_readable(path: Path) -> None:
    """Make `path` readable for everybody: add o+rx to it and to our own directories above it, below the temp root.

    Files are not changed, because private keys must stay private; under the usual umask 022 they are world-readable.
    A new pytest session removes these rights from ``pytest-of-<user>``, the parent of all sessions, even while another
    session runs. If that can happen, use `readable_directory`.

    Raises
    ------
    ValueError
        If `path` is not a directory below the temp root: a private directory of the user would become readable.
    """
    roots = {Path(root).resolve() for root in (tempfile.gettempdir(), os.environ.get("PYTEST_DEBUG_TEMPROOT")) if root}
    start = path.resolve()
    if not start.is_dir() or roots.isdisjoint(start.parents):
        raise ValueError(f"{path} is not a directory below {' or '.join(map(str, roots))}: make it there")
    for directory in (start, *start.parents):
        if directory in roots:
            return
        status = directory.stat()
        if status.st_uid == os.geteuid() and status.st_mode & 0o005 != 0o005:
            directory.chmod(status.st_mode & 0o7777 | 0o005)


@contextmanager
def readable_directory() -> Iterator[Path]:
    """Make a world-readable directory directly below the temp root, safe from other pytest sessions; remove it."""
    with tempfile.TemporaryDirectory(prefix="aurora-test-") as name:
        directory = Path(name).resolve()
        directory.chmod(0o755)
        yield directory


@contextmanager
def _open_account() -> Iterator[None]:
    """Let ``aurora-none`` log in without a password, until the last test process that uses it has left.

    Every process that uses the account holds the lock shared; to open or close the account it holds it exclusively.
    """
    with _NONE_LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        while _password(NONE_USER) != "":
            fcntl.flock(lock, fcntl.LOCK_EX)
            _make_account()
            fcntl.flock(
                lock, fcntl.LOCK_SH
            )  # not atomic: another process may close the account in between, hence the loop
        try:
            yield
        finally:
            fcntl.flock(lock, fcntl.LOCK_UN)
            with suppress(BlockingIOError):  # another process still uses it
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _run("usermod", "--password", "!", NONE_USER)
            fcntl.flock(lock, fcntl.LOCK_UN)  # closing the file is not enough when a child was forked in the meantime


def _make_account() -> None:
    if _password(NONE_USER) is None:
        options = ("--system", "--user-group", "--no-create-home", "--shell", "/bin/sh")
        _run("useradd", *options, "--home-dir", str(_NONE_HOME), NONE_USER)
    _NONE_HOME.mkdir(mode=0o700, exist_ok=True)
    user = pwd.getpwnam(NONE_USER)
    os.chown(_NONE_HOME, user.pw_uid, user.pw_gid)
    _run("usermod", "--password", "", NONE_USER)


def _password(user: str) -> str | None:
    """Return the password field of /etc/shadow, which only root may read; None without such a user."""
    for line in Path("/etc/shadow").read_text().splitlines():
        name, password, *_ = line.split(":")
        if name == user:
            return password
    return None


def _program(name: str) -> str | None:
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", os.defpath), _SYSTEM_PATH]))
    return str(Path(found).absolute()) if found else None


def _run(name: str, *arguments: str) -> None:
    result = subprocess.run([_program(name) or name, *arguments], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise RuntimeError(f"{name} {' '.join(arguments)} exited with {result.returncode}: {result.stderr.strip()}")


def _make_key(path: Path) -> Path:
    if not path.exists():
        _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", path.name, "-f", str(path))
    return path


@cache
def _sshd_version() -> tuple[int, int]:
    """Return OpenSSH's version; sshd prints it on standard error even when it does not support -V."""
    text = subprocess.run([_program("sshd") or "sshd", "-V"], capture_output=True, text=True, check=False).stderr
    found = re.search(r"OpenSSH_(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def free_port(address: str = "127.0.0.1") -> int:
    """Return a port of a local address on which nothing listens now."""
    with socket.create_server((address, 0)) as listener:
        return int(listener.getsockname()[1])


def _is_ssh_server(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=1) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def _kill_all(process: subprocess.Popen[bytes], mark: str) -> None:
    """Kill sshd and all processes that it started, and wait until they have ended.

    Killing the process group is not enough: sshd makes a new one for each connection and each session. So all processes
    are stopped (SIGSTOP) first, so that none of them can start another one, and then killed.
    """
    frozen: set[int] = set()
    while new := _session_processes(process, mark) - frozen:
        _signal(new, signal.SIGSTOP)
        frozen |= new
    _signal(frozen, signal.SIGKILL)
    process.wait(_TIMEOUT)
    deadline = time.monotonic() + _TIMEOUT
    while left := frozen & _parents().keys():
        if time.monotonic() > deadline:
            raise RuntimeError(f"processes {sorted(left)} of a test's sshd survived SIGKILL: inspect them with ps")
        time.sleep(_POLL_INTERVAL)


def _session_processes(process: subprocess.Popen[bytes], mark: str) -> set[int]:
    """Return sshd and its descendants, and processes of its sessions whose parent has ended."""
    parents, marked = _parents(), f"{_MARK}={mark}".encode()
    found = {process.pid} if process.poll() is None else set()
    for pid in parents:
        with (
            suppress(OSError),
            open(f"/proc/{pid}/environ", "rb", 0) as environ,
        ):  # it has ended, or belongs to another user
            if marked in environ.readall().split(b"\0"):
                found.add(pid)
    while children := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= children
    return found


def _parents() -> dict[int, int]:
    """Return the parent of every live process (no zombies), by process id."""
    parents = {}
    for name in filter(str.isdecimal, os.listdir("/proc")):
        with suppress(OSError), open(f"/proc/{name}/stat", "rb", 0) as stat:
            state, parent = stat.readall().rpartition(b")")[2].split()[:2]
            if state not in b"ZX":
                parents[int(name)] = int(parent)
    return parents


def _signal(pids: set[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
