"""A real sshd of our own on a loopback address, as the far side of tests and benchmarks.

It runs from a temporary directory with its own host key, configuration and log, and touches nothing of the machine's
own sshd. The whole of 127.0.0.0/8 is this machine, so several hosts are several servers on several addresses. This is
not a model of a slow or broken network, and it is not for anything but those.

With ``auth="key"`` one logs in as the user who runs the tests; that works with and without root. With ``auth="none"``
(root only) one logs in by SSH's "none" method, which is what Tailscale SSH answers, as the system user ``aurora-none``.
It exists for this alone, and its password is empty only while a server runs, on any of the test processes.

What ``aurora-none`` shall read must be world-readable, and so must every directory above it be traversable. pytest
makes its directories 0700: open the way with `make_readable`, or work in a `readable_directory`.
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
_NONE_HOME = Path("/run") / NONE_USER  # only root writes in /run: nobody can put a link in its place
_NONE_LOCK = Path("/run") / f"{NONE_USER}.lock"
_PRIVILEGE_SEPARATION = Path("/run/sshd")  # sshd refuses to run as root without it
_SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin"  # often not in the PATH of a user
_MARK = "AURORA_TEST_SSHD"  # in the environment of every session, by which stop() finds what a session left behind
_PATIENCE = 10.0  # s, for a server to answer and for its processes to go
_PAUSE = 0.02  # s
_PORTS_TO_TRY = 5  # another process may take a free port before sshd does


def why_no_sshd(auth: Auth) -> str | None:
    """Return why a server with this authentication cannot run here, or None when it can: the reason of a skip."""
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
    """An sshd that runs between ``__enter__`` and ``__exit__``; one directory belongs to one server at a time.

    Parameters
    ----------
    directory
        Where keys, configuration and log are; made when missing. Keys that are there already are used again.
    address
        IPv4 loopback address to listen on.
    auth
        ``"key"``: one client key, nothing else. ``"none"``: SSH's "none" method, nothing else.
    host_key
        An existing private host key to use (mode 0600); without it the server makes its own.
    options
        More lines for its configuration.
    within
        A program and its arguments that runs what follows it, and becomes sshd: ``unshare``, say.

    Attributes
    ----------
    port : int
        Chosen at the first `start`, kept from then on; 0 before.
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
        """Start sshd and return once it answers; on the same port as before, if there was a start before.

        Call it from a thread that outlives the server: where ``setpriv`` is there, the kernel ends sshd with that
        thread, so that a killed test run leaves no server behind.

        Raises
        ------
        RuntimeError
            It runs already, or sshd did not come up; with sshd's log.
        """
        if self._is_running:
            raise RuntimeError(f"the server on {self.address}:{self.port} runs already: stop() it first")
        if os.geteuid() == 0:
            _PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)
        with ExitStack() as stack:
            if self.auth == "none":
                stack.enter_context(_open_account())
            process = self._launch()
            stack.callback(_end, process, self._mark)
            self._is_running = True
            self._while_running = stack.pop_all()

    def stop(self) -> None:
        """Kill sshd, its sessions and whatever they started, at once, as when a host loses power; may be repeated."""
        self._is_running = False
        self._while_running.close()

    def rotate_host_key(self) -> None:
        """Take a new host key. A running server is restarted with it on the same port, which ends its sessions."""
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
        """Run sshd; None when it gave up or never answered."""
        config = self.directory / "sshd_config"
        config.write_text(self._config(port))
        # By its absolute path, because sshd executes itself again for every connection.
        command = [*self.within, _program("sshd") or "sshd", "-D", "-e", "-f", str(config)]
        if setpriv := _program("setpriv"):
            command = [setpriv, "--pdeathsig", "KILL", *command]
        before = len(self.log())
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory, start_new_session=True
            )
        try:
            deadline = time.monotonic() + _PATIENCE
            while process.poll() is None and time.monotonic() < deadline:
                # Both, because whoever took the port before us may be an SSH server as well.
                if "Server listening on" in self.log()[before:] and _answers(self.address, port):
                    return process
                time.sleep(_PAUSE)
        except BaseException:
            _end(process, self._mark)
            raise
        _end(process, self._mark)
        return None

    def _config(self, port: int) -> str:
        lines = [
            f"ListenAddress {self.address}:{port}",
            f'HostKey "{self.host_key}"',
            f"AllowUsers {self.user}",
            # Debian's bash reads ~/.bashrc for a remote command unless SHLVL says that it is a shell within a shell;
            # what a developer keeps there (pyenv's rehash waits for a lock) is no part of the test.
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
            lines.append("PerSourcePenalties no")  # tests that fail to log in would lock the others out
        if self.identity is None:
            lines += ["PasswordAuthentication yes", "PermitEmptyPasswords yes", "PubkeyAuthentication no"]
        else:
            lines += ["PasswordAuthentication no", "PubkeyAuthentication yes", "PermitRootLogin yes"]
            lines.append(f'AuthorizedKeysFile "{str(self.identity).replace("%", "%%")}.pub"')
        return "\n".join(lines) + "\n"


def make_readable(path: Path) -> None:
    """Let everybody reach `path`: adds o+rx to it and to the directories above it that are ours, below the temp root.

    Files are left alone, because private keys must stay private; they are world-readable under the usual umask 022.
    When a pytest session begins it takes this away again from ``pytest-of-<user>``, the parent of all sessions, also
    while another one still runs. Where that can happen, use `readable_directory`.

    Raises
    ------
    ValueError
        `path` is not a directory below the temp root, so that a directory of the user's would have been opened.
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
    """Give a world-readable directory straight below the temp root, safe from other pytest sessions, and remove it."""
    with tempfile.TemporaryDirectory(prefix="aurora-test-") as name:
        directory = Path(name).resolve()
        directory.chmod(0o755)
        yield directory


@contextmanager
def _open_account() -> Iterator[None]:
    """Let ``aurora-none`` in without a password, until the last test process that wants it has left.

    Every user holds the lock shared; whoever opens or closes the account holds it alone.
    """
    with _NONE_LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        while _password(NONE_USER) != "":
            fcntl.flock(lock, fcntl.LOCK_EX)
            _make_account()
            fcntl.flock(lock, fcntl.LOCK_SH)  # not atomic: somebody may close it in between, hence the loop
        try:
            yield
        finally:
            fcntl.flock(lock, fcntl.LOCK_UN)
            with suppress(BlockingIOError):  # still in use elsewhere
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _run("usermod", "--password", "!", NONE_USER)
            fcntl.flock(lock, fcntl.LOCK_UN)  # closing the file is not enough when a child was forked meanwhile


def _make_account() -> None:
    if _password(NONE_USER) is None:
        options = ("--system", "--user-group", "--no-create-home", "--shell", "/bin/sh")
        _run("useradd", *options, "--home-dir", str(_NONE_HOME), NONE_USER)
    _NONE_HOME.mkdir(mode=0o700, exist_ok=True)
    user = pwd.getpwnam(NONE_USER)
    os.chown(_NONE_HOME, user.pw_uid, user.pw_gid)
    _run("usermod", "--password", "", NONE_USER)


def _password(user: str) -> str | None:
    """Return the password field of /etc/shadow, which root alone may read; None when there is no such user."""
    for line in Path("/etc/shadow").read_text().splitlines():
        name, password, *_ = line.split(":")
        if name == user:
            return password
    return None


def _program(name: str) -> str | None:
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", os.defpath), _SYSTEM_PATH]))
    return str(Path(found).absolute()) if found else None


def _run(name: str, *arguments: str) -> None:
    done = subprocess.run([_program(name) or name, *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{name} {' '.join(arguments)} ended with {done.returncode}: {done.stderr.strip()}")


def _make_key(path: Path) -> Path:
    if not path.exists():
        _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", path.name, "-f", str(path))
    return path


@cache
def _sshd_version() -> tuple[int, int]:
    """Return OpenSSH's version; sshd names it on standard error also where it does not know -V."""
    text = subprocess.run([_program("sshd") or "sshd", "-V"], capture_output=True, text=True, check=False).stderr
    found = re.search(r"OpenSSH_(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def free_port(address: str = "127.0.0.1") -> int:
    """A port of an address of ours at which nothing listens now."""
    with socket.create_server((address, 0)) as listener:
        return int(listener.getsockname()[1])


def _answers(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=1) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def _end(process: subprocess.Popen[bytes], mark: str) -> None:
    """Kill sshd and all that came from it, and wait until they are gone.

    The process group is not enough: sshd gives each connection and each session its own. So all are frozen first,
    after which nothing is left that could start another one, and only then killed.
    """
    frozen: set[int] = set()
    while new := _offspring(process, mark) - frozen:
        _signal(new, signal.SIGSTOP)
        frozen |= new
    _signal(frozen, signal.SIGKILL)
    process.wait(_PATIENCE)
    deadline = time.monotonic() + _PATIENCE
    while left := frozen & _parents().keys():
        if time.monotonic() > deadline:
            raise RuntimeError(f"processes {sorted(left)} of a test's sshd survived SIGKILL: look at them with ps")
        time.sleep(_PAUSE)


def _offspring(process: subprocess.Popen[bytes], mark: str) -> set[int]:
    """Return sshd and its descendants, and the processes of its sessions that have lost their parent."""
    parents, marked = _parents(), f"{_MARK}={mark}".encode()
    found = {process.pid} if process.poll() is None else set()
    for pid in parents:
        with suppress(OSError), open(f"/proc/{pid}/environ", "rb", 0) as environ:  # it ended, or is somebody else's
            if marked in environ.readall().split(b"\0"):
                found.add(pid)
    while children := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= children
    return found


def _parents() -> dict[int, int]:
    """Return the parent of every process that is alive (a zombie is not), by process id."""
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
