"""Kills push, verify, publish, accept, repair and retire at random moments, while a reader loops."""

from __future__ import annotations

import random
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from click.testing import CliRunner

from aurora_cli.main import main
from aurora_platform.archive.locations import places_of
from aurora_platform.archive.stores import Records
from aurora_platform.archive.verify_and_publish import verify_and_publish
from aurora_platform.errors import AuroraError
from aurora_platform.transport.connections import Connections
from tests.archive.hostile import DAY, STREAM, Station, name_of
from tests.forking import Forking
from tests.patience import patient


def aurora(station: Station, *arguments: str) -> str:
    return CliRunner().invoke(main, ["--site", str(station.home / "site.yaml"), *arguments]).output


def push(station: Station) -> None:
    station.pass_once()


def verify(station: Station) -> None:
    records, connections = Records(station.site), Connections.of(station.site)
    verify_and_publish(records, STREAM, [DAY], places_of(station.site, STREAM, connections), full=True)


def publish(station: Station) -> None:
    records, connections = Records(station.site), Connections.of(station.site)
    verify_and_publish(records, STREAM, [DAY], places_of(station.site, STREAM, connections), publish_now=True)


def accept(station: Station) -> None:
    aurora(station, "accept", STREAM, "--day", str(DAY), "--apply")
    station.pass_once()


def repair(station: Station) -> None:
    aurora(station, "repair", STREAM, "--day", str(DAY), "--apply")


def retire(station: Station) -> None:
    aurora(station, "retire", STREAM, "--apply")


WORK: dict[str, Callable[[Station], None]] = {
    work.__name__: work for work in (push, verify, publish, accept, repair, retire)
}


def work_repeatedly(home: str, verb: str) -> None:
    """The work of the process that is killed."""
    station = Station(Path(home), revisable="2d" if verb == "accept" else "3650d")
    while True:
        WORK[verb](station)


def revise(station: Station, number: int) -> bytes:
    """Write a file of the day again at the source, with a new mtime; returns its content."""
    content = f"version {number}".encode() * 5
    station.write(station.source, name_of(number % 3), content, 10_000_000 * (number + 1))
    return content


def damage_locally(station: Station, number: int) -> None:
    """Damage local files that the source does not have any more."""
    names = sorted(place.name for place in station.local.rglob("*.csv"))
    chosen = [place for place in station.local.rglob("*.csv") if place.name in names[number % 2 :: 3]]
    for place in chosen:
        place.unlink() if number % 2 else place.write_bytes(b"")


def prepare(station: Station, verb: str, number: int) -> None:
    """Make work for the next victim."""
    if verb in ("push", "accept"):
        revise(station, number)
    elif verb == "repair":
        damage_locally(station, number)
    elif verb == "retire":
        for place in station.archived.rglob("*.csv"):  # as if they had been restored: there is something to delete
            target = station.local / place.relative_to(station.archived)
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(place, target)
        with Records(station.site).evidence() as evidence, evidence._writing() as db:
            db.execute("DELETE FROM released")
        station.verify()


@contextmanager
def a_reader_that_loops(station: Station, files: dict[str, bytes]) -> Iterator[None]:
    """Check again and again, while the block runs, that nothing finalized is lost."""
    done, errors, rounds = threading.Event(), list[BaseException](), [0]

    def read() -> None:
        while not done.is_set():
            try:
                station.assert_nothing_is_lost(files)
                rounds[0] += 1
            except FileNotFoundError:
                continue  # a staged file that was listed, and is published or removed since
            except AssertionError as error:
                errors.append(error)
                return

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield
    finally:
        done.set()
        reader.join(patient(60))
    if errors:
        raise errors[0]
    assert rounds[0] > 0


def kill_repeatedly(home: Path, verb: str, kills: int, seed: int) -> Station:
    """Kill a verb some times; after each kill, and for the reader at any time, nothing finalized is lost."""
    station = Station(home, revisable="2d" if verb == "accept" else "3650d")
    files = station.finalize()
    if verb == "repair":
        shutil.rmtree(station.source)
        station.source.mkdir()
        (station.source / "another instrument").touch()
    chance, died = random.Random(seed), 0
    with (
        Forking("tests.archive.killing:work_repeatedly") as forking,
        a_reader_that_loops(station, files),
    ):
        for number in range(kills):
            prepare(station, verb, number)
            victim = forking.start(home, verb)
            died += forking.kill(victim, after=chance.uniform(0.02, patient(0.6))) == -signal.SIGKILL
            station.assert_nothing_is_lost(files)
    assert died == kills
    for _ in range(3):
        WORK[verb](station)
        station.pass_once()
    station.assert_nothing_is_lost(files)
    assert station.errors == []
    if verb != "repair":
        assert station.finalization()["complete"] is True
    assert not any((station.home / "raw/.outgoing").iterdir())
    return station


def mirror_and_push(home: str) -> None:
    """The work of one of two processes that run at the same time: new versions come, and go to the archive."""
    station = Station(Path(home))
    while True:
        with suppress(AuroraError):
            station.mirror()
            station.push()


def verify_and_copy(home: str) -> None:
    """The work of the other process: days are finalized, and their finalizations are copied."""
    station = Station(Path(home))
    while True:
        with suppress(AuroraError):
            station.verify_and_copy()


def revise_while_both_work(home: Path, kills: int, seed: int) -> Station:
    """Change the source while one process pushes and another verifies, each killed some times; nothing is lost."""
    station = Station(home)
    files = station.finalize(count=100)  # so that a few may change without an operator
    chance = random.Random(seed)
    with (
        Forking("tests.archive.killing:mirror_and_push") as pushing,
        Forking("tests.archive.killing:verify_and_copy") as verifying,
        a_reader_that_loops(station, files),
    ):
        for number in range(kills):
            workers = [(forking, forking.start(home)) for forking in (pushing, verifying)]
            for _ in range(chance.randint(1, 4)):
                revise(station, number)
                time.sleep(chance.uniform(0.05, patient(0.5)))
            for forking, victim in workers:
                forking.kill(victim, after=chance.uniform(0, patient(0.3)))
            station.assert_nothing_is_lost(files)
    for _ in range(3):
        station.pass_once()
    station.assert_nothing_is_lost(files)
    assert station.errors == []
    assert station.finalization()["complete"] is True
    return station
