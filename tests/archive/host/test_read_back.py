"""Copies are trusted, but some are fetched again and hashed on this machine: what an archive host says is no proof."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from aurora_platform.archive.push_plan import Pushing
from aurora_platform.archive.read_back import SampledReadBack
from aurora_platform.archive.retention import retire
from aurora_platform.archive.stores import Records
from aurora_platform.config.archive import Retention
from aurora_platform.config.hosts import SshHost
from aurora_platform.errors import TransferError
from aurora_platform.fs.staging import Staging
from aurora_platform.fs.versions import FileVersion
from aurora_platform.layout import Layout
from aurora_platform.transport.checksums import Checksum, LocalHasher
from aurora_platform.transport.protocols import ArchiveHost, Hasher, TransferResult
from tests.archive.parts import Observatory, adds_up, write_raw
from tests.archive.places import DAY, STREAM
from tests.archive.pushed import PushedSite

FILES = {f"20260305_{number}.csv": b"x" * (100 + number) for number in range(6)}


@dataclass
class Changed:
    """A real archive host that does something to the files after they have arrived."""

    host: ArchiveHost
    change: Callable[[Path], None]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.host, name)

    def send(self, *arguments: Any) -> TransferResult:
        result = self.host.send(*arguments)
        for path in arguments[1]:
            self.change(Path(arguments[2], path))
        return result


def flip(place: Path) -> None:
    """Change a byte, but neither size nor mtime: no listing shows it."""
    status, content = place.stat(), bytearray(place.read_bytes())
    content[0] ^= 1
    place.write_bytes(content)
    os.utime(place, ns=(status.st_atime_ns, status.st_mtime_ns))


def push(observatory: Observatory, share: float, change: Callable[[Path], None] = lambda place: None) -> Any:
    archive = observatory.archive.model_copy(update={"read_back": share})
    hosts = [Changed(host, change) for host in observatory.archive_hosts]
    with observatory.ledger() as ledger:
        return Pushing(observatory.site, archive, hosts, ledger).raw(STREAM, [DAY])


@pytest.mark.parametrize(("share", "expected"), [(1.0, 6), (0.0001, 1), (0.0, 0)])
def test_a_share_of_the_copied_files_is_read_back_and_at_least_one(
    observatory: Observatory, share: float, expected: int
) -> None:
    write_raw(observatory, FILES)
    report = push(observatory, share)
    assert (report.files, report.read_back, report.read_back_wrong.total) == (6, expected, 0)
    assert push(observatory, share).read_back == 0, "nothing was copied"
    assert list((observatory.home / "raw/.outgoing").iterdir()) == []


def test_a_file_with_other_bytes_in_the_archive_does_not_count_as_copied(observatory: Observatory) -> None:
    write_raw(observatory, FILES)
    report = push(observatory, 1.0, lambda place: flip(place) if place.name == "20260305_2.csv" else None)
    assert (report.files, report.read_back, report.failed.total) == (5, 6, 1)
    assert report.read_back_wrong.first == [
        f"{observatory.gws}/raw/met/20260305_2.csv: the archive has other bytes, read back from it"
    ]
    assert adds_up(report)
    report = push(observatory, 1.0)
    assert (report.files, report.read_back_wrong.total) == (1, 0), "it is sent again"
    assert (observatory.gws / "raw/met/20260305_2.csv").read_bytes() == FILES["20260305_2.csv"]


def test_a_file_that_cannot_be_read_back_is_reported_and_the_push_goes_on(observatory: Observatory) -> None:
    class Refusing(Changed):
        def fetching(self) -> Any:
            class Broken:
                def fetch(self, *_: Any, **__: Any) -> TransferResult:
                    raise TransferError("the connection broke")

            return Broken()

    write_raw(observatory, FILES)
    hosts = [Refusing(host, lambda place: None) for host in observatory.archive_hosts]
    with observatory.ledger() as ledger:
        report = Pushing(observatory.site, observatory.archive, hosts, ledger).raw(STREAM, [DAY])
    assert (report.files, report.read_back, report.read_back_failed.total) == (6, 0, 1)
    assert "the connection broke" in report.read_back_failed.first[0]


def test_the_sample_is_random_and_never_empty(observatory: Observatory, tmp_path: Path) -> None:
    write_raw(observatory, FILES)
    versions = {name: FileVersion.of((observatory.raw / name).stat()) for name in FILES}
    staging = Staging(tmp_path / "private", tmp_path / "locks")
    fetching = observatory.archive_hosts[0].fetching()
    sizes = set()
    for seed in range(5):
        sampled = SampledReadBack(0.01, staging, "sample", Random(seed))
        assert sampled.check(fetching, str(observatory.raw), observatory.raw, versions) == {}
        assert sampled.files == 1
        sizes.add(sampled.bytes)  # each file has a size of its own
    assert len(sizes) > 1


@dataclass(frozen=True)
class Lying:
    """An archive host whose program answers with the checksums that are expected, whatever is on its disk."""

    real: Path

    def checksums(self, root: str, paths: Sequence[str]) -> Iterator[Checksum]:
        return LocalHasher().checksums(str(self.real), paths)


def test_retire_deletes_nothing_on_the_word_of_a_lying_archive(tmp_path: Path, hosts: tuple[SshHost, ...]) -> None:
    site = PushedSite(tmp_path)
    site.hosts = hosts[:1]
    names = site.finalize()
    good = {name: site.place("local", name).read_bytes() for name in names}
    site.flip("gws", names[0])
    records = Records(site.site.model_copy(update={"retention": Retention(raw={STREAM: timedelta(days=30)})}))
    [local], [archive] = site.places()["local"], site.places()["gws"]
    lying: Hasher = Lying(site.place("local"))
    done = retire(records, STREAM, local, replace(archive, hasher=lying), dry_run=False)
    assert (done.files, list(done.kept)) == (5, ["DIFFERENT in the archive"])
    assert site.place("local", names[0]).read_bytes() == good[names[0]]
    archived = {site.place("gws", name).read_bytes() for name in names[1:]}
    assert archived == {good[name] for name in names[1:]}, "what was deleted here is in the archive"
    assert not any((Layout.of(site.site).raw / ".outgoing").iterdir())
