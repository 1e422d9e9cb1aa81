"""Audits the work directories of the mirror: can a received file be renamed to its final path? It writes nothing."""

from collections.abc import Iterator
from pathlib import Path

from aurora_platform.config.site import Site
from aurora_platform.fs.abilities import MOUNTS, read_mounts
from aurora_platform.layout import INCOMING, Layout
from aurora_platform.mirror.work_directory import incoming_directory
from aurora_platform.operations.audit_result import AuditLine, Level


def work_directories(site: Site, mounts: Path = MOUNTS) -> Iterator[AuditLine]:
    """Audit whether a received file can be renamed to its final path, which is impossible between two devices."""
    mount_points = [Path(mount.point) for mount in read_mounts(mounts)]
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
