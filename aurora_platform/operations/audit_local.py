"""Audits this machine: tools, disks, permissions, file systems, databases, Dagster's home."""

import importlib.util
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import yaml

from aurora_platform.config.package_files import CHECKOUT, DAGSTER_YAML, DEMO_DIRECTORY
from aurora_platform.config.site import Site
from aurora_platform.errors import LayoutError, NewerError
from aurora_platform.fs.atomic import nearest
from aurora_platform.layout import VERSION, check_state
from aurora_platform.operations import audit_databases, audit_rsync, grounds
from aurora_platform.operations.audit_file_systems import work_directories
from aurora_platform.operations.audit_result import AuditLine, Level, level_by_limits

_PYTHON = (3, 12)
_FULL_WARN, _FULL_FAIL = 80.0, 95.0  # %
_TIME_LIMIT = 10  # s, for a program to print its version


@dataclass(frozen=True)
class Tool:
    """A program that Aurora runs: its version option, its package, the lowest version, and the reason for that."""

    name: str
    version_option: str
    package: str
    least: tuple[int, ...] = ()
    reason: str = ""
    is_needed: bool = True


TOOLS = (
    Tool("rsync", "--version", "rsync", (3, 2, 4), "the mirror uses --fsync"),
    Tool("ssh", "-V", "openssh-client", (7, 6), "StrictHostKeyChecking=accept-new"),
    Tool("find", "--version", "findutils", is_needed=False),
    Tool("flock", "--version", "util-linux"),
    Tool("setpriv", "--version", "util-linux", (2, 33), "--pdeathsig"),
    Tool("timeout", "--version", "coreutils"),
    Tool("prlimit", "--version", "util-linux"),
    Tool("nice", "--version", "coreutils"),
)


def python() -> Iterator[AuditLine]:
    """Audit the version of Python."""
    version, least = platform.python_version(), ".".join(map(str, _PYTHON))
    is_required = sys.version_info[:2] == _PYTHON
    step = "" if is_required else f"install Python {least}, then make setup"
    yield AuditLine("python", Level.OK if is_required else Level.FAIL, f"{version} ({sys.executable})", step)


def tool(program: Tool) -> Iterator[AuditLine]:
    """Audit a program: is it installed, and new enough?"""
    component = f"tool {program.name}"
    missing = Level.FAIL if program.is_needed else Level.WARN
    install = f"install the package {program.package} (apt-get install {program.package})"
    try:
        done = subprocess.run(
            [program.name, program.version_option],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIME_LIMIT,
            check=False,
        )
    except FileNotFoundError:
        yield AuditLine(component, missing, "not in PATH", install)
        return
    except (OSError, subprocess.TimeoutExpired) as error:
        yield AuditLine(component, missing, f"does not run: {error}", install)
        return
    first_line = next(iter((done.stdout + done.stderr).splitlines()), "")
    found = re.search(r"\d+(?:\.\d+)+", first_line)
    version = tuple(int(part) for part in found[0].split(".")) if found else ()
    if done.returncode != 0 or not version:
        yield AuditLine(component, missing, f"prints no version: {first_line or 'nothing'}", install)
    elif version < program.least:
        least = ".".join(map(str, program.least))
        what = f"{first_line}; {least} is needed ({program.reason})"
        yield AuditLine(component, Level.FAIL, what, f"upgrade {program.package}")
    elif program.name == "rsync":
        yield audit_rsync.audit_rsync_version(component, first_line)
    else:
        yield AuditLine(component, Level.OK, first_line)


def directory(name: str, path: Path) -> Iterator[AuditLine]:
    """Audit a directory of ``paths`` in the site file: does it exist, is it writable, how full is its disk?"""
    existing = nearest(path)
    yield _audit_permissions(name, path, existing)
    yield audit_space(name, existing)


def _audit_permissions(name: str, path: Path, existing: Path) -> AuditLine:
    """Audit the permissions of a directory, or of ``existing``, its nearest parent that exists."""
    component = f"{name} {path}"
    if not existing.is_dir():
        return AuditLine(
            component, Level.FAIL, f"{existing} is not a directory", f"move it away, or change paths.{name}"
        )
    if not os.access(existing, os.W_OK | os.X_OK):
        make = f"mkdir -p {path} && chown $(id -un) {path}, as root"
        return AuditLine(
            component, Level.FAIL, f"not writable: {existing}", make if existing != path else f"chown {path}"
        )
    if existing == path:
        return AuditLine(component, Level.OK, "exists, writable")
    if existing == existing.parent:
        return AuditLine(
            component, Level.WARN, "no part of the path exists, so it would be made on the root disk", "mount it"
        )
    return AuditLine(component, Level.OK, f"will be made in {existing}, which is writable")


def audit_space(name: str, existing: Path) -> AuditLine:
    """Audit how full the disk of a directory is, in bytes and inodes."""
    status = os.statvfs(existing)
    usable = status.f_blocks - status.f_bfree + status.f_bavail  # like df: without the blocks reserved for root
    used = 100 * (1 - status.f_bavail / usable) if usable else 0.0
    # A file system without a fixed number of inodes (btrfs) reports 0.
    inodes = 100 * (1 - status.f_favail / status.f_files) if status.f_files else 0.0
    level = level_by_limits(max(used, inodes), _FULL_WARN, _FULL_FAIL)
    free = status.f_bavail * status.f_frsize / 1e9
    what = f"{free:.1f} GB free, {used:.0f} % used; inodes {inodes:.0f} % used"
    return AuditLine(f"{name} space", level, what, "" if level is Level.OK else f"free space on the disk of {existing}")


def state_layout(state: Path) -> Iterator[AuditLine]:
    """Audit the version of the state directory."""
    component = "state layout"
    try:
        found = check_state(state)
    except (NewerError, LayoutError) as error:
        yield AuditLine(component, Level.FAIL, str(error), "docs/operating.md, Runbook: newer Aurora")
        return
    if found == VERSION:
        yield AuditLine(component, Level.OK, f"version {found}")
    elif not state.exists():
        yield AuditLine(component, Level.OK, f"new: the first program that writes makes it, of version {VERSION}")
    else:
        yield AuditLine(
            component, Level.OK, f"version {found}: the first program that writes upgrades it to version {VERSION}"
        )


def dagster_home() -> Iterator[AuditLine]:
    """Audit ``DAGSTER_HOME`` and the ``dagster.yaml`` in it."""
    home = os.environ.get("DAGSTER_HOME")
    copy = f"mkdir -p {home} && cp {DAGSTER_YAML} {home}/"
    if not home:
        step = "export DAGSTER_HOME=<a permanent directory>"
        if CHECKOUT:
            step = f"`make ui` sets it to .aurora/dagster; for a real site, {step}"
        yield AuditLine("DAGSTER_HOME", Level.WARN, "not set", step)
        return
    settings_file = Path(home) / "dagster.yaml"
    if not Path(home).is_absolute():
        yield AuditLine("DAGSTER_HOME", Level.FAIL, f"{home}: not absolute", "export DAGSTER_HOME as an absolute path")
    elif not settings_file.exists():
        existing = nearest(Path(home))
        if os.access(existing, os.W_OK | os.X_OK):
            step = f"`make ui` makes it; without make: {copy}" if CHECKOUT else copy
            yield AuditLine("DAGSTER_HOME", Level.WARN, f"{settings_file} does not exist", step)
        else:
            yield AuditLine(
                "DAGSTER_HOME", Level.FAIL, f"{existing}: not writable", f"make {home} and chown it to this user"
            )
    elif _settings(settings_file) != _settings(DAGSTER_YAML):
        step = f"if you never edited it: {copy}; otherwise see docs/operating.md, Updating"
        yield AuditLine("DAGSTER_HOME", Level.WARN, f"{settings_file} differs from that of this version", step)
    else:
        yield AuditLine("DAGSTER_HOME", Level.OK, f"{home}, with the dagster.yaml of this version")


def dagster_shell() -> Iterator[AuditLine]:
    """Audit the package of the job ``look_at_this_machine``; no resolver installs it with this version of Dagster."""
    if importlib.util.find_spec("dagster_shell"):
        yield AuditLine("dagster-shell", Level.OK, "installed")
    else:
        step = "make setup" if CHECKOUT else "if you want that job: pip install --no-deps dagster-shell"
        yield AuditLine("dagster-shell", Level.WARN, "not installed: the job look_at_this_machine does not exist", step)


def _settings(file: Path) -> object:
    """Return the content of a YAML file without its comments; its text if it is not valid YAML."""
    text = file.read_text(errors="replace")
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def local_sources(site: Site) -> Iterator[AuditLine]:
    """Audit the source directories on this machine."""
    demo, make = (CHECKOUT / ".aurora", "make demo") if CHECKOUT else (Path.cwd() / DEMO_DIRECTORY, "aurora demo")
    for name, stream in site.streams.items():
        if stream.enabled and site.hosts[stream.host].is_local:
            path = Path(stream.path)
            if not path.is_dir():
                step = f"mount the disk, or correct streams.{name}.path"
                if path.is_relative_to(demo):
                    step = f"{make} first" if site.name == "demo" else "simulate it first, as the site file says"
                yield AuditLine(f"source {name}", Level.FAIL, f"no such directory: {path}", step)
            elif not os.access(path, os.R_OK | os.X_OK):
                step = f"allow {os.environ.get('USER', 'this user')} to read it (chmod o+rx)"
                yield AuditLine(f"source {name}", Level.FAIL, f"not readable: {path}", step)
            else:
                yield AuditLine(f"source {name}", Level.OK, f"readable: {path}")


def local_audits(site: Site, *, deep: bool = False) -> dict[str, Callable[[], Iterable[AuditLine]]]:
    """Return all audits of this machine, by the component of the line if one does not end in time.

    ``deep`` tries the file systems, with a file that is removed at once, and reads the databases whole.
    """
    paths = {name: getattr(site.paths, name) for name in ("raw", "products", "state", "manifests")}
    return {
        "python": python,
        **{f"tool {program.name}": partial(tool, program) for program in TOOLS},
        **{f"{name} {path}": partial(directory, name, path) for name, path in paths.items()},
        "state layout": partial(state_layout, site.paths.state),
        **grounds.audits(site, anew=deep),
        "raw work directory": partial(work_directories, site),
        **audit_databases.audits(site, deep=deep),
        "DAGSTER_HOME": dagster_home,
        "dagster-shell": dagster_shell,
        "sources here": partial(local_sources, site),
    }
