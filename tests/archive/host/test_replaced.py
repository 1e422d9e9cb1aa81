"""A finalized file that changes on its host replaces the copy in the archive, and the earlier version is kept."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from aurora_platform.archive.change_rule import Change
from aurora_platform.archive.ledger import Item, Ledger
from aurora_platform.archive.push_plan import Pushing, push_finalizations
from aurora_platform.archive.replacement_log import EarlierVersion, KeptVersions
from aurora_platform.config.archive import Archive
from aurora_platform.config.hosts import SshHost
from aurora_platform.errors import ArchiveError, TransferError
from aurora_platform.fs.versions import FileVersion
from aurora_platform.layout import ArchiveLayout, Layout, raw_group
from aurora_platform.transport.protocols import ArchiveHost, TransferResult
from tests.archive.parts import adds_up
from tests.archive.places import DAY, STREAM
from tests.archive.pushed import PushedSite, hosts_of_kind

NAME = "0/met_20260305_000.csv"
OTHER = "1/met_20260305_001.csv"


BOTH_KINDS = pytest.mark.parametrize("site", ["ssh", "local"], indirect=True)


@pytest.fixture
def site(request: pytest.FixtureRequest, tmp_path: Path, hosts: tuple[SshHost, ...]) -> PushedSite:
    """A finalized day of six files; the archive is of the kind that the test asks for, by default this machine."""
    site = PushedSite(tmp_path, {"revisable": "3650d"})
    site.hosts = hosts_of_kind(getattr(request, "param", "local"), hosts)
    site.finalize()
    return site


def rewrite(site: PushedSite, text: bytes, *names: str) -> None:
    """Rewrite files on the host and in the local tree, as the mirror would, then verify."""
    for number, name in enumerate(names):
        for side in ("source", "local"):
            site.write(side, name, text, number=100 + number)
    assert site.verify_and_publish().report.days[0].verdict.is_final is False


def contents_in_archive(site: PushedSite) -> set[bytes]:
    """The content of every file on the archive's disk."""
    return {place.read_bytes() for place in (site.home / "far").rglob("*") if place.is_file()}


def kept(site: PushedSite) -> list[tuple[str, bytes]]:
    """Every earlier version that the archive keeps: path and content, oldest first."""
    root = Path(ArchiveLayout.of(site.archive_settings).versions)
    places = sorted(place for place in root.rglob("*") if place.is_file())
    return [("/".join(place.relative_to(root).parts[1:]), place.read_bytes()) for place in places]


@BOTH_KINDS
def test_the_finalized_version_is_kept_when_the_host_rewrites_the_file(site: PushedSite) -> None:
    versions = [site.place("gws", NAME).read_bytes()]
    for text in (b"anew", b"and once more"):
        rewrite(site, text, NAME)
        assert len(site.raw_backlog().days) == 1
        report = site.push()
        assert set(versions) <= contents_in_archive(site), "the archive still has the good copy"
        assert (report.files, report.replaced.first) == (1, [str(site.place("gws", NAME))])
        assert adds_up(report)
        assert report.kept_in[0] in report.summary()
        assert kept(site) == [(f"{STREAM}/{NAME}", version) for version in versions]
        assert site.place("gws", NAME).read_bytes() == text
        versions.append(text)
        assert site.verify_and_publish().report.days[0].verdict.is_final, "complete again, with the version of the host"
        assert (site.push().files, site.push().kept_in) == (0, ())
    with site.ledger() as ledger:
        rows = ledger.replaced.since("gws", raw_group(STREAM), datetime.now(UTC) - timedelta(minutes=10))
        kept_versions = ledger.replaced.kept("gws")
    assert [row.remote_path for row in rows] == [str(site.place("gws", NAME))] * 2
    assert kept_versions == KeptVersions(2, sum(len(version) for version in versions[:-1]))
    assert not any(Path(rows[0].kept_in).is_relative_to(root) for root in ArchiveLayout.of(site.archive_settings).roots)


def test_after_a_lost_ledger_archived_files_are_not_sent_again_and_get_no_second_copy(site: PushedSite) -> None:
    Layout.of(site.site).ledger.unlink()
    site.place("gws", OTHER).unlink()
    report = site.push()
    assert (report.files, report.literal_bytes) == (6, site.place("local", OTHER).stat().st_size)
    assert site.place("gws", OTHER).read_bytes() == site.place("local", OTHER).read_bytes()
    assert (report.replaced.total, kept(site)) == (0, [])


@dataclass
class Faulty:
    """A real host with another ``send``."""

    host: ArchiveHost
    send: Callable[..., TransferResult]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.host, name)


def breaking(host: ArchiveHost) -> Faulty:
    """A host whose connection breaks after all files arrived, before they are listed."""

    def send(*arguments: Any) -> TransferResult:
        result = host.send(*arguments)
        if not Path(arguments[2], STREAM, NAME).exists():
            return result  # the withdrawn finalization
        Path(arguments[2], STREAM, NAME).write_bytes(b"half")  # a second attempt replaces this
        raise TransferError(f"the connection broke: {result}")

    return Faulty(host, send)


def dead(host: ArchiveHost) -> Faulty:
    """A host that cannot send any file."""

    def send(*_: Any) -> TransferResult:
        raise TransferError("the connection broke")

    return Faulty(host, send)


@pytest.mark.parametrize("site", ["ssh"], indirect=True)
def test_a_second_attempt_by_another_host_does_not_overwrite_the_versions_kept_by_the_first(
    site: PushedSite,
) -> None:
    good = site.place("gws", NAME).read_bytes()
    rewrite(site, b"anew", NAME)
    first = site.archive_settings.hosts[0].report_name
    report = site.push(lambda host: breaking(host) if host.name.startswith(first) else host)
    assert (report.files, len(report.host_errors)) == (1, 1)
    assert site.place("gws", NAME).read_bytes() == b"anew"
    assert kept(site) == [(f"{STREAM}/{NAME}", good), (f"{STREAM}/{NAME}", b"half")]


def reported_replacements(site: PushedSite) -> list[str]:
    with site.ledger() as ledger:
        rows = ledger.replaced.since("gws", raw_group(STREAM), datetime.now(UTC) - timedelta(minutes=10))
    return [row.remote_path for row in rows]


def test_a_failed_transfer_is_not_reported_as_a_replacement(site: PushedSite) -> None:
    rewrite(site, b"anew", NAME)
    for _ in range(2):
        with pytest.raises(ArchiveError, match="the connection broke"):
            site.push(dead)
        assert reported_replacements(site) == []
    assert site.push().replaced.total == 1
    assert reported_replacements(site) == [str(site.place("gws", NAME))]


def test_the_replacements_of_a_killed_run_are_reported_by_the_next_run(site: PushedSite) -> None:
    good = site.place("gws", NAME).read_bytes()
    rewrite(site, b"anew", NAME, OTHER)
    keep_in = Path(ArchiveLayout.of(site.archive_settings).versions) / "20260401T000000.000000Z_raw.met"
    with (
        site.ledger() as ledger
    ):  # as a killed run leaves it: one file is replaced, the other has no complete earlier version
        earlier = [
            EarlierVersion(
                str(site.place("gws", name)),
                f"{STREAM}/{name}",
                len(good),
            )
            for name in (NAME, OTHER)
        ]
        ledger.replaced.begin("gws", raw_group(STREAM), str(keep_in), earlier)
    (keep_in / STREAM / NAME).parent.mkdir(parents=True)
    site.place("gws", NAME).rename(keep_in / STREAM / NAME)
    (keep_in / STREAM / OTHER).parent.mkdir(parents=True)
    (keep_in / STREAM / OTHER).write_bytes(b"no who")
    report = site.push()
    assert sorted(reported_replacements(site)) == sorted(str(site.place("gws", name)) for name in (NAME, OTHER))
    assert any(f"{OTHER} is not a complete copy" in note for note in report.notes)
    assert str(keep_in) in report.kept_in


@BOTH_KINDS
def test_a_symlink_in_the_archive_in_place_of_a_finalized_file_is_not_replaced(site: PushedSite) -> None:
    place = site.place("gws", NAME)
    elsewhere = site.home / "another disk"
    place.rename(elsewhere)
    place.symlink_to(elsewhere)
    good = elsewhere.read_bytes()
    rewrite(site, b"anew", NAME)
    report = site.push()
    assert (report.files, report.failed.total) == (0, 1)
    assert "an entry of this name that is not a file" in report.failed.first[0]
    assert place.is_symlink()
    assert elsewhere.read_bytes() == good


def test_a_day_that_is_finalized_during_a_push_keeps_its_version(tmp_path: Path, hosts: tuple[SshHost, ...]) -> None:
    site = PushedSite(tmp_path, {"revisable": "3650d"})
    site.hosts = hosts[:1]
    site.fill(2, sides=["source", "local"])
    assert site.push().files == 2
    good = site.place("gws", NAME).read_bytes()

    def begin(ledger: Ledger) -> Callable[..., list[Item]]:
        real_to_send = ledger.to_send

        def to_send(*arguments: Any) -> list[Item]:
            found = real_to_send(*arguments)
            with suppress(FileNotFoundError):  # at the first call the day is not finalized yet
                (site.home / "elsewhere").rename(site.records.finalizations(STREAM).directory)
            return found

        return to_send

    assert site.verify_and_publish().report.days[0].verdict.is_final
    for side in ("source", "local"):
        site.write(side, NAME, b"anew", number=100)
    site.verify_and_publish()
    site.records.finalizations(STREAM).directory.rename(site.home / "elsewhere")
    with site.ledger() as ledger:
        ledger.to_send = begin(ledger)  # type: ignore[method-assign]
        report = Pushing(site.site, site.archive_settings, site.archive_hosts(), ledger).raw(STREAM, [DAY])
    assert (report.files, report.replaced.total) == (1, 1)
    assert kept(site) == [(f"{STREAM}/{NAME}", good)]


def test_a_failed_directory_for_earlier_versions_is_named_and_stops_no_other_file(site: PushedSite) -> None:
    good = site.place("gws", NAME).read_bytes()
    rewrite(site, b"anew", NAME)
    for side in ("source", "local"):
        site.write(side, "0/met_20260305_late.csv", b"recovered")
    Path(ArchiveLayout.of(site.archive_settings).versions).write_bytes(b"a file where the directory should be")
    with pytest.raises(ArchiveError, match=r"raw\.versions"):
        site.push()
    assert site.place("gws", "0/met_20260305_late.csv").read_bytes() == b"recovered"
    assert site.place("gws", NAME).read_bytes() == good


def fetch_a_new_version(site: PushedSite) -> Path:
    """Copy the finalization to the archive, then let the mirror fetch a new version; returns the finalization."""
    with site.ledger() as ledger:
        pushing = Pushing(site.site, site.archive_settings, site.archive_hosts(), ledger)
        push_finalizations(site.records, pushing, STREAM, [DAY])
    for side in ("source", "local"):
        site.write(side, NAME, b"anew", number=100)
    with site.records.evidence() as evidence:
        change = Change(NAME, DAY, FileVersion.of(site.place("local", NAME).stat()))
        evidence.changes.store(STREAM, [change], {DAY: 6}, date.min)
    [word] = (site.home / "far/manifests").rglob("*_finalized.yaml")
    return word


def test_a_finalization_is_withdrawn_in_the_archive_before_a_file_of_its_day_is_replaced(site: PushedSite) -> None:
    word, seen = fetch_a_new_version(site), []

    def watching(host: ArchiveHost) -> Faulty:
        def send(*arguments: Any) -> TransferResult:
            result = host.send(*arguments)
            seen.append((Path(arguments[2]).name, yaml.safe_load(word.read_bytes())["complete"]))
            return result

        return Faulty(host, send)

    assert site.push(watching).replaced.total == 1
    assert seen == [("manifests", False), ("raw", False)]
    local = site.records.finalizations(STREAM).read(DAY)
    assert local is not None
    assert (local.complete, local.why) == (False, "1 file got a new version; all are verified again")
    assert site.verify_and_publish().report.days[0].verdict.is_final


def test_nothing_is_replaced_where_the_archive_does_not_take_the_withdrawal(site: PushedSite) -> None:
    good = site.place("gws", NAME).read_bytes()
    word = fetch_a_new_version(site)
    word.unlink()
    (word / "in the way").mkdir(parents=True)
    with pytest.raises(ArchiveError, match="cannot be withdrawn in the archive"):
        site.push()
    assert site.place("gws", NAME).read_bytes() == good


@pytest.mark.parametrize(
    ("places", "kept"),
    [
        ({"raw": "/gws/raw", "products": "/gws/products"}, "/gws/raw.versions"),
        ({"raw": "/gws/raw/", "products": "/gws/products"}, "/gws/raw.versions"),
        ({"raw": "/gws/data/raw", "products": "/gws"}, "/gws.versions"),
        ({"raw": "/gws/raw", "products": "/p", "manifests": "/gws"}, "/gws.versions"),
        ({"raw": "/gws/raw", "products": "/p", "versions": "/other/place"}, "/other/place"),
    ],
)
def test_earlier_versions_are_kept_outside_of_every_root_of_the_archive(places: dict[str, str], kept: str) -> None:
    host = SshHost(address="127.0.0.9", user="nobody", auth="none")
    archive = Archive(hosts=(host,), **places)
    assert ArchiveLayout.of(archive).versions == kept
    for root in ArchiveLayout.of(archive).roots:
        inside = f"{root.rstrip('/')}/below"
        with pytest.raises(ValidationError, match="versions: must be outside of"):
            Archive(hosts=(host,), **(places | {"versions": inside}))


def test_the_directory_of_earlier_versions_may_have_its_earlier_name() -> None:
    host = SshHost(address="127.0.0.9", user="nobody", auth="none")
    archive = Archive(hosts=(host,), raw="/gws/raw", products="/gws/products", replaced="/gws/earlier")
    assert ArchiveLayout.of(archive).versions == "/gws/earlier"
    with pytest.raises(ValidationError, match="replaced is the earlier name of versions"):
        Archive(hosts=(host,), raw="/gws/raw", products="/gws/products", replaced="/gws/a", versions="/gws/b")
