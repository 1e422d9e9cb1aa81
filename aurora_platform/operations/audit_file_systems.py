"""What an audit says of file systems: what they keep of an mtime, and whether a finished file can get its name.

It writes nothing: what a file system keeps is what the mirror has found and written down, or what its type is known
for.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from aurora_platform.config.site import Site
from aurora_platform.fs.atomic import nearest
from aurora_platform.layout import INCOMING, STAGING, Layout
from aurora_platform.mirror.mtime_resolution import device_of, recorded
from aurora_platform.mirror.work_directory import incoming
from aurora_platform.operations.audit_result import AuditLine, Level

MOUNTS = Path("/proc/thread-self/mounts")
# What file systems are known to keep of an mtime, where that is not all of it.
_COARSE = {
    **dict.fromkeys(("vfat", "msdos", "fat"), "2 s"),
    "hfsplus": "1 s",
    "exfat": "10 ms",
    **dict.fromkeys(("cifs", "smb3", "ntfs", "ntfs3", "fuseblk"), "100 ns"),
    "ceph": "1 us before Linux 5.3",
}
_KEEP_ON = "nothing has to be done; on ext4, xfs or btrfs all of an mtime is kept"


def file_system(path: Path, mounts: str) -> str:
    """The type of the file system that holds ``path``, from the text of ``/proc/mounts``."""
    best, kind = -1, "unknown"
    for place, its_kind in _mounted(mounts):
        # The last of those with the same place lies on top of the others.
        if path.is_relative_to(place) and len(Path(place).parts) >= best:
            best, kind = len(Path(place).parts), its_kind
    return kind


def _mounted(mounts: str) -> Iterator[tuple[str, str]]:
    """Where something is mounted, and its type."""
    for line in mounts.splitlines():
        fields = line.split(" ")
        yield re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[1]), fields[2]


def raw_mtimes(site: Site, mounts: Path = MOUNTS) -> Iterator[AuditLine]:
    """What is kept of the mtimes that the mirror compares."""
    coarse = False
    for name, stream in site.streams.items():
        root = Layout.of(site).raw_root(name)
        kind, kept = _kind(root, mounts), recorded(incoming(root, stream.raw))
        if kept.step_ns > 1:
            said = f"{kind} keeps {kept} of an mtime, as the mirror has found: compared by what is kept"
        elif kind in _COARSE:
            said = f"{kind} is known to keep {_COARSE[kind]} of an mtime: compared by what the mirror finds there"
        else:
            continue
        coarse = True
        yield AuditLine("raw mtimes", Level.WARN, f"{name}: {said}", _KEEP_ON)
    if not coarse:
        yield AuditLine("raw mtimes", Level.OK, f"all of an mtime is kept ({_kind(site.paths.raw, mounts)})")


def work_directories(site: Site, mounts: Path = MOUNTS) -> Iterator[AuditLine]:
    """Whether what arrives can be renamed to its name: not from one device to another."""
    places = [Path(place) for place, _ in _mounted(mounts.read_text())]
    shared = Layout.of(site).raw / INCOMING
    used_of: dict[Path, tuple[str, Path]] = {}
    for name, stream in site.streams.items():
        root = Layout.of(site).raw_root(name)
        if root not in used_of:
            used_of[root] = name, incoming(root, stream.raw)
    for root, (name, used) in used_of.items():
        if used != shared:
            yield AuditLine(
                "raw work directory", Level.OK, f"{name}: no rename leads there from {shared}: {used} is used"
            )
        for below in (one for one in places if one != root.resolve() and one.is_relative_to(root.resolve())):
            what = f"{name}: {below} is another disk: what arrives there is copied twice, and needs twice its room"
            yield AuditLine("raw work directory", Level.WARN, what, f"mount the disk at {root}")
    if all(used == shared for _, used in used_of.values()):
        yield AuditLine("raw work directory", Level.OK, f"{shared}, on the device of every stream")


def staging(products: Path) -> Iterator[AuditLine]:
    """Whether products can be renamed from where they are made."""
    device, there = device_of(products), sorted(products.iterdir()) if products.is_dir() else []
    elsewhere = [one for one in there if one.is_dir() and one.name[0] != "." and device_of(one) != device]
    for one in elsewhere:
        what = f"{one} is on another device than {products / STAGING}: no product can be published there"
        yield AuditLine("products staging", Level.WARN, what, "keep all of paths.products on one file system")
    if not elsewhere:
        yield AuditLine("products staging", Level.OK, "products are made on the device where they are published")


def _kind(path: Path, mounts: Path) -> str:
    return file_system(nearest(path).resolve(), mounts.read_text())
