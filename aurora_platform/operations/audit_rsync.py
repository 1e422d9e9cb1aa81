"""Audits the version of a working rsync, local or on a host: does it have the security fixes?

rsync 3.5.0 of August 2026 closed 33 vulnerabilities; 3.4.3 and 3.4.0 closed six each before (NEWS.md of rsync has the
CVE numbers). Some of them allow the remote end, or anyone who can make links in a copied tree, to read, write or break
files that are not theirs. Distributions fix old versions too (Debian: 3.2.7-1+deb12uN), and ``rsync --version`` does
not show that. So an older version is a warning: neither a failure nor OK.
"""

import re

from aurora_platform.operations.audit_result import AuditLine, Level

FIXED = (3, 5, 0)
_FIXED = ".".join(map(str, FIXED))


def audit_rsync_version(component: str, version_line: str, where: str = "") -> AuditLine:
    """Audit an rsync that is new enough to work, by the first line of ``rsync --version``.

    ``where`` is part of the next step: `` on the host``, or empty for this machine.
    """
    found = re.search(r"(\d+(?:\.\d+)+)(pre|dev)?", version_line)
    if found and tuple(map(int, found[1].split("."))) >= FIXED and not found[2]:
        return AuditLine(component, Level.OK, version_line)
    what = (
        f"{version_line}: below {_FIXED}, which closed 33 vulnerabilities; the package of a distribution may have the "
        "fixes although its version is lower"
    )
    step = (
        f"install rsync {_FIXED} or later{where}, or check that the package has the fixes (CVE-2026-53783 and later; "
        "Debian: zgrep CVE /usr/share/doc/rsync/changelog.Debian.gz)"
    )
    return AuditLine(component, Level.WARN, what, step)
