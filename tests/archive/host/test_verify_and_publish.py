"""Verifying days: what is reported, what is read for it, and what is never reported without proof."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aurora_platform.archive import manifest
from aurora_platform.archive.compare import MatchClass, Verdict
from aurora_platform.archive.fixity_record import FixityRecord
from aurora_platform.archive.repair import RepairKind, plan_repair
from aurora_platform.archive.verify_days import Place
from aurora_platform.errors import EvidenceError, HostError
from aurora_platform.fs.versions import FileVersion
from aurora_platform.layout import SIDES, Layout, Side
from aurora_platform.transport.checksums import LocalHasher
from aurora_platform.transport.listing import Listing, LocalSource
from tests.archive.places import DAY, STREAM, Observatory, name_of


@pytest.fixture
def observatory(tmp_path: Path) -> Observatory:
    return Observatory(tmp_path)


class Down:
    """A host that does not answer."""

    def list(self, root: str, below: Sequence[str], **more: Sequence[str]) -> Listing:
        raise HostError("127.0.0.9:22: no answer in time")


DOWN = Place("down", Down(), LocalHasher(), "/nowhere")


def finalization_file(observatory: Observatory, day: date = DAY) -> dict:
    return yaml.safe_load(observatory.records.finalizations(STREAM).file(day).read_text())


def summary(observatory: Observatory) -> dict:
    return json.loads((observatory.site.paths.manifests / "latest" / "summary.json").read_text())["streams"][STREAM]


def verdict(observatory: Observatory, **options) -> Verdict:
    return observatory.verify_and_publish(**options).report.days[0].verdict


def test_a_day_that_is_identical_in_three_places_is_finalized_with_the_checksums_of_sha256sum(
    observatory: Observatory,
) -> None:
    names = observatory.fill()
    outcome = observatory.verify_and_publish()
    assert outcome.report.days[0].verdict.is_final
    finalization = finalization_file(observatory)
    assert (finalization["complete"], finalization["files"], finalization["stream"], finalization["day"]) == (
        True,
        6,
        STREAM,
        str(DAY),
    )
    assert finalization["bytes"] == sum(observatory.place("gws", name).stat().st_size for name in names)
    assert finalization["sub_directories"] == ["0", "1", "2"]
    assert finalization["instance"] == observatory.site.name
    listed = observatory.records.finalizations(STREAM).directory / finalization["manifest"]
    assert hashlib.sha256(listed.read_bytes()).hexdigest() == finalization["manifest_sha256"]
    rows = [line.split("\t") for line in listed.read_text().splitlines()[1:]]
    check = "".join(f"{checksum}  {path}\n" for path, _, _, checksum in rows)
    done = subprocess.run(
        ["sha256sum", "--check", "--strict"],
        check=False,
        input=check,
        text=True,
        cwd=observatory.place("gws"),
        capture_output=True,
    )
    assert (done.returncode, len(rows)) == (0, 6), done.stderr


def test_a_second_verification_reads_only_new_files(observatory: Observatory) -> None:
    observatory.fill(6)
    assert observatory.verify_and_publish().report.read == {"source": 6, "local": 6, "gws": 6}
    assert observatory.verify_and_publish().report.read == {}
    for side in SIDES:
        observatory.write(side, name_of(7), b"late")
    assert observatory.verify_and_publish().report.read == {"source": 1, "local": 1, "gws": 1}
    assert finalization_file(observatory)["revision"] == 2


def test_old_checksums_are_read_again_some_each_day_and_all_within_the_scrub_time(
    observatory: Observatory,
) -> None:
    observatory.fill(30)
    observatory.verify_and_publish()
    read = []
    for days in (40, 68, 91):
        with sqlite3.connect(Layout.of(observatory.site).fixity) as db:
            db.execute("UPDATE file SET hashed_at = ?", (time.time() - days * 86400,))
        read.append(observatory.verify_and_publish().report.read.get("gws", 0))
    assert read[0] == 0
    assert 0 < read[1] < 30
    assert read[2] == 30


def test_a_flipped_byte_is_found_by_the_next_full_verification_and_the_finalization_is_withdrawn(
    observatory: Observatory,
) -> None:
    names = observatory.fill()
    outcome = observatory.verify_all()
    assert sorted(outcome.plan.candidates) == sorted(names)
    observatory.flip("gws", names[3])
    assert verdict(observatory).is_final, "a listing shows no change"
    outcome = observatory.verify_and_publish(full=True)
    found = outcome.report.days[0].verdict
    assert found.gaps == [f"{names[3]}: different checksum in the archive"]
    assert found.archive_classes == {MatchClass.IDENTICAL: 5, MatchClass.CHECKSUM: 1}
    finalization = finalization_file(observatory)
    assert finalization["complete"] is False
    assert names[3] in finalization["why"]
    assert outcome.plan.candidates == ()
    assert names[3] in outcome.plan.why
    assert summary(observatory)["prune_ready"] is False
    latest = observatory.site.paths.manifests / "latest" / STREAM / "prune_candidates.tsv"
    assert latest.read_text() == "relpath\n"
    with observatory.records.verification(STREAM, observatory.places()) as verification:
        steps = list(plan_repair(verification, DAY))
    assert [(step.path, step.kind) for step in steps] == [(names[3], RepairKind.SEND)]


def test_a_locally_flipped_byte_is_not_sent_to_the_archive_as_a_repair(observatory: Observatory) -> None:
    names = observatory.fill()
    observatory.verify_and_publish()
    observatory.flip("local", names[1])
    found = verdict(observatory, full=True)
    assert found.gaps == [f"{names[1]}: different checksum locally"]
    assert found.is_final, "the archive has the version of the source"
    with observatory.records.verification(STREAM, observatory.places()) as verification:
        assert [(step.path, step.kind) for step in plan_repair(verification, DAY)] == [(names[1], RepairKind.FETCH)]


def test_where_no_two_places_agree_no_repair_is_offered(observatory: Observatory) -> None:
    [name] = observatory.fill(1, sides=["local", "gws"])
    observatory.flip("gws", name)
    observatory.verify_and_publish()
    with observatory.records.verification(STREAM, observatory.places()) as verification:
        [step] = plan_repair(verification, DAY)
    assert step.kind is RepairKind.NONE
    assert "is not proved right" in step.why


def test_files_that_the_source_pruned_are_still_compared_with_the_manifest_of_their_day(
    observatory: Observatory,
) -> None:
    names = observatory.fill()
    observatory.verify_and_publish()
    for name in names:
        observatory.place("source", name).unlink()
        observatory.place("local", name).unlink()
    assert verdict(observatory, full=True).is_final
    observatory.flip("gws", names[0])
    observatory.place("gws", names[1]).unlink()
    found = verdict(observatory, full=True)
    assert found.archive_classes == {MatchClass.IDENTICAL: 4, MatchClass.CHECKSUM: 1, MatchClass.MISSING: 1}
    assert found.local_classes == {MatchClass.MISSING: 6}, "nobody retired them"
    assert finalization_file(observatory)["complete"] is False


def test_a_late_file_reopens_the_day_and_a_new_finalization_follows(observatory: Observatory) -> None:
    observatory.fill()
    observatory.verify_and_publish()
    for side in ("source", "local"):
        observatory.write(side, name_of(9), b"recovered")
    assert verdict(observatory).gaps == [f"{name_of(9)}: missing in the archive"]
    assert finalization_file(observatory)["complete"] is False
    observatory.mirror_to_archive()
    assert verdict(observatory).is_final
    finalization = finalization_file(observatory)
    assert (finalization["complete"], finalization["revision"], finalization["files"]) == (True, 2, 7)


def test_a_day_that_is_not_over_is_not_finalized(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    observatory = Observatory(tmp_path, {"start": str(now.date() - timedelta(days=1))})
    for side in SIDES:
        place = observatory.write(side, name_of(1, now.date()), b"today")
        os.utime(place, (now.timestamp() - 7200,) * 2)
    found = observatory.verify_and_publish(now.date()).report.days[0].verdict
    assert (found.proved, found.is_final) == (1, False)
    assert observatory.records.finalizations(STREAM).read(now.date()) is None


def test_young_files_are_pending_and_are_not_read(tmp_path: Path) -> None:
    observatory = Observatory(tmp_path)
    [name] = observatory.fill(1, sides=["source"])
    os.utime(observatory.place("source", name))
    outcome = observatory.verify_and_publish()
    assert outcome.report.read == {}
    assert outcome.report.days[0].verdict.pending == 2
    assert outcome.report.days[0].verdict.problem_count == 0


@pytest.mark.parametrize("side", SIDES)
def test_a_place_that_cannot_be_listed_changes_no_finalization_and_proves_nothing(
    observatory: Observatory, side: Side
) -> None:
    observatory.fill()
    assert observatory.verify_all().plan.candidates
    outcome = observatory.verify_all(places={side: [DOWN]})
    assert "no answer in time" in outcome.report.errors[side]
    assert finalization_file(observatory)["complete"] is True
    assert outcome.plan.candidates == ()
    assert "could not be listed" in outcome.plan.why
    assert summary(observatory)["errors"][side] == "127.0.0.9:22: no answer in time"


def test_an_unmounted_archive_does_not_count_as_an_archive_that_lost_all_files(observatory: Observatory) -> None:
    observatory.fill()
    observatory.verify_and_publish()
    (observatory.home / "far").rename(observatory.home / "elsewhere")
    outcome = observatory.verify_and_publish()
    assert "no such directory" in outcome.report.errors["gws"]
    assert outcome.report.days[0].verdict.problem_count == 0
    assert finalization_file(observatory)["complete"] is True


def test_a_stream_that_was_never_pushed_is_missing_in_the_archive(observatory: Observatory) -> None:
    observatory.fill(2, sides=["source", "local"])
    assert verdict(observatory).archive_classes == {MatchClass.MISSING: 2}


def test_the_second_archive_host_is_used_where_the_first_is_down(observatory: Observatory) -> None:
    observatory.fill()
    outcome = observatory.verify_and_publish(places={"gws": [DOWN, *observatory.places()["gws"]]})
    assert outcome.report.hosts["gws"] == "far"
    assert outcome.report.days[0].verdict.is_final


class TestCandidates:
    """Prune candidates: exactly those of the rules, or none."""

    def test_files_of_old_days_that_are_identical_in_three_places(self, observatory: Observatory) -> None:
        names = observatory.fill()
        recent = datetime.now(UTC).date() - timedelta(days=3)
        observatory.fill(2, day=recent)
        outcome = observatory.verify_all()
        assert sorted(outcome.plan.candidates) == sorted(names)
        latest = observatory.site.paths.manifests / "latest"
        assert (latest / STREAM / "prune_candidates.tsv").read_text().splitlines() == ["relpath", *sorted(names)]
        counts = summary(observatory)
        assert (counts["source_count"], counts["local_count"], counts["gws_count"]) == (8, 8, 8)
        assert (counts["prune_ready"], counts["prune_candidate_count"]) == (True, 6)

    @pytest.mark.parametrize("side", ["local", "gws"])
    def test_none_where_one_file_of_that_age_is_missing(self, observatory: Observatory, side: Side) -> None:
        names = observatory.fill()
        observatory.place(side, names[2]).unlink()
        plan = observatory.verify_all().plan
        assert plan.candidates == ()
        assert names[2] in plan.why

    def test_none_of_a_stream_that_is_never_prunable(self, tmp_path: Path) -> None:
        observatory = Observatory(tmp_path, {"prunable": False})
        observatory.fill()
        assert observatory.verify_all().plan.why == "never prunable (prunable: false in the site file)"

    def test_none_where_a_day_was_never_listed(self, observatory: Observatory) -> None:
        observatory.fill()
        plan = observatory.verify_and_publish(DAY).plan
        assert plan.candidates == ()
        assert "was never listed" in plan.why

    def test_none_where_the_evidence_is_too_old(self, observatory: Observatory) -> None:
        observatory.fill()
        observatory.verify_all()
        with sqlite3.connect(Layout.of(observatory.site).fixity) as db:
            db.execute("UPDATE look SET at = at - 3 * 86400 WHERE day = ? AND side = 'gws'", (str(DAY),))
        plan = observatory.verify_and_publish(datetime.now(UTC).date()).plan
        assert plan.candidates == ()
        assert "too old" in plan.why

    def test_none_of_files_whose_checksum_is_older_than_scrub(self, observatory: Observatory) -> None:
        names = observatory.fill()
        observatory.verify_all()
        with sqlite3.connect(Layout.of(observatory.site).fixity) as db:
            db.execute(
                "UPDATE file SET hashed_at = hashed_at - 91 * 86400 WHERE path = ? AND side = 'gws'", (names[0],)
            )
        # Else the list that was just made is kept: no checksum of it was that old.
        shutil.rmtree(observatory.site.paths.manifests / "latest")
        plan = observatory.verify_and_publish(datetime.now(UTC).date()).plan
        assert sorted(plan.candidates) == sorted(names[1:])


@pytest.mark.parametrize(
    "line",
    ["../up\t1\t1.000000000\t", "/etc/passwd\t1\t1.000000000\t", "a\t-1\t1.000000000\t", "a\t1\t1\t", "a\t1\t1.0\tzz"],
)
def test_an_invalid_manifest_line_is_refused(tmp_path: Path, line: str) -> None:
    place = tmp_path / "manifest.tsv"
    place.write_text(manifest.HEADER + line + "\n")
    with pytest.raises(EvidenceError, match="line 2"):
        list(manifest.read(place))


def test_a_manifest_that_was_written_is_read_back(tmp_path: Path) -> None:
    files = [
        ("a b/ü.dat", FixityRecord(FileVersion(0, 1_700_000_000_000_000_001), "0" * 64)),
        ("z", FixityRecord(FileVersion(7, 5))),
    ]
    count, sha256 = manifest.write(tmp_path / "m", files)
    assert (count, sha256) == (2, hashlib.sha256((tmp_path / "m").read_bytes()).hexdigest())
    assert list(manifest.read(tmp_path / "m")) == files


DAMAGES = ("none", "flip", "lose", "grow", "touch", "add")


@given(damages=st.lists(st.sampled_from(DAMAGES), min_size=8, max_size=8))
@settings(
    max_examples=12,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_rsync_with_checksums_agrees_with_every_verdict(
    tmp_path_factory: pytest.TempPathFactory, damages: list[str]
) -> None:
    observatory = Observatory(tmp_path_factory.mktemp("damaged"))
    names = observatory.fill(len(damages))
    for number, (name, damage) in enumerate(zip(names, damages, strict=True)):
        place = observatory.place("gws", name)
        if damage == "flip":
            observatory.flip("gws", name)
        elif damage == "lose":
            place.unlink()
        elif damage == "grow":
            observatory.write("gws", name, place.read_bytes() + b"!", number=number)
        elif damage == "touch":
            os.utime(place, ns=(place.stat().st_mtime_ns + 5 * 10**9,) * 2)
        elif damage == "add":
            observatory.write("gws", name_of(100 + number), b"only in the archive")
    observatory.verify_and_publish()
    with observatory.records.verification(STREAM, observatory.places()) as verification:
        planned = {step.path for step in plan_repair(verification, DAY)}
    assert planned == differences(observatory.place("local"), observatory.place("gws"))
    by_damage = {name for name, damage in zip(names, damages, strict=True) if damage not in ("none", "add")}
    assert planned == by_damage


def differences(first: Path, second: Path) -> set[str]:
    """The files that rsync would copy, by reading all files on both sides, or whose mtime differs."""
    done = subprocess.run(
        ["rsync", "--archive", "--checksum", "--dry-run", "--itemize-changes", f"{first}/", f"{second}/"],
        capture_output=True,
        text=True,
        check=True,
    )
    return {line.split(" ", 1)[1] for line in done.stdout.splitlines() if line[1] == "f"}


def test_one_listing_of_a_place_serves_many_days(observatory: Observatory) -> None:
    calls = []

    class Counting(LocalSource):
        def list(self, root: str, below: Sequence[str], **more: Sequence[str]) -> Listing:
            calls.append(root)
            return super().list(root, below, **more)

    for number in range(3):
        observatory.fill(2, day=DAY + timedelta(days=number))
    with observatory.records.ledger() as ledger:  # else the archive is asked whether it is new
        ledger.archived.note("gws", "met", {})
    place = Place("counting", Counting(), LocalHasher(), str(observatory.home / "far/raw"), "met")
    observatory.verify_and_publish(*(DAY + timedelta(days=n) for n in range(3)), places={"gws": [place]})
    assert len(calls) == 1
