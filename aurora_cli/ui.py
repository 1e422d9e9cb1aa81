"""``aurora ui``: run Dagster's web server, daemon and code server, and keep each of them running."""

from __future__ import annotations

import os
import signal
import socket
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import ExitStack
from pathlib import Path

import click
import yaml
from filelock import FileLock, Timeout

from aurora_cli.console import print_line
from aurora_cli.context import load_site_or_exit
from aurora_platform.config.package_files import CHECKOUT
from aurora_platform.errors import AuroraError
from aurora_platform.fs.atomic import remove
from aurora_platform.operations.supervisor import Program, Supervisor
from aurora_platform.operations.ui_cover import ASKED_FOR, Access

_MODULE, _LOCATION = "aurora_assets.definitions", "aurora"
_PORT_FREE_WITHIN = 5.0  # s, after a supervisor that was killed
_DAEMON_ENDS_WITHIN = 60  # s, likewise
_LONGEST_SOCKET = 90  # bytes of its directory; the kernel's limit for a socket's path is 107
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # whatever proxy the environment names
_DEFAULTS = {
    # Ticks run in threads of the code server; Dagster's default is only four more than the number of cores.
    "DAGSTER_GRPC_MAX_WORKERS": "32",
    # Poll intervals in s of the retry daemon and of Dagster's freshness daemon, whose limits are hours.
    "DAGSTER_EVENT_LOG_CONSUMER_DAEMON_INTERVAL_SECONDS": "45",
    "FRESHNESS_DAEMON_INTERVAL_SECONDS": "300",
}
"""Settings of Dagster that have no place in its file; the environment outranks them."""


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), default=3000, show_default=True, help="Port of the UI.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--name",
    "names",
    multiple=True,
    metavar="NAME[:PORT]",
    help="A further name in the address bar of browsers, as behind a proxy or a tunnel; may be repeated.",
)
@click.option("--read-only", is_flag=True, help="Without the daemon: a UI that shows all and changes nothing.")
@click.option("--open", "is_open", is_flag=True, help="With --read-only: ask visitors for no password.")
@click.pass_obj
def ui(file: Path | None, port: int, host: str, names: tuple[str, ...], read_only: bool, is_open: bool) -> None:
    """Run the Dagster UI, its daemon and its code server; Ctrl-C ends them.

    Each of the three is started again when it ends, also when the kernel has killed it. The UI answers only its own
    pages, under its own name. On an address that other machines can reach, the environment variable AURORA_UI_TOKEN
    must hold a password (any user name). Dagster keeps its records in DAGSTER_HOME.

    \b
    Exit codes: 0 ended by Ctrl-C or SIGTERM; 1 an error (see the last line).
    Example: AURORA_UI_TOKEN=$(openssl rand -hex 24) aurora ui --host 0.0.0.0 --name sky.example.org
    """
    load_site_or_exit(file)
    if is_open and not read_only:
        raise click.UsageError("--open is for --read-only: who may change something is asked for a password")
    home = _dagster_home()
    try:
        Access.of(host, port, names, os.environ.get(ASKED_FOR, ""), is_read_only=read_only, is_open=is_open)
        _require_free_port(host, port)
        with ExitStack() as stack:
            if not read_only:
                _hold(stack, home)
            directory = _meeting_place(stack, home, port, is_shared=read_only)
            web_options = ["--host", host, "--port", str(port), *(part for name in names for part in ("--name", name))]
            web_options += ["--read-only"] * read_only + ["--open"] * is_open
            supervisor = Supervisor(
                _programs(home, directory, host, port, web_options, has_daemon=not read_only),
                lambda text: print_line(text, "yellow"),
            )
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, supervisor.stop)
            stack.enter_context(supervisor)
            supervisor.start()
            if not supervisor.is_over:
                print_line(f"http://{host}:{port} is ready; Ctrl-C ends it")
            supervisor.run()
    except AuroraError as error:
        raise click.ClickException(str(error)) from None


def _programs(
    home: Path, directory: Path, host: str, port: int, web_options: list[str], *, has_daemon: bool
) -> list[Program]:
    """The code server, the web server and the daemon, which find each other by a file in ``directory``."""
    code_socket, workspace = directory / "code.sock", directory / "workspace.yaml"
    location = {"grpc_server": {"socket": str(code_socket), "location_name": _LOCATION}}
    workspace.write_text(yaml.safe_dump({"load_from": [location]}))
    python = (sys.executable, "-m")
    code = Program(
        "code server",
        [
            *(*python, "dagster", "api", "grpc", "--socket", str(code_socket), "--module-name", _MODULE),
            *("--location-name", _LOCATION, "--use-python-environment-entry-point", "--log-level", "warning"),
        ],
        environment={ASKED_FOR: ""},
        defaults=_DEFAULTS,
        is_ready=lambda: _accepts(code_socket),
    )
    web = Program(
        "web server",
        [*python, "aurora_assets.instance.web_server", "--workspace", str(workspace), *web_options],
        is_ready=lambda: _answers(host, port),
    )
    daemon = Program(
        "daemon",
        # The daemon of a supervisor that was killed may still be ending a tick.
        [
            *("flock", "--no-fork", "--wait", str(_DAEMON_ENDS_WITHIN), str(home / "daemon.lock")),
            *(*python, "dagster._daemon", "run", "-w", str(workspace)),
        ],
        environment={ASKED_FOR: ""},
        defaults=_DEFAULTS,
    )
    return [code, web, daemon] if has_daemon else [code, web]


def _dagster_home() -> Path:
    home = os.environ.get("DAGSTER_HOME", "")
    if not home or not Path(home).is_absolute() or not Path(home).is_dir():
        make = "make ui" if CHECKOUT else "export DAGSTER_HOME=<a permanent directory>, and copy dagster.yaml into it"
        raise click.ClickException(f"DAGSTER_HOME is {home or 'not set'}: it must be a directory ({make})")
    return Path(home)


def _hold(stack: ExitStack, home: Path) -> None:
    """Let no second supervisor run on the same records."""
    lock = FileLock(home / "ui.lock", timeout=0, fallback_to_soft=False)
    try:
        stack.enter_context(lock)
    except Timeout:
        raise click.ClickException(
            f"another `aurora ui` runs with DAGSTER_HOME={home}: end it first; `fuser -v {home}/ui.lock` shows it"
        ) from None


def _meeting_place(stack: ExitStack, home: Path, port: int, *, is_shared: bool) -> Path:
    """An empty directory for the socket of the code server and the workspace file."""
    directory = home / (f".ui-{port}" if is_shared else ".ui")
    if len(os.fsencode(directory)) > _LONGEST_SOCKET:
        return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="aurora-ui-")))
    remove(directory)  # of a supervisor that was killed
    directory.mkdir(mode=0o700)
    stack.callback(remove, directory)
    return directory


def _require_free_port(host: str, port: int) -> None:
    """Wait for a port that the web server of a killed supervisor still has; raise if it stays taken."""
    until = time.monotonic() + _PORT_FREE_WITHIN
    while _connects(host, port):
        if time.monotonic() > until:
            raise AuroraError(f"port {port} is in use; choose another: --port {port + 1}")
        time.sleep(0.2)


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  what to probe


def _connects(host: str, port: int) -> bool:
    try:
        with socket.create_connection((_reachable(host), port), timeout=1):
            return True
    except OSError:
        return False


def _accepts(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def _answers(host: str, port: int) -> bool:
    """Whether the web server answers anything: it may ask for a name or a password that we do not have."""
    name = f"[{_reachable(host)}]" if ":" in host else _reachable(host)
    try:
        _DIRECT.open(f"http://{name}:{port}/server_info", timeout=2).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True
