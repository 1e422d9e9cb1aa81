"""``latest/`` while what publishes it is killed at random moments."""

from __future__ import annotations

import random
import signal
from pathlib import Path

from tests.archive.host.test_manifest_store import read_latest
from tests.archive.places import DAY, STREAM, Observatory
from tests.forking import KILLS, Forking


def certify_for_ever(home: str) -> None:
    """For who is killed in the middle."""
    observatory = Observatory(Path(home))
    while True:
        observatory.verify_and_publish(full=True)


def test_killed_again_and_again_while_it_reads_and_publishes_latest_is_whole_and_a_quiet_pass_ends_right(
    tmp_path: Path,
) -> None:
    observatory = Observatory(tmp_path)
    names = observatory.fill(40)
    observatory.verify_and_publish()
    chance = random.Random(5)
    with Forking("tests.archive.kill.test_manifest_store_killed:certify_for_ever") as forking:
        for number in range(KILLS):
            victim = forking.start(tmp_path)
            if number == KILLS // 2:
                observatory.flip("gws", names[5])
            assert forking.kill(victim, after=chance.uniform(0, 0.2)) == -signal.SIGKILL
            read_latest(observatory.site.paths.manifests / "latest")
            observatory.records.finalizations(STREAM).proved(DAY)
    certified = observatory.verify_and_publish(full=True)
    assert certified.report.days[0].verdict.gaps == [f"{names[5]}: different checksum in the archive"]
    with observatory.records.ledger() as ledger:
        assert not ledger.counts("gws"), "a verification claims nothing of files that nobody offered"
    observatory.records.staging.sweep()
    assert not any(observatory.records.staging.directory.iterdir())
