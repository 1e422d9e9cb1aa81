"""Deleting local copies where something is wrong; ``test_commands.py`` tests the normal case."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from aurora_platform.archive.retention import RetireReport, retire
from aurora_platform.archive.stores import Records
from aurora_platform.archive.verify_days import Place
from aurora_platform.config.archive import Retention
from aurora_platform.errors import EvidenceError
from aurora_platform.transport.checksums import Checksum, LocalHasher
from tests.archive.places import DAY, STREAM, Observatory


@pytest.fixture
def observatory(tmp_path: Path) -> Observatory:
    return Observatory(tmp_path)


def retire_all(observatory: Observatory, local: Place | None = None) -> RetireReport:
    retention = Retention(raw={STREAM: timedelta(days=30)})
    records = Records(observatory.site.model_copy(update={"retention": retention}))
    places = observatory.places()
    return retire(records, STREAM, local or places["local"][0], places["gws"][0], dry_run=False)


def left(observatory: Observatory) -> list[str]:
    root = observatory.place("local")
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir())


def test_no_file_is_deleted_where_the_archive_is_the_directory_of_the_local_copies(
    observatory: Observatory,
) -> None:
    names = observatory.fill(sides=["source", "local"])
    observatory.place("gws").symlink_to(observatory.place("local"))
    assert observatory.verify_and_publish().report.days[0].verdict.is_final, "all bytes are the same"
    with pytest.raises(EvidenceError, match="is the same directory as"):
        retire_all(observatory)
    assert left(observatory) == sorted(names)


def test_files_that_the_archive_lacks_stay_and_the_next_verification_withdraws_the_finalization(
    observatory: Observatory,
) -> None:
    names = observatory.fill()
    observatory.verify_and_publish()
    observatory.flip("gws", names[0])
    observatory.place("gws", names[1]).unlink()
    done = retire_all(observatory)
    assert (done.files, {reason: count.first for reason, count in done.kept.items()}) == (
        len(names) - 2,
        {"DIFFERENT in the archive": [names[0]], "cannot be read back from the archive": [names[1]]},
    )
    assert left(observatory) == sorted(names[:2])
    verdict = observatory.verify_and_publish().report.days[0].verdict
    assert {gap.split(": ")[0] for gap in verdict.gaps} == set(names[:2])
    finalization = observatory.records.finalizations(STREAM).read(DAY)
    assert finalization is not None
    assert not finalization.complete


class Meanwhile:
    """Reads the local copies; then one gets a newer version, and another is replaced by a symlink."""

    def __init__(self, observatory: Observatory, newer: str, linked: str) -> None:
        self.observatory, self.newer, self.linked = observatory, newer, linked

    def checksums(self, root: str, paths: Sequence[str]) -> Iterator[Checksum]:
        yield from LocalHasher().checksums(root, paths)
        self.observatory.write("local", self.newer, b"newer", number=77)
        place = self.observatory.place("local", self.linked)
        os.rename(place, self.observatory.home / "elsewhere")
        place.symlink_to(self.observatory.home / "elsewhere")


def test_a_file_that_changes_between_reading_and_deletion_stays(observatory: Observatory) -> None:
    names = observatory.fill()
    observatory.verify_and_publish()
    [local] = observatory.places()["local"]
    changing = Place(local.host, local.source, Meanwhile(observatory, names[0], names[1]), local.root, local.below)
    done = retire_all(observatory, changing)
    assert done.kept["changed since it was read"].first == names[:2]
    assert left(observatory) == sorted(names[:2])
    assert (observatory.home / "elsewhere").read_bytes() == observatory.place("gws", names[1]).read_bytes()
