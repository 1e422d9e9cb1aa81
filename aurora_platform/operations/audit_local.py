"""What an audit looks at on this machine: tools, disks, rights, file systems, Dagster's home. It writes nothing."""

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
from aurora_platform.operations import audit_rsync
from aurora_platform.operations.audit_file_systems import file_system, raw_mtimes, staging, work_directories
from aurora_platform.operations.audit_result import AuditLine, Level, by_limits

_PYTHON = (3, 12)
_FULL_WARN, _FULL_FAIL = 80.0, 95.0  # %
_BOUND = 10  # s, for a program to say its version
# renameat2(RENAME_EXCHANGE), by which a rebuilt day of pixels gets its name.
_EXCHANGING = {"ext4", "xfs", "btrfs", "tmpfs", "overlay"}


@dataclass(frozen=True)
class Tool:
    """A program that we start: how it says its version, the least one that will do, why, and where it is from."""

    name: str
    version: str
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
    """The interpreter."""
    version, least = platform.python_version(), ".".join(map(str, _PYTHON))
    is_ours = sys.version_info[:2] == _PYTHON
    step = "" if is_ours else f"make setup, with Python {least} installed"
    yield AuditLine("python", Level.OK if is_ours else Level.FAIL, f"{version} ({sys.executable})", step)


def tool(one: Tool) -> Iterator[AuditLine]:
    """One program: is it there, and new enough?"""
    missing = Level.FAIL if one.is_needed else Level.WARN
    install = f"install the package {one.package} (apt-get install {one.package})"
    try:
        done = subprocess.run(
            [one.name, one.version], capture_output=True, text=True, errors="replace", timeout=_BOUND, check=False
        )
    except FileNotFoundError:
        yield AuditLine(f"tool {one.name}", missing, "not in PATH", install)
        return
    except (OSError, subprocess.TimeoutExpired) as error:
        yield AuditLine(f"tool {one.name}", missing, f"does not run: {error}", install)
        return
    said = next(iter((done.stdout + done.stderr).splitlines()), "")
    found = re.search(r"\d+(?:\.\d+)+", said)
    version = tuple(int(part) for part in found[0].split(".")) if found else ()
    if done.returncode != 0 or not version:
        yield AuditLine(f"tool {one.name}", missing, f"says no version: {said or 'nothing'}", install)
    elif version < one.least:
        least = ".".join(map(str, one.least))
        yield AuditLine(
            f"tool {one.name}", Level.FAIL, f"{said}; {least} is needed ({one.reason})", f"upgrade {one.package}"
        )
    elif one.name == "rsync":
        yield audit_rsync.judged(f"tool {one.name}", said)
    else:
        yield AuditLine(f"tool {one.name}", Level.OK, said)


def directory(name: str, path: Path) -> Iterator[AuditLine]:
    """One root of the site file: may we write there, is there room, and is it there at all?"""
    there = nearest(path)
    yield _rights(name, path, there)
    yield _room(name, there)


def _rights(name: str, path: Path, there: Path) -> AuditLine:
    component = f"{name} {path}"
    if not there.is_dir():
        return AuditLine(component, Level.FAIL, f"{there} is not a directory", f"move it away, or change paths.{name}")
    if not os.access(there, os.W_OK | os.X_OK):
        make = f"mkdir -p {path} && chown $(id -un) {path}, as root"
        return AuditLine(
            component, Level.FAIL, f"not writable: {there}", make if there != path else f"chown it: {path}"
        )
    if there == path:
        return AuditLine(component, Level.OK, "exists, writable")
    if there == there.parent:
        return AuditLine(
            component, Level.WARN, "nothing of it exists, so it would be made on the root disk", "mount it"
        )
    return AuditLine(component, Level.OK, f"will be made in {there}, which is writable")


def _room(name: str, there: Path) -> AuditLine:
    status = os.statvfs(there)
    usable = status.f_blocks - status.f_bfree + status.f_bavail  # as df counts: without what is kept for root
    used = 100 * (1 - status.f_bavail / usable) if usable else 0.0
    # A file system without a fixed number of inodes (btrfs) says 0.
    inodes = 100 * (1 - status.f_favail / status.f_files) if status.f_files else 0.0
    level = by_limits(max(used, inodes), _FULL_WARN, _FULL_FAIL)
    free = status.f_bavail * status.f_frsize / 1e9
    what = f"{free:.1f} GB free, {used:.0f} % used; inodes {inodes:.0f} % used"
    return AuditLine(f"{name} space", level, what, "" if level is Level.OK else f"make room on the disk of {there}")


def state_layout(state: Path) -> Iterator[AuditLine]:
    """Which version of Aurora the state directory is of."""
    component = "state layout"
    try:
        found = check_state(state)
    except (NewerError, LayoutError) as error:
        yield AuditLine(component, Level.FAIL, str(error), "docs/operating.md, Runbook: newer Aurora")
        return
    if found == VERSION:
        yield AuditLine(component, Level.OK, f"version {found}")
    else:
        yield AuditLine(component, Level.OK, f"version {found}: whoever writes first makes version {VERSION} of it")


def products_exchange(products: Path, mounts: Path = Path("/proc/mounts")) -> Iterator[AuditLine]:
    """Whether a rebuilt directory can change places with the old one in one step, by the type of the file system."""
    kind = file_system(nearest(products).resolve(), mounts.read_text())
    if kind in _EXCHANGING:
        yield AuditLine("products file system", Level.OK, f"{kind}: directories can be exchanged")
    else:
        yield AuditLine(
            "products file system",
            Level.WARN,
            f"{kind}: not known to exchange two directories in one step",
            "keep paths.products on ext4, xfs, btrfs or tmpfs",
        )


def dagster_home() -> Iterator[AuditLine]:
    """Dagster's own directory, and its settings in it."""
    home = os.environ.get("DAGSTER_HOME")
    copy = f"mkdir -p {home} && cp {DAGSTER_YAML} {home}/"
    if not home:
        step = "export DAGSTER_HOME=<a directory that is kept>"
        if CHECKOUT:
            step = f"`make ui` sets it to .aurora/dagster; for a real site, {step}"
        yield AuditLine("DAGSTER_HOME", Level.WARN, "not set", step)
        return
    theirs = Path(home) / "dagster.yaml"
    if not Path(home).is_absolute():
        yield AuditLine("DAGSTER_HOME", Level.FAIL, f"{home}: not absolute", "export DAGSTER_HOME as an absolute path")
    elif not theirs.exists():
        there = nearest(Path(home))
        if os.access(there, os.W_OK | os.X_OK):
            step = f"`make ui` makes it; else: {copy}" if CHECKOUT else copy
            yield AuditLine("DAGSTER_HOME", Level.WARN, f"{theirs} does not exist", step)
        else:
            yield AuditLine("DAGSTER_HOME", Level.FAIL, f"{there}: not writable", f"make {home}, and chown it to us")
    elif _settings(theirs) != _settings(DAGSTER_YAML):
        step = f"if you never edited it: {copy}; else docs/operating.md, Updating"
        yield AuditLine("DAGSTER_HOME", Level.WARN, f"{theirs} is not that of this version", step)
    else:
        yield AuditLine("DAGSTER_HOME", Level.OK, f"{home}, with our dagster.yaml")


def dagster_shell() -> Iterator[AuditLine]:
    """The package of the job ``look_at_this_machine``, which no resolver can install beside our Dagster."""
    if importlib.util.find_spec("dagster_shell"):
        yield AuditLine("dagster-shell", Level.OK, "installed")
    else:
        step = "make setup" if CHECKOUT else "pip install --no-deps dagster-shell, if you want that job"
        yield AuditLine("dagster-shell", Level.WARN, "not installed: there is no job look_at_this_machine", step)


def _settings(file: Path) -> object:
    """What a YAML file sets, whatever its comments say; its text, where it is none."""
    text = file.read_text(errors="replace")
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def local_sources(site: Site) -> Iterator[AuditLine]:
    """The source directories of this machine."""
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
                step = f"let {os.environ.get('USER', 'us')} read it (chmod o+rx)"
                yield AuditLine(f"source {name}", Level.FAIL, f"not readable: {path}", step)
            else:
                yield AuditLine(f"source {name}", Level.OK, f"readable: {path}")


def local_audits(site: Site) -> dict[str, Callable[[], Iterable[AuditLine]]]:
    """Every look at this machine, by what it is called should it not end."""
    paths = {name: getattr(site.paths, name) for name in ("raw", "products", "state", "manifests")}
    return {
        "python": python,
        **{f"tool {one.name}": partial(tool, one) for one in TOOLS},
        **{f"{name} {path}": partial(directory, name, path) for name, path in paths.items()},
        "state layout": partial(state_layout, site.paths.state),
        "products file system": partial(products_exchange, site.paths.products),
        "raw mtimes": partial(raw_mtimes, site),
        "raw work directory": partial(work_directories, site),
        "products staging": partial(staging, site.paths.products),
        "DAGSTER_HOME": dagster_home,
        "dagster-shell": dagster_shell,
        "sources here": partial(local_sources, site),
    }
