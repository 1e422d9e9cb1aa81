"""Measures the verification of files on a remote host: the checksums of a day's images.

In use today: a session and a ``sha256sum`` per file. The limit: hashlib over the same bytes on all cores, without SSH.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aurora_platform.config.hosts import SshHost
from aurora_platform.transport.bounds import Bounds
from aurora_platform.transport.connections import Connections
from aurora_platform.transport.ssh_session import SshSession
from benchmarks.hashing import combine_checksums, hash_memory, make_files, run_sha256sum
from benchmarks.measure import Method, WrongAnswerError, alternately
from benchmarks.remote import openssh, output_of, remote_host, require_logins
from benchmarks.subject import LIMIT, OURS, REPLACED, Bench, Figure, Result, times_faster, times_longer

FILES, BYTES = 1000, 1_000_000
EVERY = 20
"""The method in use today does one of this many files: a thousand logins take minutes, and each costs the same."""

_ADDRESS = "127.0.0.21"


def run(bench: Bench) -> Result:
    """Measure the three methods."""
    with bench.directory() as directory, remote_host(directory, _ADDRESS) as (host, server):
        bench.log(f"making {FILES} files")
        root, known_hosts = directory / "remote", directory / "known_hosts"
        paths = make_files(root, "images", FILES, BYTES)
        expected = run_sha256sum(root, paths)

        def check(answers: Mapping[str, Any]) -> None:
            selected = {REPLACED: paths[::EVERY]}
            for name in (REPLACED, OURS):
                if answers[name] != combine_checksums((path, expected[path]) for path in selected.get(name, paths)):
                    raise WrongAnswerError(f"{name}: the checksums differ from those of sha256sum")
            if answers[LIMIT] != FILES:
                raise WrongAnswerError(f"the limit hashed {answers[LIMIT]} of {FILES} files")

        found = alternately(
            {
                REPLACED: Method(_one_by_one, (root, paths[::EVERY], host, known_hosts)),
                LIMIT: Method(hash_memory, (root / paths[0], FILES)),
                OURS: Method(_by_session, (root, paths, host, known_hosts), before=_close_session),
            },
            check,
            bench.rounds,
            bench.log,
        )
        # Ours: one login per run, and one before the first run, which that run finds open and closes.
        require_logins(server, len(paths[::EVERY]) * (bench.rounds + 1) + bench.rounds + 2)
    one_by_one = f"a session and a sha256sum for each file ({FILES // EVERY}, times {EVERY})"
    replaced, limit, ours = Figure.of(found[REPLACED], 1 / EVERY), Figure.of(found[LIMIT]), Figure.of(found[OURS])
    return Result(
        "verification",
        f"Verification: {FILES:,} files of {BYTES / 1e6:g} MB on a far host",
        [
            times_faster(one_by_one, replaced, ours, 100),
            times_longer("hashlib in memory, on all cores, no SSH", limit, ours, 3),
        ],
        _NOTES,
    )


_NOTES = [
    f"In use today: one after another, ssh and sha256sum on every {EVERY}th file; the seconds are scaled to all files.",
    "Ours begins without a session: login, detection of the tool and start of its program take 0.2 s for any number "
    "of files. So the target at the limit is our own choice: three times the limit, with only 1 GB to hash.",
    "The files are in the page cache. The host is on this machine: there is no network in between.",
]


def _one_by_one(root: Path, paths: list[str], host: SshHost, known_hosts: Path) -> str:
    checksums = []
    for path in paths:
        output = output_of(openssh(host, known_hosts, shlex.join(["sha256sum", "--", f"{root}/{path}"]))).decode()
        checksums.append((output[66:].rstrip("\n").removeprefix(f"{root}/"), output[:64]))
    return combine_checksums(checksums)


def _by_session(root: Path, paths: list[str], host: SshHost, known_hosts: Path) -> str:
    checksums = Connections(Bounds(known_hosts)).hasher(host).checksums(str(root), paths)
    return combine_checksums((checksum.path, checksum.sha256 or checksum.error) for checksum in checksums)


def _close_session(root: Path, paths: list[str], host: SshHost, known_hosts: Path) -> None:
    """Close the session of the run before, so that the login is measured too."""
    session = SshSession(host, Bounds(known_hosts))
    connection, _ = session.connection()
    session.discard(connection)
