"""``aurora repair``, ``accept``, ``prune``, ``ledger`` and ``retire``: their output and their effects.

The archive is a directory of this machine. What differs behind SSH, the transport and its faults, has tests of its own.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from dagster import AssetCheckSeverity, DagsterInstance

from aurora_platform.config.site import load_site
from schedules.reconcile import without_retired_days
from tests.archive.dagster_site import FILES, Platform, checks
from tests.archive.pushed import hosts_of_kind
from tests.mirror.parts import DAY, write

VICTIM = "met_20260305_3.csv"


@pytest.fixture(scope="module")
def finalized(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Platform, Path]]:
    """A day that was pushed, verified and finalized once for all tests, and a copy of all its files."""
    home, copy = tmp_path_factory.mktemp("finalized"), tmp_path_factory.mktemp("copy") / "home"
    with DagsterInstance.ephemeral() as instance:
        platform = Platform(home, hosts_of_kind("local", ()), instance)
        write(platform.home / "instrument", FILES)
        for job in ("met_day", "push_met", "verify_met"):
            platform.run(job)
        shutil.copytree(home, copy, symlinks=True)
        yield platform, copy


@pytest.fixture
def filled(finalized: tuple[Platform, Path]) -> Platform:
    """A day that is pushed, verified and finalized, restored from the copy before each test."""
    platform, copy = finalized
    shutil.rmtree(platform.home)
    shutil.copytree(copy, platform.home, symlinks=True)
    return platform


def flip(place: Path) -> None:
    status, content = place.stat(), bytearray(place.read_bytes())
    content[100] ^= 1
    place.write_bytes(content)
    os.utime(place, ns=(status.st_atime_ns, status.st_mtime_ns))


def inodes(root: Path) -> dict[str, int]:
    return {path.name: path.stat().st_ino for path in root.glob("*.csv")}


def test_repair_lists_its_plan_first_and_then_repairs_exactly_the_file_with_the_flipped_byte(
    filled: Platform,
) -> None:
    archived = filled.home / "gws/raw/met"
    flip(archived / VICTIM)
    damaged, before = (archived / VICTIM).read_bytes(), inodes(archived)
    output = filled.aurora("repair", "met", "--day", str(DAY), code=1).output
    assert VICTIM in output
    assert "send again" in output
    assert "--apply" in output
    assert (archived / VICTIM).read_bytes() == damaged
    finalization = filled.home / f"gws/manifests/finalized/met/{DAY}_met_finalized.yaml"
    assert yaml.safe_load(finalization.read_text())["complete"] is False, "readers of the archive must know"
    output = filled.aurora("repair", "met", "--day", str(DAY), "--apply").output
    assert "repaired 1 of 1 file" in output
    archived_finalization = yaml.safe_load(finalization.read_text())
    assert (archived_finalization["complete"], archived_finalization["revision"]) == (True, 2)
    assert (finalization.parent / archived_finalization["manifest"]).exists()
    assert archived_finalization["directory"] == str(archived)
    assert (archived / VICTIM).read_bytes() == FILES[VICTIM]
    after = inodes(archived)
    assert {name for name in after if after[name] != before[name]} == {VICTIM}
    assert "nothing is wrong" in filled.aurora("repair", "met", "--day", str(DAY)).output


def test_repair_moves_a_bad_local_copy_aside_and_fetches_it_again(filled: Platform) -> None:
    local = filled.home / "raw/met"
    flip(local / VICTIM)
    damaged, before = (local / VICTIM).read_bytes(), inodes(local)
    assert "fetch again" in filled.aurora("repair", "met", "--day", str(DAY), code=1).output
    filled.aurora("repair", "met", "--day", str(DAY), "--apply")
    assert (local / VICTIM).read_bytes() == FILES[VICTIM]
    assert {name for name, inode in inodes(local).items() if inode != before[name]} == {VICTIM}
    [aside] = (filled.home / "raw/.quarantine").rglob(VICTIM)
    assert aside.read_bytes() == damaged


def test_repair_sets_the_mtime_of_the_last_good_copy_and_sends_it_to_an_archive_that_lost_it(
    filled: Platform,
) -> None:
    filled.run("push_met")
    filled.run("verify_met")
    name = "met_20260305_3.csv"
    local, archived = filled.home / "raw/met" / name, filled.home / "gws/raw/met" / name
    right = archived.stat().st_mtime_ns
    (filled.home / "instrument" / name).unlink()
    archived.unlink()
    os.utime(local, ns=(right + 60 * 10**9, right + 60 * 10**9))
    assert "set its mtime" in filled.aurora("repair", "met", "--day", str(DAY), code=1).output
    assert "repaired 1 of 1 file" in filled.aurora("repair", "met", "--day", str(DAY), "--apply").output
    assert (local.stat().st_mtime_ns, archived.stat().st_mtime_ns) == (right, right)
    assert archived.read_bytes() == FILES[name]


def test_repair_needs_no_source_where_the_finalization_tells_what_is_right_and_always_the_archive(
    filled: Platform,
) -> None:
    flip(filled.home / "gws/raw/met" / VICTIM)
    (filled.home / "instrument").rename(filled.home / "gone")
    output = filled.aurora("repair", "met", "--day", str(DAY), "--apply").output
    assert "source cannot be read" in output
    assert "repaired 1 of 1 file" in output
    assert (filled.home / "gws/raw/met" / VICTIM).read_bytes() == FILES[VICTIM]
    (filled.home / "gws/raw").rename(filled.home / "gone too")
    assert "archive cannot be read" in filled.aurora("repair", "met", "--day", str(DAY), "--apply", code=1).output


@pytest.mark.parametrize("day", ["2026-03-03", "2999-01-01"])
def test_repair_of_a_day_that_the_stream_does_not_have_is_a_usage_error(filled: Platform, day: str) -> None:
    assert "met has days from 2026-03-04 to" in filled.aurora("repair", "met", "--day", day, code=2).output


def test_prune_lists_the_candidates_and_the_reason_for_the_rest(filled: Platform) -> None:
    output = filled.aurora("prune", "--plan").output
    assert "was never listed" in output
    start = filled.site.streams["met"].start
    days = [start + timedelta(days=n) for n in range((datetime.now(UTC).date() - start).days + 1)]
    filled.definitions.resolve_job_def("verify_met").execute_in_process(
        instance=filled.instance,
        tags={
            "dagster/asset_partition_range_start": str(days[0]),
            "dagster/asset_partition_range_end": str(days[-1]),
        },
    )
    output = filled.aurora("prune", "met", "--plan").output
    assert f"5 files, {sum(map(len, FILES.values())) / 1000:.1f} kB" in output
    assert filled.aurora("prune", "met", "--plan", "--files").output.split() == sorted(FILES)
    assert inodes(filled.home / "instrument").keys() == FILES.keys(), "nothing is pruned"
    assert "Aurora never prunes" in filled.aurora("prune", code=2).output


def test_a_lost_ledger_is_rebuilt_from_the_two_trees_and_shows_that(filled: Platform) -> None:
    before = filled.aurora("ledger").output
    assert "raw/met" in before
    for file in (filled.home / "state").glob("ledger.sqlite*"):
        file.unlink()
    output = filled.aurora("ledger", "--rebuild").output
    assert "raw/met: 5 local files, 5 of them newly found in the archive" in output
    assert "rebuilt from the trees at" in output


def test_local_copies_are_never_deleted_without_a_retention_in_the_site_file(filled: Platform) -> None:
    assert "set retention.raw.met" in filled.aurora("retire", "met", "--apply", code=1).output
    assert inodes(filled.home / "raw/met").keys() == FILES.keys()


class TestRetire:
    """Deleting local copies: exact files, each proved at that moment."""

    @pytest.fixture
    def old(self, filled: Platform) -> Platform:
        site = filled.home / "site.yaml"
        site.write_text(site.read_text() + "\nretention: {raw: {met: 30d}, files_per_run: 3}\n")
        return filled

    def test_a_dry_run_deletes_nothing(self, old: Platform) -> None:
        output = old.aurora("retire", "met").output
        assert "would delete 3 files" in output
        assert "there are more" in output
        assert inodes(old.home / "raw/met").keys() == FILES.keys()

    def test_a_file_is_deleted_only_where_the_archive_has_its_bytes_at_that_moment_and_is_logged(
        self, old: Platform
    ) -> None:
        flip(old.home / "gws/raw/met" / "met_20260305_0.csv")
        archived = inodes(old.home / "gws/raw/met")
        output = old.aurora("retire", "met", "--apply").output
        assert "deleted 2 files" in output
        assert "DIFFERENT in the archive" in output
        left = inodes(old.home / "raw/met").keys()
        assert left == FILES.keys() - {"met_20260305_1.csv", "met_20260305_2.csv"}
        assert inodes(old.home / "gws/raw/met") == archived
        lines = (old.site.paths.manifests / "retired/met.jsonl").read_text().splitlines()
        assert [json.loads(line)["relpath"] for line in lines] == ["met_20260305_1.csv", "met_20260305_2.csv"]

    def test_a_day_whose_local_copies_are_deleted_stays_complete_and_is_not_fetched_again(self, old: Platform) -> None:
        old.aurora("retire", "met", "--apply")
        old.aurora("retire", "met", "--apply")
        assert not inodes(old.home / "raw/met")
        assert "nothing is wrong" in old.aurora("repair", "met", "--day", str(DAY)).output
        site = load_site(old.home / "site.yaml")
        stream = without_retired_days(site.streams["met"], site.retention.raw["met"], datetime.now(UTC))
        assert stream.start == datetime.now(UTC).date() - timedelta(days=30)


def test_repair_restores_local_files_from_the_archive_after_the_source_has_pruned_them(filled: Platform) -> None:
    names, local = sorted(FILES), filled.home / "raw/met"
    (filled.home / "instrument").rename(filled.home / "gone")
    (local / names[0]).write_bytes(b"")
    (local / names[1]).unlink()
    flip(local / names[2])
    flip(filled.home / "gws/raw/met" / names[2])
    output = filled.aurora("repair", "met", "--day", str(DAY), code=1).output
    assert output.count("restore from the archive") == 4, "a row for each file, and a sum for each problem"
    assert (local / names[0]).read_bytes() == b"", "a dry run restores nothing"
    output = filled.aurora("repair", "met", "--day", str(DAY), "--apply", code=1).output
    assert "restored 2 files from the archive" in output
    assert f"still wrong: {names[2]}" in output
    assert {name: (local / name).read_bytes() for name in names[:2]} == {name: FILES[name] for name in names[:2]}
    assert [place.read_bytes() for place in (filled.home / "raw/.quarantine").rglob("*.csv")] == [b""]
    assert list((filled.home / "raw/.outgoing").iterdir()) == []


def change_at_the_source(filled: Platform, names: list[str]) -> None:
    for number, name in enumerate(names):
        write(filled.home / "instrument", {name: b"of somebody else %d" % number})


def test_accept_shows_held_changes_first_and_then_takes_exactly_those_that_were_shown(filled: Platform) -> None:
    names, local = sorted(FILES)[:4], filled.home / "raw/met"
    change_at_the_source(filled, names)
    filled.run("met_day")
    check = checks(filled.run("verify_met"))["no_change_is_held_back"]
    assert (check.passed, check.severity) == (False, AssetCheckSeverity.ERROR)
    assert "4 changes of finalized files held back" in check.description
    output = filled.aurora("accept", "met", "--day", str(DAY), code=1).output
    assert all(name in output for name in names)
    assert "--apply" in output
    assert {name: (local / name).read_bytes() for name in FILES} == FILES, "a dry run takes nothing"
    output = filled.aurora("accept", "met", "--day", str(DAY), "--file", names[0], "--apply", code=1).output
    assert "accepted 1 change" in output
    for job in ("met_day", "push_met", "verify_met"):
        done = filled.run(job)
    taken = [name for name in FILES if (filled.home / "gws/raw/met" / name).read_bytes() != FILES[name]]
    assert taken == [names[0]]
    kept = [place.read_bytes() for place in (filled.home / "gws/raw.versions").rglob("*.csv")]
    assert kept == [FILES[names[0]]]
    assert "3 changes" in checks(done)["no_change_is_held_back"].description
    assert filled.aurora("accept", "met", "--day", str(DAY), "--file", "no such file", code=2)
    filled.aurora("accept", "met", "--day", str(DAY), "--apply")
    assert "nothing is held back" in filled.aurora("accept", "met", "--day", str(DAY)).output


def test_accept_lost_completes_a_day_whose_source_lost_a_file_before_it_was_copied(filled: Platform) -> None:
    write(filled.home / "instrument", {"met_20260305_9.csv": b"never copied"})
    filled.run("verify_met")
    (filled.home / "instrument/met_20260305_9.csv").unlink()
    assert not checks(filled.run("verify_met"))["no_settled_gap"].passed
    output = filled.aurora("accept", "met", "--day", str(DAY), "--lost", code=1).output
    assert "met_20260305_9.csv" in output
    output = filled.aurora("accept", "met", "--day", str(DAY), "--lost", "--apply").output
    assert f"{DAY} is complete" in output
    finalization = yaml.safe_load((filled.home / f"gws/manifests/finalized/met/{DAY}_met_finalized.yaml").read_text())
    assert (finalization["complete"], finalization["lost"]) == (True, 1)
    assert "no file" in filled.aurora("accept", "met", "--day", str(DAY), "--lost").output
