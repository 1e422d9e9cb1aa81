"""A damaged finalization is an error of its day: other days of the stream, and other streams, go on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from aurora_platform.archive import manifest
from aurora_platform.archive.finalize import Finalizations
from aurora_platform.archive.push_plan import Pushing, push_finalizations
from aurora_platform.archive.retention import retire
from aurora_platform.archive.stores import Records
from aurora_platform.config.archive import Retention
from aurora_platform.config.hosts import SshHost
from aurora_platform.layout import ArchiveLayout
from tests.archive.places import DAY, STREAM, Observatory
from tests.archive.pushed import PushedSite

NEXT = DAY + timedelta(days=1)


def rubbish(finalizations: Finalizations) -> None:
    finalizations.file(DAY).write_bytes(b"\xff\x00 not YAML: [")


def cut_short(finalizations: Finalizations) -> None:
    finalizations.file(DAY).write_text("complete: true\nfiles: 3\n")


def nested(finalizations: Finalizations) -> None:
    finalizations.file(DAY).write_text("[" * 100_000)


def infinite(finalizations: Finalizations) -> None:
    finalizations.file(DAY).write_text(finalizations.file(DAY).read_text().replace("files: 3", "files: .inf"))


def a_directory(finalizations: Finalizations) -> None:
    finalizations.file(DAY).unlink()
    finalizations.file(DAY).mkdir()


def without_its_manifest(finalizations: Finalizations) -> None:
    finalizations.manifest(DAY, 1).unlink()


def with_a_changed_manifest(finalizations: Finalizations) -> None:
    manifest_path = finalizations.manifest(DAY, 1)
    manifest_path.write_text(manifest_path.read_text().replace("a", "b"))


def with_a_manifest_of_other_bytes(finalizations: Finalizations) -> None:
    manifest_path = finalizations.manifest(DAY, 1)
    manifest_path.write_bytes(manifest.HEADER.encode() + b"\xff\xfe\t1\t1.000000000\t\n")
    data = yaml.safe_load(finalizations.file(DAY).read_text())
    sha256 = hashlib.sha256(manifest_path.read_bytes()).hexdigest()
    finalizations.file(DAY).write_text(yaml.safe_dump(data | {"manifest_sha256": sha256}))


DAMAGES = [rubbish, cut_short, nested, infinite, a_directory]
DAMAGES += [without_its_manifest, with_a_changed_manifest, with_a_manifest_of_other_bytes]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_finalization_is_an_error_of_its_day_only(
    tmp_path: Path, damage: Callable[[Finalizations], None]
) -> None:
    observatory = Observatory(tmp_path)
    observatory.fill(3)
    observatory.fill(3, day=NEXT)
    observatory.verify_and_publish(DAY, NEXT)
    damage(observatory.records.finalizations(STREAM))
    outcome = observatory.verify_and_publish(DAY, NEXT)
    days = {day.day: day for day in outcome.report.days}
    assert f"{DAY}_{STREAM}" in days[DAY].error
    assert "verify the day again" in days[DAY].error
    assert days[NEXT].verdict.is_final
    assert [day for day, found in days.items() if found.error] == [DAY]
    published = observatory.records.publication().summary()["streams"][STREAM]
    assert (published["days_complete"], published["prune_ready"]) == (1, False)


def test_a_damaged_finalization_leaves_its_stream_without_prune_candidates(tmp_path: Path) -> None:
    observatory = Observatory(tmp_path)
    observatory.fill(3)
    assert observatory.verify_all().plan.candidates
    rubbish(observatory.records.finalizations(STREAM))
    plan = observatory.verify_all().plan
    assert plan.candidates == ()
    assert "1 of " in plan.why
    assert "not compared since" in plan.why


def test_the_finalizations_of_the_other_days_are_still_copied_to_the_archive(
    tmp_path: Path, hosts: tuple[SshHost, ...]
) -> None:
    site = PushedSite(tmp_path)
    site.hosts = hosts[:1]
    site.fill(3)
    site.fill(3, day=NEXT)
    site.verify_and_publish(DAY, NEXT)
    rubbish(site.records.finalizations(STREAM))
    with site.ledger() as ledger:
        pushing = Pushing(site.site, site.archive_settings, site.archive_hosts(), ledger)
        assert sum(report.files for report in push_finalizations(site.records, pushing, STREAM, [DAY, NEXT])) == 2
    archived = Path(ArchiveLayout.of(site.archive_settings).manifests) / "finalized" / STREAM
    assert sorted(path.name for path in archived.iterdir()) == [
        f"{NEXT}_{STREAM}_finalized.yaml",
        f"{NEXT}_{STREAM}_manifest_r1.tsv",
    ]


def test_no_local_copy_of_its_day_is_deleted_but_those_of_other_days_are(tmp_path: Path) -> None:
    observatory = Observatory(tmp_path)
    names = observatory.fill(3)
    observatory.fill(3, day=NEXT)
    observatory.verify_and_publish(DAY, NEXT)
    rubbish(observatory.records.finalizations(STREAM))
    retention = Retention(raw={STREAM: timedelta(days=30)})
    records = Records(observatory.site.model_copy(update={"retention": retention}))
    places = observatory.places()
    done = retire(records, STREAM, places["local"][0], places["gws"][0], dry_run=False)
    [(why, kept)] = done.kept.items()
    assert "not a finalization" in why
    assert (sorted(kept.first), done.files) == (sorted(names), 3)
