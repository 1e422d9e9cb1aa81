"""A disk that becomes full while rows are written: the day is there whole or not at all, and it is said what to do."""

import logging
import os
import sqlite3
from contextlib import closing
from pathlib import Path

from aurora_platform.errors import CatalogError, is_transient
from tests.cameras.making import Sky, at, jpeg
from tests.disks import tmpfs, with_mounts

IMAGES = 240
STEP = 12 * 1024


class Kept(logging.Handler):
    """What was logged."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


def test_a_disk_that_becomes_full_while_rows_are_written_costs_no_row_and_is_named(tmp_path: Path) -> None:
    sky = Sky(tmp_path)
    disk = sky.layout.products
    disk.mkdir(parents=True)
    sky.image(at(1))

    def rows() -> tuple[int, str]:
        with closing(sqlite3.connect(sky.layout.catalog)) as db:
            (count,) = db.execute("SELECT count(*) FROM images").fetchone()
            return count, db.execute("PRAGMA integrity_check").fetchone()[0]

    def once(room: int, before: bytes) -> tuple[str, list[str], bool, int]:
        for end in ("", "-wal", "-shm"):
            Path(f"{sky.layout.catalog}{end}").unlink(missing_ok=True)
        sky.layout.catalog.write_bytes(before)
        status = os.statvfs(disk)
        (disk / "full").write_bytes(bytes(max(0, status.f_bavail * status.f_frsize - room)))
        kept, said, passes = Kept(), "", True
        logging.getLogger("aurora_platform").addHandler(kept)
        try:
            sky.refresh()
        except CatalogError as error:
            said, passes = str(error), is_transient(error)
        (disk / "full").unlink()
        logging.getLogger("aurora_platform").removeHandler(kept)
        return said, kept.said, passes, rows()[0]

    def act() -> list[tuple[str, list[str], bool, int, tuple[int, str]]]:
        sky.refresh()
        before = sky.layout.catalog.read_bytes()
        content = jpeg()
        for number in range(IMAGES):
            sky.put(sky.image_path(at(10, number // 60, number % 60)), content)
        tries = []
        for room in range(0, 1 << 20, STEP):
            found = once(room, before)
            sky.refresh()
            tries.append((*found, rows()))
            if not found[0] and not found[1]:
                break
        return tries

    tries = with_mounts([tmpfs(disk, "2m")], act)
    failed = [one for one in tries if one[0]]
    warned = [one for one in tries if one[1]]
    written = [said for said, *_ in failed if "the catalogue cannot be written" in said]
    assert written
    assert all(said.startswith(f"{sky.layout.catalog}: ") and "`df`" in said for said, *_ in failed)
    assert all(passes for _, _, passes, *_ in failed)
    assert {count for *_, count, _ in failed} == {1}, "none of the day's new rows"
    assert [one for one in warned if not one[0]], "a checkpoint that finds the disk full after a commit fails no run"
    assert {count for said, *_, count, _ in tries if not said} == {IMAGES + 1}
    assert {after for *_, after in tries} == {(IMAGES + 1, "ok")}
