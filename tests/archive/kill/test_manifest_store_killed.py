"""``latest/`` while its publisher is killed at random moments."""

from __future__ import annotations

import random
import signal
from pathlib import Path

from tests.archive.host.test_manifest_store import read_latest
from tests.archive.places import DAY, STREAM, Observatory
from tests.forking import KILLS, Forking


def verify_repeatedly(home: str) -> None:
    """The work of the process that is killed."""
    observatory = Observatory(Path(home))
    while True:
        observatory.verify_and_publish(full=True)


def test_latest_is_complete_after_many_kills_and_a_quiet_verification_is_right(
    tmp_path: Path,
) -> None:
    observatory = Observatory(tmp_path)
    names = observatory.fill(40)
    observatory.verify_and_publish()
    chance = random.Random(5)
    with Forking("tests.archive.kill.test_manifest_store_killed:verify_repeatedly") as forking:
        for number in range(KILLS):
            victim = forking.start(tmp_path)
            if number == KILLS // 2:
                observatory.flip("gws", names[5])
            assert forking.kill(victim, after=chance.uniform(0, 0.2)) == -signal.SIGKILL
            read_latest(observatory.site.paths.manifests / "latest")
            observatory.records.finalizations(STREAM).proved(DAY)
    outcome = observatory.verify_and_publish(full=True)
    assert outcome.report.days[0].verdict.gaps == [f"{names[5]}: different checksum in the archive"]
    with observatory.records.ledger() as ledger:
        assert not ledger.counts("gws"), "a verification adds no rows for files that no push queued"
    assert len(list((observatory.site.paths.manifests / "days").rglob("*.tsv"))) == 3
    observatory.records.staging.sweep()
    assert not any(observatory.records.staging.directory.iterdir())
