"""A disk becomes full while rows are written: the day is written completely or not at all; the error names the fix."""

import logging
import os
import sqlite3
from contextlib import closing
from pathlib import Path

from aurora_platform.errors import CatalogError, is_transient
from tests.cameras.sample_media import Sky, at, jpeg
from tests.disks import tmpfs, with_mounts

IMAGES = 240
STEP = 12 * 1024


class RecordingHandler(logging.Handler):
    """Keeps the messages that were logged."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def test_a_disk_that_becomes_full_while_rows_are_written_loses_no_row_and_is_reported(tmp_path: Path) -> None:
    sky = Sky(tmp_path)
    disk = sky.layout.products
    disk.mkdir(parents=True)
    sky.image(at(1))

    def rows() -> tuple[int, str]:
        with closing(sqlite3.connect(sky.layout.catalog)) as db:
            (count,) = db.execute("SELECT count(*) FROM images").fetchone()
            return count, db.execute("PRAGMA integrity_check").fetchone()[0]

    def refresh_with_free_space(room: int, before: bytes) -> tuple[str, list[str], bool, int]:
        for suffix in ("", "-wal", "-shm"):
            Path(f"{sky.layout.catalog}{suffix}").unlink(missing_ok=True)
        sky.layout.catalog.write_bytes(before)
        status = os.statvfs(disk)
        (disk / "full").write_bytes(bytes(max(0, status.f_bavail * status.f_frsize - room)))
        handler, message, transient = RecordingHandler(), "", True
        logging.getLogger("aurora_platform").addHandler(handler)
        try:
            sky.refresh()
        except CatalogError as error:
            message, transient = str(error), is_transient(error)
        (disk / "full").unlink()
        logging.getLogger("aurora_platform").removeHandler(handler)
        return message, handler.messages, transient, rows()[0]

    def refresh_at_every_size() -> list[tuple[str, list[str], bool, int, tuple[int, str]]]:
        sky.refresh()
        before = sky.layout.catalog.read_bytes()
        content = jpeg()
        for number in range(IMAGES):
            sky.put(sky.image_path(at(10, number // 60, number % 60)), content)
        tries = []
        for room in range(0, 1 << 20, STEP):
            result = refresh_with_free_space(room, before)
            sky.refresh()
            tries.append((*result, rows()))
            if not result[0] and not result[1]:
                break
        return tries

    tries = with_mounts([tmpfs(disk, "2m")], refresh_at_every_size)
    failed = [attempt for attempt in tries if attempt[0]]
    warned = [attempt for attempt in tries if attempt[1]]
    assert [message for message, *_ in failed if "the catalogue cannot be read or written" in message]
    begin = f"{sky.layout.catalog}: "
    assert [text for text, *_ in failed if not text.startswith(begin) or "`df -h " not in text] == []
    assert all(transient for _, _, transient, *_ in failed)
    assert {count for *_, count, _ in failed} == {1}, "none of the day's new rows"
    assert [attempt for attempt in warned if not attempt[0]], "a checkpoint on a full disk after a commit fails no run"
    assert {count for message, *_, count, _ in tries if not message} == {IMAGES + 1}
    assert {after for *_, after in tries} == {(IMAGES + 1, "ok")}
