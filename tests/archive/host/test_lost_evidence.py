"""Evidence that is lost: a new database knows from the files of each day what the source had, and what was given up."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from aurora_platform.archive import earlier_evidence, manifest
from aurora_platform.archive.acceptance import lost_files
from aurora_platform.archive.day_records import DayRecords
from aurora_platform.archive.reports import VerifyReport
from aurora_platform.archive.vanished_files import Acceptance
from aurora_platform.errors import HostRefusedError
from aurora_platform.fs.atomic import remove
from aurora_platform.layout import SIDES
from aurora_platform.transport.listing import Listing, LocalSource
from tests.archive.places import DAY, STREAM, Observatory, name_of

NEXT = DAY + timedelta(days=1)


@pytest.fixture
def observatory(tmp_path: Path) -> Observatory:
    return Observatory(tmp_path)


def verify(observatory: Observatory, **options: bool) -> VerifyReport:
    return observatory.verify_and_publish(**options).report


def is_final(observatory: Observatory, **options: bool) -> bool:
    return verify(observatory, **options).days[0].verdict.is_final


def lose_evidence(observatory: Observatory) -> None:
    file = observatory.records.layout.fixity
    for path in file.parent.glob(f"{file.name}*"):
        path.unlink()


def files_of_day(observatory: Observatory) -> Path:
    return observatory.site.paths.manifests / "days" / STREAM / str(DAY)


def only(observatory: Observatory, kind: str) -> Path:
    """The only file of a kind of the day."""
    [path] = files_of_day(observatory).glob(f"*_{kind}.tsv")
    return path


def missing(observatory: Observatory) -> list[str]:
    with observatory.records.verification(STREAM, observatory.places()) as verification:
        return sorted(file.path for file in lost_files(verification, DAY))


def copied_of_ten(observatory: Observatory, copied: int) -> list[str]:
    """Ten files at the source, of which some were copied; verified once. Returns the names of the others."""
    names = observatory.fill(10, sides=["source"])
    observatory.fill(copied, sides=["local", "gws"])
    verify(observatory)
    return names[copied:]


def prune(observatory: Observatory, names: Sequence[str]) -> None:
    for name in names:
        observatory.place("source", name).unlink()


def accept(observatory: Observatory, names: Sequence[str], acceptance: Acceptance) -> None:
    with observatory.records.evidence() as evidence:
        expected = evidence.vanished.expected(STREAM, DAY)
        evidence.vanished.accept(STREAM, DAY, {name: expected[name] for name in names}, acceptance)


def test_files_that_the_source_had_lost_are_expected_after_the_evidence_is_lost(observatory: Observatory) -> None:
    gone = copied_of_ten(observatory, copied=6)
    prune(observatory, gone)
    assert not is_final(observatory)
    for _ in range(2):
        lose_evidence(observatory)
        assert not is_final(observatory)
        assert not is_final(observatory), "nor by the pass after it"
        assert missing(observatory) == sorted(gone)
    accept(observatory, gone, Acceptance.LOST)
    assert is_final(observatory)


@pytest.mark.parametrize("are_days_lost", [False, True])
def test_a_loss_stays_accepted_and_named_after_the_evidence_is_lost(
    observatory: Observatory, are_days_lost: bool
) -> None:
    gone = copied_of_ten(observatory, copied=8)
    prune(observatory, gone)
    verify(observatory)
    accept(observatory, gone, Acceptance.LOST)
    assert is_final(observatory)
    lose_evidence(observatory)
    if are_days_lost:
        remove(files_of_day(observatory))
    finalizations = observatory.records.finalizations(STREAM)
    for _ in range(2):
        assert is_final(observatory)
        finalization = finalizations.read(DAY)
        assert finalization is not None
        assert (finalization.revision, finalization.files, finalization.lost) == (1, 8, 2)
    listed = manifest.read(finalizations.manifest(DAY, 1))
    assert sorted(path for path, record in listed if record.error == "lost") == sorted(gone)


def test_a_pruning_stays_accepted_after_the_evidence_is_lost(observatory: Observatory) -> None:
    prune(observatory, copied_of_ten(observatory, copied=8))
    assert is_final(observatory, accept_loss=True)
    lose_evidence(observatory)
    assert is_final(observatory)


def test_files_that_the_source_loses_while_there_is_no_evidence_are_expected(tmp_path: Path) -> None:
    observatory = Observatory(tmp_path, {"settle": "5m"})
    gone = copied_of_ten(observatory, copied=8)
    unsettled = observatory.write("source", name_of(20), b"half")
    os.utime(unsettled, (time.time() - 5,) * 2)
    verify(observatory)
    lose_evidence(observatory)
    prune(observatory, [*gone, name_of(20)])
    assert not is_final(observatory)
    assert missing(observatory) == sorted(gone)


def test_files_that_were_pruned_while_there_is_no_evidence_and_are_archived_do_not_matter(
    observatory: Observatory,
) -> None:
    observatory.fill(8, sides=["source", "local"])
    observatory.fill(4, sides=["gws"])
    assert not is_final(observatory)
    lose_evidence(observatory)
    observatory.mirror_to_archive()
    prune(observatory, [name_of(number) for number in range(3)])
    assert is_final(observatory)


def test_a_source_that_loses_most_files_while_there_is_no_evidence_is_not_trusted(observatory: Observatory) -> None:
    copied_of_ten(observatory, copied=6)
    lose_evidence(observatory)
    prune(observatory, [name_of(number) for number in (0, 1, 3, 4, 6, 7, 9)])
    for _ in range(2):
        report = verify(observatory)
        assert "has lost most of the files of its last listing: 7 of 10 files" in report.errors["source"]
        assert report.days[0].verdict.source == 10
        assert not report.days[0].verdict.is_final


def test_files_are_expected_also_where_the_source_does_not_answer_the_first_time(observatory: Observatory) -> None:
    gone = copied_of_ten(observatory, copied=8)
    lose_evidence(observatory)
    prune(observatory, gone)

    class Down(LocalSource):
        """A host that is down."""

        def list(self, *_: object, **__: object) -> Listing:
            raise HostRefusedError("down")

    place = replace(observatory.places()["source"][0], source=Down())
    assert observatory.verify_and_publish(places={"source": [place]}).report.errors == {"source": "down"}
    assert not is_final(observatory)
    assert missing(observatory) == sorted(gone)


def test_what_was_given_up_stays_named_also_where_no_place_has_a_file_of_the_day(observatory: Observatory) -> None:
    observatory.fill(8, day=NEXT)
    names = observatory.fill(3, sides=["source"])
    observatory.verify_and_publish(DAY, NEXT)
    prune(observatory, names[:1])
    observatory.verify_and_publish(DAY, NEXT)
    accept(observatory, names[:1], Acceptance.LOST)
    prune(observatory, names[1:])
    observatory.verify_and_publish(DAY, NEXT, accept_loss=True)
    assert len(only(observatory, "vanished").read_text().splitlines()) == 4
    assert only(observatory, "source").read_text() == only(observatory, "gws").read_text() == manifest.HEADER
    observatory.verify_and_publish(DAY, NEXT)
    lose_evidence(observatory)
    observatory.verify_and_publish(DAY, NEXT)
    for side in SIDES:
        observatory.write(side, name_of(9), b"late")
    assert is_final(observatory)
    finalization = observatory.records.finalizations(STREAM).read(DAY)
    assert finalization is not None
    assert (finalization.files, finalization.lost) == (1, 1)


def test_every_file_is_read_again_and_a_checksum_on_disk_counts_for_no_file_that_is_listed(
    observatory: Observatory,
) -> None:
    observatory.fill(6)
    assert is_final(observatory)
    lose_evidence(observatory)
    file = only(observatory, "source")
    first, second, *rest = file.read_text().splitlines()
    file.write_text("\n".join([first, second[:-64] + "0" * 64, *rest]) + "\n")
    report = verify(observatory)
    assert report.read == {"source": 6, "local": 6, "gws": 6}
    assert (report.days[0].verdict.is_final, report.days[0].verdict.proved) == (True, 6)
    assert second in only(observatory, "source").read_text()


class TestFile:
    """The file of the vanished files of a day."""

    def test_it_names_what_is_gone_and_what_was_accepted_and_exists_only_where_a_file_is_gone(
        self, observatory: Observatory
    ) -> None:
        gone = copied_of_ten(observatory, copied=7)
        assert list(files_of_day(observatory).glob("*_vanished.tsv")) == []
        source = only(observatory, "source").read_text().splitlines()
        prune(observatory, gone)
        verify(observatory)
        accept(observatory, gone[:1], Acceptance.LOST)
        accept(observatory, gone[1:2], Acceptance.PRUNED)
        verify(observatory)
        accepted = dict(zip(gone, ("lost", "pruned", ""), strict=True))
        lines = [f"{line}\t{accepted[line.split()[0]]}" for line in source if line.split()[0] in accepted]
        assert only(observatory, "vanished").read_text().splitlines() == [
            "relpath\tsize\tmtime\tchecksum\taccepted",
            *lines,
        ]
        latest = observatory.site.paths.manifests / "latest" / STREAM
        assert sorted(path.name for path in latest.iterdir()) == [
            *("gws.tsv", "local.tsv", "prune_candidates.tsv", "source.tsv")
        ]
        observatory.fill(10)
        assert is_final(observatory)
        assert sorted(path.name.split("_")[1] for path in files_of_day(observatory).iterdir()) == [
            *("gws.tsv", "local.tsv", "source.tsv")
        ]

    def test_a_pass_without_changes_neither_reads_nor_writes_it(
        self, observatory: Observatory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        prune(observatory, copied_of_ten(observatory, copied=8))
        verify(observatory)
        before = {path: path.stat().st_ino for path in files_of_day(observatory).iterdir()}
        assert len(before) == 4
        listed = list[Path]()
        monkeypatch.setattr(earlier_evidence, "_newest_files", lambda path: listed.append(path) or {})
        verify(observatory)
        assert {path: path.stat().st_ino for path in files_of_day(observatory).iterdir()} == before
        assert listed == []

    def test_a_pass_that_is_killed_while_it_writes_leaves_what_the_next_database_needs(
        self, observatory: Observatory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        gone = copied_of_ten(observatory, copied=8)
        prune(observatory, gone)

        def fail(*_: object) -> None:
            raise RuntimeError("killed")

        with monkeypatch.context() as patch:
            patch.setattr(DayRecords, "save", fail)
            with pytest.raises(RuntimeError, match="killed"):
                verify(observatory)
        lose_evidence(observatory)
        assert not is_final(observatory)
        assert missing(observatory) == sorted(gone)


def other_day(line: str) -> str:
    return line.replace(f"met_{DAY:%Y%m%d}", f"met_{NEXT:%Y%m%d}")


@pytest.mark.parametrize("kind", ["source", "vanished"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda _: b"", "its first line is not"),
        (lambda text: text[:-3], "has no end"),
        (lambda text: text + b"../escape\t1\t1.000000000\t\t\n", "line"),
        (lambda text: text + b"\xff\t1\t1.000000000\t\n", "not UTF-8"),
        (lambda text: text + b"x" * 5000 + b"\n", "has no end"),
        (lambda text: text + text.splitlines(keepends=True)[1].replace(b"\t", b"\t9999999999999999", 1), "line"),
        (lambda text: other_day(text.decode()).encode(), "is no file of 2026-03-05"),
        (lambda text: text.replace(b"relpath", b"path"), "its first line is not"),
        (lambda text: text.rstrip(b"\n") + b"forged\n", "line"),
        (None, "not a regular file"),
    ],
)
def test_a_damaged_file_is_the_error_of_one_day_until_somebody_moves_it_away(
    observatory: Observatory, kind: str, damage: Callable[[bytes], bytes] | None, message: str
) -> None:
    observatory.fill(4, day=NEXT)
    prune(observatory, copied_of_ten(observatory, copied=8))
    observatory.verify_and_publish(DAY, NEXT)
    lose_evidence(observatory)
    file = only(observatory, kind)
    content = file.read_bytes()
    file.unlink()
    if damage is None:
        os.mkfifo(file)
    else:
        file.write_bytes(damage(content))
    for options in ({}, {"accept_loss": True}, {}):
        report = observatory.verify_and_publish(DAY, NEXT, **options).report
        assert report.errors == {}
        assert list(report.unverified_days) == [DAY]
        assert message in report.days[0].error
        assert file.name in report.days[0].error
        assert [day.verdict.is_final for day in report.days] == [False, True]
        assert len(list(files_of_day(observatory).iterdir())) == 4, "nothing is removed"
    for path in (file, *files_of_day(observatory).glob("*_vanished.tsv")):
        path.unlink(missing_ok=True)
    report = observatory.verify_and_publish(DAY, NEXT).report
    assert (report.errors, report.unverified_days) == ({}, {})
    assert report.days[0].verdict.is_final, "nothing says any more that the source had ten files"


def test_a_link_in_place_of_a_file_is_not_followed(observatory: Observatory) -> None:
    prune(observatory, copied_of_ten(observatory, copied=8))
    verify(observatory)
    lose_evidence(observatory)
    file = only(observatory, "vanished")
    file.rename(observatory.home / "moved")
    file.symlink_to(observatory.home / "moved")
    assert file.name in verify(observatory).unverified_days[DAY]
    file.unlink()
    (observatory.home / "moved").rename(file)
    assert verify(observatory).unverified_days == {}
    assert len(missing(observatory)) == 2
