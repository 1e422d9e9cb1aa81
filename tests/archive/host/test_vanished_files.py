"""A day is complete only with every file that its source was ever seen to have, or that an operator has given up."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from aurora_platform.archive import manifest
from aurora_platform.archive.acceptance import lost_files
from aurora_platform.archive.compare import Verdict
from aurora_platform.archive.sending import SentKey, push_lock
from aurora_platform.archive.vanished_files import Acceptance
from aurora_platform.fs.locks import hold_lock
from aurora_platform.layout import SIDES, raw_group
from tests.archive.places import DAY, STREAM, Observatory, name_of


@pytest.fixture
def observatory(tmp_path: Path) -> Observatory:
    return Observatory(tmp_path)


def verify(observatory: Observatory, **options: bool) -> Verdict:
    return observatory.verify_and_publish(**options).report.days[0].verdict


def accept(observatory: Observatory, names: Sequence[str]) -> None:
    """Accept that files are lost, as ``aurora accept --lost`` does."""
    with observatory.records.verification(STREAM, observatory.places()) as verification:
        found = {file.path: file.last_seen for file in lost_files(verification, DAY)}
        verification.evidence.vanished.accept(STREAM, DAY, {name: found[name] for name in names}, Acceptance.LOST)


def lost(observatory: Observatory) -> list[str]:
    with observatory.records.verification(STREAM, observatory.places()) as verification:
        return [file.path for file in lost_files(verification, DAY)]


def copy_first(observatory: Observatory, copied: int, of: int = 10) -> list[str]:
    """A day at the source, of which some files were copied; verified once. Returns the names of the others."""
    names = observatory.fill(of, sides=["source"])
    observatory.fill(copied, sides=["local", "gws"])
    verify(observatory)
    return names[copied:]


def test_files_that_a_source_lost_before_they_were_copied_keep_the_day_incomplete(observatory: Observatory) -> None:
    gone = copy_first(observatory, copied=6)
    for name in gone:
        observatory.place("source", name).unlink()
    for _ in range(2):
        found = verify(observatory)
        assert not found.is_final
        assert sorted(gap.split(":")[0] for gap in found.gaps) == sorted(2 * gone)
    assert sorted(lost(observatory)) == sorted(gone)


def test_a_source_that_is_mounted_empty_and_gets_new_files_does_not_make_the_day_complete(
    observatory: Observatory,
) -> None:
    gone = copy_first(observatory, copied=6)
    observatory.place("source").rename(observatory.home / "unmounted")
    observatory.place("source").mkdir()
    observatory.write("source", name_of(99), b"written to the empty mount point")
    found = verify(observatory)
    assert not found.is_final
    observatory.write("local", name_of(99), b"written to the empty mount point")
    observatory.write("gws", name_of(99), b"written to the empty mount point")
    assert not verify(observatory, accept_loss=False).is_final
    shutil.rmtree(observatory.place("source"))
    (observatory.home / "unmounted").rename(observatory.place("source"))
    observatory.fill(10, sides=["local", "gws"])
    found = verify(observatory)
    assert (found.is_final, found.proved, lost(observatory)) == (True, 11, []), gone


def test_a_file_that_comes_back_is_expected_no_more_than_any_other(observatory: Observatory) -> None:
    gone = copy_first(observatory, copied=9)
    moved = observatory.home / "moved"
    observatory.place("source", gone[0]).rename(moved)
    assert not verify(observatory).is_final
    moved.rename(observatory.place("source", gone[0]))
    observatory.fill(10, sides=["local", "gws"])
    assert verify(observatory).is_final
    assert lost(observatory) == []


def test_a_file_that_was_pruned_after_it_was_archived_does_not_matter(observatory: Observatory) -> None:
    names = observatory.fill(10)
    observatory.place("source", names[0]).rename(observatory.home / "late")
    observatory.fill(1, sides=["source"])  # so that the day is not finalized before the pruning
    observatory.write("source", name_of(20), b"not yet copied")
    assert not verify(observatory).is_final
    for name in names[:3]:
        observatory.place("source", name).unlink()
    assert verify(observatory).problem_count == 2, "only the file that was not copied"
    for side in ("local", "gws"):
        observatory.write(side, name_of(20), b"not yet copied")
    found = verify(observatory)
    assert (found.is_final, found.proved) == (True, 11)


def lose(observatory: Observatory, name: str) -> None:
    """Lose both copies of a file that its source has pruned."""
    for side in ("local", "gws"):
        observatory.place(side, name).unlink()


def test_a_file_that_is_pruned_before_its_day_is_over_is_expected_until_a_finalization_lists_it(
    observatory: Observatory,
) -> None:
    today, two_hours_ago = datetime.now(UTC).date(), int(time.time()) - 7200
    names = observatory.fill(6, today)
    for side in SIDES:
        for name in names:
            os.utime(observatory.place(side, name), (two_hours_ago,) * 2)
    assert observatory.verify_and_publish(today).report.days[0].verdict.is_whole
    observatory.place("source", names[0]).unlink()
    found = observatory.verify_and_publish(today).report.days[0].verdict
    assert (found.is_whole, found.is_final) == (True, False), "the day is not over"
    lose(observatory, names[0])
    found = observatory.verify_and_publish(today).report.days[0].verdict
    assert (found.is_whole, found.files) == (False, 6)
    assert [gap.split(":")[0] for gap in found.gaps] == 2 * [names[0]]


def test_a_file_that_is_pruned_while_a_push_withdraws_its_day_is_expected_until_a_finalization_lists_it(
    observatory: Observatory,
) -> None:
    observatory.fill(6)
    assert verify(observatory).is_final
    observatory.write("source", name_of(6), b"late")
    assert not verify(observatory).is_final
    for side in ("local", "gws"):
        observatory.write(side, name_of(6), b"late")
    observatory.place("source", name_of(6)).unlink()
    lane = f"raw.{STREAM}"
    with (
        observatory.records.ledger() as ledger,
        hold_lock(observatory.records.layout.locks, push_lock(lane), timedelta(0)),
    ):
        ledger.sending.begin("gws", lane, [SentKey(raw_group(STREAM), DAY)])
        found = verify(observatory)
    assert (found.is_whole, found.is_final) == (True, False)
    lose(observatory, name_of(6))
    assert not verify(observatory).is_final


def test_a_finalized_file_that_is_lost_in_all_places_can_be_given_up(observatory: Observatory) -> None:
    observatory.fill(6)
    assert verify(observatory).is_final
    observatory.place("source", name_of(0)).unlink()
    observatory.place("source", name_of(1)).unlink()
    verify(observatory)
    lose(observatory, name_of(0))
    observatory.place("gws", name_of(1)).unlink()  # its local copy is sent again
    assert not verify(observatory).is_final
    assert lost(observatory) == [name_of(0)]
    observatory.write("gws", name_of(1), observatory.place("local", name_of(1)).read_bytes(), number=1)
    accept(observatory, [name_of(0)])
    assert verify(observatory).is_final
    finalizations = observatory.records.finalizations(STREAM)
    assert name_of(0) not in finalizations.proved(DAY)
    data = yaml.safe_load(finalizations.file(DAY).read_bytes())
    assert (data["complete"], data["revision"], data["files"], data["lost"]) == (True, 2, 5, 1)
    assert verify(observatory).is_final, "and stays so"


def test_an_accepted_loss_is_named_in_the_manifest_and_completes_the_day(observatory: Observatory) -> None:
    gone = copy_first(observatory, copied=8)
    for name in gone:
        observatory.place("source", name).unlink()
    verify(observatory)
    accept(observatory, gone[:1])
    assert not verify(observatory).is_final
    accept(observatory, gone[1:])
    assert verify(observatory).is_final
    finalizations = observatory.records.finalizations(STREAM)
    data = yaml.safe_load(finalizations.file(DAY).read_bytes())
    assert (data["complete"], data["files"], data["lost"]) == (True, 8, 2)
    listed = dict(manifest.read(finalizations.manifest(DAY, 1)))
    assert sorted(path for path, record in listed.items() if record.error == "lost") == sorted(gone)
    assert not set(finalizations.proved(DAY)) & set(gone)
    assert verify(observatory).is_final, "and stays so"
    assert finalizations.read(DAY).revision == 1  # type: ignore[union-attr]


def test_an_accepted_pruning_completes_the_day_without_the_files(observatory: Observatory) -> None:
    gone = copy_first(observatory, copied=8)
    for name in gone:
        observatory.place("source", name).unlink()
    assert not verify(observatory).is_final
    assert verify(observatory, accept_loss=True).is_final


def test_a_file_that_vanishes_in_a_newer_version_than_its_copy_keeps_the_day_incomplete(
    observatory: Observatory,
) -> None:
    observatory.fill(4)
    observatory.write("source", name_of(20), b"keeps the day open")
    observatory.write("source", name_of(0), b"a newer version", number=500)
    verify(observatory)
    for number in (0, 20):
        observatory.place("source", name_of(number)).unlink()
    found = verify(observatory)
    assert f"{name_of(0)}: different size locally" in found.gaps
    assert sorted(lost(observatory)) == [name_of(0), name_of(20)]


def test_a_file_that_grew_once_more_before_it_was_copied_and_pruned_is_complete(observatory: Observatory) -> None:
    observatory.fill(4)
    observatory.write("source", name_of(20), b"begin")
    verify(observatory)
    for side in ("local", "gws"):
        observatory.write(side, name_of(20), b"begin and end", number=900)
    observatory.place("source", name_of(20)).unlink()
    assert verify(observatory).is_final


def test_a_file_that_was_still_being_written_under_a_temporary_name_is_not_expected(tmp_path: Path) -> None:
    observatory = Observatory(tmp_path, {"settle": "5m"})
    observatory.fill(4)
    observatory.write("source", name_of(20), b"half")
    os.utime(observatory.place("source", name_of(20)), (time.time() - 5,) * 2)
    verify(observatory)
    observatory.place("source", name_of(20)).unlink()
    assert verify(observatory).is_final


def test_a_file_that_moves_to_another_day_by_its_mtime_is_not_lost(tmp_path: Path) -> None:
    observatory = Observatory(tmp_path, {"day": "mtime"})
    observatory.fill(4, sides=["source"])
    verify(observatory)
    later = datetime(DAY.year, DAY.month, DAY.day, 12, tzinfo=UTC) + timedelta(days=3)
    os.utime(observatory.place("source", name_of(0)), (later.timestamp(),) * 2)
    verify(observatory)
    assert name_of(0) not in lost(observatory)


@pytest.mark.parametrize("removed", ["table", "file"])
def test_evidence_of_the_version_before_is_taken_over(observatory: Observatory, removed: str) -> None:
    observatory.fill(6)
    assert verify(observatory).is_final
    with observatory.records.evidence() as evidence:
        evidence._db.executescript("DROP TABLE vanished; DROP TABLE source_change; PRAGMA user_version = 1")
    if removed == "file":
        observatory.records.layout.fixity.unlink()
    report = observatory.verify_and_publish().report
    assert report.days[0].verdict.is_final
    assert report.read == ({} if removed == "table" else {"source": 6, "local": 6, "gws": 6})
