"""The grounds of a site: the directories whose file systems it relies on, and what follows from what each gives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from aurora_platform.config.hosts import ArchiveDirectory
from aurora_platform.config.site import Site
from aurora_platform.errors import AuroraError
from aurora_platform.fs.abilities import MOUNTS, Abilities, FileSystemRecords, describe_mtimes, mount_of, quota_of
from aurora_platform.fs.disk_errors import describe_os_error
from aurora_platform.layout import WXCAM, ArchiveLayout, Layout, check_state
from aurora_platform.operations.audit_result import AuditLine, Level, level_by_limits
from aurora_platform.text import human_size

_FULL_WARN, _FULL_FAIL = 80.0, 95.0  # % of a quota
_BEST = "ext4, xfs or btrfs"
_COARSE_BY_TYPE = {
    **dict.fromkeys(("vfat", "msdos", "fat", "exfat", "hfsplus"), "coarse mtimes"),
    **dict.fromkeys(("cifs", "smb3", "ntfs", "ntfs3", "fuseblk"), "mtimes of 100 ns"),
}


def grounds_of(site: Site) -> dict[str, Path]:
    """The directories on this machine whose file systems matter, by the name of what lies there."""
    layout = Layout.of(site)
    found = {"raw": layout.raw, **{f"raw of {name}": layout.raw_root(name) for name in site.streams}}
    found |= {"products": layout.products, "state": layout.state, "manifests": layout.manifests}
    if WXCAM in site.streams:
        found["products of wxcam"] = layout.camera.products
    if site.archive and any(isinstance(host, ArchiveDirectory) for host in site.archive.hosts):
        archive = ArchiveLayout.of(site.archive)
        found |= {"archive raw": Path(archive.raw), "archive products": Path(archive.products)}
    return found


def learn(site: Site, *names: str) -> dict[str, Abilities]:
    """Learn what the file systems of some grounds give, unless it is known; for a run that begins to write there.

    A directory that is missing or cannot be written is left out: the run itself tells why.

    Raises
    ------
    NewerError, LayoutError
        If this Aurora must not write to the state directory.
    """
    check_state(site.paths.state)
    records, grounds, found = FileSystemRecords(Layout.of(site).file_systems), grounds_of(site), dict[str, Abilities]()
    for name in names:
        with suppress(OSError, AuroraError):
            if grounds[name].is_dir():
                found[name] = records.learn(grounds[name])
    return found


def audits(site: Site, *, anew: bool = False) -> dict[str, partial[Iterator[AuditLine]]]:
    """The audit of each ground, by its component; ``anew`` tries each, with a file that is removed at once."""
    return {f"ground {name}": partial(_audit, site, name, path, anew) for name, path in grounds_of(site).items()}


def _audit(site: Site, name: str, path: Path, anew: bool) -> Iterator[AuditLine]:
    component, records = f"ground {name}", FileSystemRecords(Layout.of(site).file_systems)
    if not path.is_dir():
        yield AuditLine(component, Level.OK, f"{path}: not made yet")
        return
    try:
        found = records.learn_anew(path) if anew else records.get(path)
    except OSError as error:
        yield AuditLine(component, Level.FAIL, describe_os_error(error))
        return
    if found is None:
        yield _guess(component, path)
    else:
        deficits = list(_deficits(name, path, found))
        level = max((level for level, _ in deficits), key=list(Level).index, default=Level.OK)
        what = "; ".join([f"{found.kind}: {describe_mtimes(found.mtime_step_ns)}", *(text for _, text in deficits)])
        step = "" if level is Level.OK else f"no action is needed for a warning; {_BEST} give everything"
        if level is Level.FAIL:
            step = f"keep it on {_BEST}, on a disk of this machine"
        yield AuditLine(component, level, what if deficits else f"{what}, links, exchange, locks, WAL", step)
    yield from _audit_quota(component, path)


def _guess(component: str, path: Path) -> AuditLine:
    kind = mount_of(path, MOUNTS).kind
    what = f"{kind}: not tried yet; the first run tries it, or `aurora audit --deep` now"
    if kind in _COARSE_BY_TYPE:
        return AuditLine(component, Level.WARN, f"{what}. By its type: {_COARSE_BY_TYPE[kind]}")
    return AuditLine(component, Level.OK, what)


def _deficits(name: str, path: Path, found: Abilities) -> Iterator[tuple[Level, str]]:
    """Yield what a ground does not give where it matters, and what follows from that."""
    is_state, is_raw = name == "state", name.startswith(("raw", "archive"))
    if found.mtime_step_ns == 0 and is_raw:
        yield Level.FAIL, "a copy cannot be told from another version of its file, so nothing is copied"
    elif found.mtime_step_ns > 1 and is_raw:
        yield Level.WARN, "mtimes are compared by that"
    if not found.has_links and not is_state:
        yield Level.WARN, "no hard links, so files that do not change are copied (pixels of a day, manifests, uploads)"
    if not found.has_exchange and name in ("products", "manifests"):
        yield Level.WARN, "no exchange, so a rebuilt day is missing for a moment while it gets its name"
    if not found.has_locks and is_state:
        yield Level.FAIL, "no file locks, so two runs could write the same file: every run refuses to begin"
    if not found.has_shared_memory and (is_state or name == "products"):
        yield Level.FAIL, "SQLite has no shared memory there, so its databases cannot be opened"
    if found.apart:
        where = ", ".join(str(path / entry) for entry in found.apart[:3])
        yield Level.WARN, f"no rename into {where}, so each file there is written twice"


def _audit_quota(component: str, path: Path) -> Iterator[AuditLine]:
    if (quota := quota_of(path)) is not None:
        used = 100 * quota.used / quota.limit
        level = level_by_limits(used, _FULL_WARN, _FULL_FAIL)
        what = (
            f"quota on {quota.directory}: {human_size(quota.free)} free of {human_size(quota.limit)}, {used:.0f} % used"
        )
        step = "" if level is Level.OK else "make room below it, or ask for a larger quota"
        yield AuditLine(f"{component} quota", level, what, step)
