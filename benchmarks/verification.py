"""Verification of a far host's files: the digests of a day's images, and a whole verification pass over that day.

In use today: a session and a ``sha256sum`` for each file. The limit: hashlib over the same bytes on all cores, without
any SSH.
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
from benchmarks.hashing import by_sha256sum, hash_memory, make_files, sum_of
from benchmarks.measure import Method, WrongAnswerError, alternately
from benchmarks.remote import log_grew, openssh, output_of, remote_host
from benchmarks.subject import LIMIT, OURS, REPLACED, Bench, Figure, Result, times_faster, times_longer

FILES, BYTES = 1000, 1_000_000
EVERY = 20
"""Of so many files the one in use today does one: a thousand logins take minutes, and each costs the same."""

_ADDRESS = "127.0.0.21"


def run(bench: Bench) -> Result:
    """Measure."""
    with bench.directory() as directory, remote_host(directory, _ADDRESS) as (host, server):
        bench.log(f"making {FILES} files")
        root, known = directory / "far", directory / "known_hosts"
        paths = make_files(root, "images", FILES, BYTES)
        expected = by_sha256sum(root, paths)

        def check(answers: Mapping[str, Any]) -> None:
            wanted = {REPLACED: paths[::EVERY]}
            for name in (REPLACED, OURS):
                if answers[name] != sum_of((path, expected[path]) for path in wanted.get(name, paths)):
                    raise WrongAnswerError(f"{name}: these are not the digests of sha256sum")
            if answers[LIMIT] != FILES:
                raise WrongAnswerError(f"the limit has hashed {answers[LIMIT]} of {FILES}")

        found = alternately(
            {
                REPLACED: Method(_one_by_one, (root, paths[::EVERY], host, known)),
                LIMIT: Method(hash_memory, (root / paths[0], FILES)),
                OURS: Method(_by_session, (root, paths, host, known), before=_forget_session),
            },
            check,
            bench.rounds,
            bench.log,
        )
        # Ours: one login a run, and one before the first, which is what that run finds open and has to close.
        log_grew(server, len(paths[::EVERY]) * (bench.rounds + 1) + bench.rounds + 2)
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
    f"In use today: one after another, ssh and sha256sum on every {EVERY}th of the files; the seconds are for all.",
    "Ours begins without a session: login, question for the tool and start of its program take 0.2 s, however many "
    "files there are. So the target at the limit is our own: three times that, with as little as 1 GB to hash.",
    "The files are in the page cache. The host is on this machine: there is no network between.",
]


def _one_by_one(root: Path, paths: list[str], host: SshHost, known_hosts: Path) -> str:
    found = []
    for path in paths:
        said = output_of(openssh(host, known_hosts, shlex.join(["sha256sum", "--", f"{root}/{path}"]))).decode()
        found.append((said[66:].rstrip("\n").removeprefix(f"{root}/"), said[:64]))
    return sum_of(found)


def _by_session(root: Path, paths: list[str], host: SshHost, known_hosts: Path) -> str:
    found = Connections(Bounds(known_hosts)).hasher(host).checksums(str(root), paths)
    return sum_of((checksum.path, checksum.sha256 or checksum.error) for checksum in found)


def _forget_session(root: Path, paths: list[str], host: SshHost, known_hosts: Path) -> None:
    """The login is measured too: the session of the run before is closed."""
    session = SshSession(host, Bounds(known_hosts))
    connection, _ = session.connection()
    session.discard(connection)
