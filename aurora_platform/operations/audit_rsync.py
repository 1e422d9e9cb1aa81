"""What an audit says of an rsync that does its work, here or on a host: whether it has the fixes that are known.

rsync 3.5.0 of August 2026 closed 33 vulnerabilities, 3.4.3 and 3.4.0 six each before it (its NEWS.md has their CVE
numbers). By some of them the other end, or who may make links in a tree that is copied, reads, writes or breaks what is
not its own. Distributions mend them under the old version (Debian: 3.2.7-1+deb12uN), which ``rsync --version`` does not
say: so an older one is no failure, and no silent OK either.
"""

import re

from aurora_platform.operations.audit_result import AuditLine, Level

SAFE = (3, 5, 0)
_SAFE = ".".join(map(str, SAFE))


def judged(component: str, said: str, where: str = "") -> AuditLine:
    """The finding about an rsync of a version that is enough, by its first line; ``where`` ends what is to be done."""
    found = re.search(r"(\d+(?:\.\d+)+)(pre|dev)?", said)
    if found and tuple(map(int, found[1].split("."))) >= SAFE and not found[2]:
        return AuditLine(component, Level.OK, said)
    what = (
        f"{said}: below {_SAFE}, which closed 33 vulnerabilities; a distribution's package may have the fixes all the "
        "same, which this version does not say"
    )
    step = (
        f"install rsync {_SAFE} or later{where}, or see that the package has the fixes (CVE-2026-53783 and after; "
        "Debian: zgrep CVE /usr/share/doc/rsync/changelog.Debian.gz)"
    )
    return AuditLine(component, Level.WARN, what, step)
