"""Audits file systems: the resolution of mtimes, and whether a finished file can be renamed to its final path.

It writes nothing: the resolution comes from the record of the mirror, or from the type of the file system.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from aurora_platform.config.site import Site
from aurora_platform.fs.atomic import nearest
from aurora_platform.layout import INCOMING, STAGING, Layout
from aurora_platform.mirror.mtime_resolution import device_of, read_resolution
from aurora_platform.mirror.work_directory import incoming_directory
from aurora_platform.operations.audit_result import AuditLine, Level

MOUNTS = Path("/proc/thread-self/mounts")
# mtime resolution of file systems that store less than Linux gives.
_COARSE_MTIMES = {
    **dict.fromkeys(("vfat", "msdos", "fat"), "2 s"),
    "hfsplus": "1 s",
    "exfat": "10 ms",
    **dict.fromkeys(("cifs", "smb3", "ntfs", "ntfs3", "fuseblk"), "100 ns"),
    "ceph": "1 us before Linux 5.3",
}
_NO_ACTION = "no action is needed; ext4, xfs and btrfs store the full mtime"


def file_system(path: Path, mounts: str) -> str:
    """Return the type of the file system that holds ``path``, from the text of ``/proc/mounts``."""
    best, kind = -1, "unknown"
    for mount_point, mounted_kind in _mounted(mounts):
        # Of several mounts on the same directory, the last one hides the others.
        if path.is_relative_to(mount_point) and len(Path(mount_point).parts) >= best:
            best, kind = len(Path(mount_point).parts), mounted_kind
    return kind


def _mounted(mounts: str) -> Iterator[tuple[str, str]]:
    """Yield mount points and file system types."""
    for line in mounts.splitlines():
        fields = line.split(" ")
        yield re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[1]), fields[2]


def raw_mtimes(site: Site, mounts: Path = MOUNTS) -> Iterator[AuditLine]:
    """Audit the resolution of the mtimes that the mirror compares."""
    coarse = False
    for name, stream in site.streams.items():
        root = Layout.of(site).raw_root(name)
        kind, kept = _kind(root, mounts), read_resolution(incoming_directory(root, stream.raw))
        if kept.step_ns > 1:
            what = f"{kind} stores mtimes with a resolution of {kept}, measured by the mirror; it compares with that"
        elif kind in _COARSE_MTIMES:
            what = (
                f"{kind} stores mtimes with a resolution of {_COARSE_MTIMES[kind]} (by its type); the mirror will "
                "measure it and compare with that"
            )
        else:
            continue
        coarse = True
        yield AuditLine("raw mtimes", Level.WARN, f"{name}: {what}", _NO_ACTION)
    if not coarse:
        yield AuditLine("raw mtimes", Level.OK, f"the full mtime is stored ({_kind(site.paths.raw, mounts)})")


def work_directories(site: Site, mounts: Path = MOUNTS) -> Iterator[AuditLine]:
    """Audit whether a received file can be renamed to its final path, which is impossible between two devices."""
    mount_points = [Path(mount_point) for mount_point, _ in _mounted(mounts.read_text())]
    shared = Layout.of(site).raw / INCOMING
    used_by_root: dict[Path, tuple[str, Path]] = {}
    for name, stream in site.streams.items():
        root = Layout.of(site).raw_root(name)
        if root not in used_by_root:
            used_by_root[root] = name, incoming_directory(root, stream.raw)
    for root, (name, used) in used_by_root.items():
        if used != shared:
            yield AuditLine(
                "raw work directory", Level.OK, f"{name}: {used}, because files cannot be renamed from {shared} to it"
            )
        below_root = (
            point for point in mount_points if point != root.resolve() and point.is_relative_to(root.resolve())
        )
        for mount_point in below_root:
            what = f"{name}: {mount_point} is another disk: each file there is copied twice and needs twice its space"
            yield AuditLine("raw work directory", Level.WARN, what, f"mount the disk at {root}")
    if all(used == shared for _, used in used_by_root.values()):
        yield AuditLine("raw work directory", Level.OK, f"{shared}, on the device of every stream")


def staging(products: Path) -> Iterator[AuditLine]:
    """Audit whether products can be renamed from the staging directory to their final path."""
    device, entries = device_of(products), sorted(products.iterdir()) if products.is_dir() else []
    on_other_device = [
        entry for entry in entries if entry.is_dir() and entry.name[0] != "." and device_of(entry) != device
    ]
    for directory in on_other_device:
        what = f"{directory} is on another device than {products / STAGING}: no product can be published there"
        yield AuditLine("products staging", Level.WARN, what, "keep all of paths.products on one file system")
    if not on_other_device:
        yield AuditLine("products staging", Level.OK, "products are staged on the device where they are published")


def _kind(path: Path, mounts: Path) -> str:
    return file_system(nearest(path).resolve(), mounts.read_text())
