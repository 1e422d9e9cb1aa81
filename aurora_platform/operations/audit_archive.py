"""Audits an archive in directories of this machine: is each mounted, apart from the local copies, and writable?"""

from dataclasses import dataclass
from pathlib import Path

from aurora_platform.config.archive import Archive
from aurora_platform.config.hosts import ArchiveDirectory
from aurora_platform.errors import HostError
from aurora_platform.fs.atomic import nearest
from aurora_platform.layout import ArchiveLayout
from aurora_platform.operations.audit_local import audit_space
from aurora_platform.operations.audit_result import AuditLine, Level
from aurora_platform.transport.local_archive import ArchiveDirectoryError, check_root, shared_disk


@dataclass(frozen=True)
class ArchiveDirectoryAudit:
    """The audit of an archive on this machine. It writes nothing."""

    name: str
    archive: Archive
    host: ArchiveDirectory
    local_copies: tuple[Path, ...]
    """The raw files on this machine."""

    def audit(self) -> list[AuditLine]:
        """Audit each directory of the archive, and the disks of its raw files and products."""
        layout, lines = ArchiveLayout.of(self.archive), []
        for key in ("raw", "products", "manifests", "versions"):
            path, component = getattr(layout, key), f"{self.name} {key}"
            lines.append(line := self._audit_directory(component, path))
            if key in ("raw", "products") and line.level is not Level.FAIL:
                lines.append(audit_space(component, nearest(Path(path))))
        return lines

    def _audit_directory(self, component: str, path: str) -> AuditLine:
        try:
            check_root(self.archive, self.host, self.local_copies, path)
            shared = shared_disk(path, self.local_copies)
        except ArchiveDirectoryError as error:
            return AuditLine(component, Level.FAIL, error.problem, error.next_step)
        except (HostError, OSError) as error:
            return AuditLine(component, Level.FAIL, f"{path}: {error}", "check the disk, or the file server")
        if shared:
            what = f"writable: {path}; on the same file system as {shared}, which same_disk: true allows"
            return AuditLine(component, Level.WARN, what, "use another disk for data that you want to keep")
        return AuditLine(component, Level.OK, f"writable, on another file system than the local copies: {path}")
