"""The rows of the catalogue agree with the raw tree, compared by plain SQL, Pillow and PyAV."""

import io
import os
import shutil
import sqlite3
import struct
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import av
import pytest
from PIL import Image

from aurora_platform.cameras import catalog, raw_tree
from aurora_platform.cameras.catalog import open_writable
from aurora_platform.cameras.checks import catalog_matches_raw
from aurora_platform.cameras.refresh import refresh_day
from aurora_platform.errors import BusyError
from aurora_platform.fs.atomic import flush
from aurora_platform.fs.locks import hold_lock
from tests.cameras.sample_media import DAY, NOW, SETTLED, Film, Sky, at, jpeg, set_mtime
from tests.inotify import opened_below

Faulty = tuple[Sky, Callable[[str], list[str]]]
# The columns of table images, as facts.md lists them.
COLUMNS = [
    "raw_path",
    "image_type",
    "media_kind",
    "mime_type",
    "stream",
    "label",
    "time_utc",
    "time_epoch_ns",
    "day_utc",
    "relative_path",
    "filename",
    "width",
    "height",
    "size_bytes",
    "mtime_ns",
    "indexed_at",
]


def rows(path: Path, query: str = "SELECT * FROM images ORDER BY time_epoch_ns, raw_path", *values: object) -> list:
    """The rows that SQLite reads from the main file alone."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)) as db:
        return db.execute(query, values).fetchall()


def unreadable(sky: Sky) -> dict[str, str]:
    """Relative path -> reason."""
    entries = rows(sky.layout.catalog, "SELECT raw_path, error FROM unreadable_media")
    return {str(Path(path).relative_to(sky.layout.raw)): reason for path, reason in entries}


def catalogued(sky: Sky) -> set[str]:
    return {path for (path,) in rows(sky.layout.catalog, "SELECT relative_path FROM images")}


def expected_row(root: Path, relative: str, stamp: str) -> tuple[object, ...]:
    """The row that facts.md specifies, made with Pillow, PyAV, stat and the file's name."""
    path = root / relative
    tree, name = relative.split("/")[0], path.name
    key, label = {"FISH": ("fish_hdr", "FISH HDR"), "PANO": ("pano_hdr", "PANO HDR")}[tree]
    moment = datetime.strptime(name[4:19], "%Y%m%d_%H%M%S").replace(tzinfo=UTC)
    if name.lower().endswith(".jpg"):
        kind, mime = "image", "image/jpeg"
        with Image.open(path) as image:
            width, height = image.size
    else:
        kind, mime = "video", "video/mp4"
        with av.open(str(path)) as container:
            frame = next(container.decode(video=0))
            width, height = frame.width, frame.height
    return (
        str(path), key, kind, mime, tree, label, f"{moment:%Y-%m-%d %H:%M:%S}", int(moment.timestamp()) * 10**9,
        f"{moment:%Y-%m-%d}", relative, name, width, height, path.stat().st_size, path.stat().st_mtime_ns, stamp,
    )  # fmt: skip


def test_every_file_of_the_day_has_the_row_that_readers_expect(filled: Sky) -> None:
    report = filled.refresh()
    root = filled.layout.raw
    files = [str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()]
    assert len(files) == 2 * 3 * (6 + 1)
    stamp = "2026-08-20T12:00:00+00:00"
    assert set(rows(filled.layout.catalog)) == {expected_row(root, relative, stamp) for relative in files}
    assert (report.images, report.videos, report.added, report.bytes) == (
        36, 6, 42, sum((root / relative).stat().st_size for relative in files)
    )  # fmt: skip
    assert report.span == (at(10), at(12, 50))


def test_the_tables_have_the_columns_of_the_dashboard_and_none_may_be_null(sky: Sky) -> None:
    sky.refresh()
    described = rows(sky.layout.catalog, "SELECT name, \"notnull\", pk FROM pragma_table_info('images')")
    assert [name for name, _, _ in described] == COLUMNS
    assert all(notnull for _, notnull, _ in described)
    assert [name for name, _, key in described if key] == ["raw_path"]
    described = rows(sky.layout.catalog, "SELECT name, \"notnull\" FROM pragma_table_info('unreadable_media')")
    assert described == [(n, 1) for n in ("raw_path", "size_bytes", "mtime_ns", "error", "indexed_at")]


def test_sql_of_a_reader_returns_the_images_of_a_camera_by_time(filled: Sky) -> None:
    filled.refresh()
    query = (
        "SELECT filename FROM images WHERE image_type = ? AND media_kind = ? AND {} ORDER BY time_epoch_ns, raw_path"
    )
    images = [f"HDR_20260818_{hour}{minute:02}00_PANO.jpg" for hour in (10, 11, 12) for minute in range(0, 60, 10)]
    by_day = rows(filled.layout.catalog, query.format("day_utc = ?"), "pano_hdr", "image", "2026-08-18")
    assert [name for (name,) in by_day] == images
    span = (int(at(11).timestamp()) * 10**9, int(at(12).timestamp()) * 10**9)
    by_time = rows(
        filled.layout.catalog, query.format("time_epoch_ns >= ? AND time_epoch_ns < ?"), "pano_hdr", "image", *span
    )
    assert [name for (name,) in by_time] == images[6:12]
    plan = rows(
        filled.layout.catalog, "EXPLAIN QUERY PLAN " + query.format("day_utc = ?"), "pano_hdr", "image", "2026-08-18"
    )
    assert [step[3].split(" (")[0] for step in plan] == ["SEARCH images USING INDEX images_by_day"]


def test_every_fault_of_a_camera_results_in_a_row_or_a_reason(faulty: Faulty) -> None:
    sky, files_with = faulty
    report = sky.refresh()
    reasons = unreadable(sky)
    good = catalogued(sky)
    for name, reason in {
        "truncated-jpeg": "cannot be read as JPEG: image file is truncated",
        "empty-file": "the file is empty",
        "no-moov": "cannot be read as MP4",
        "future-date": "named 2031-01-01, but in the directory of 2026-08-18",
    }.items():
        (path,) = files_with(name)
        assert reason in reasons.pop(path)
    for path in files_with("symlink-out"):
        assert reasons.pop(path) == "not a regular file"
    *misnamed, valid = files_with("odd-names")
    for path in misnamed:
        assert "the name is not HDR_" in reasons.pop(path)
    assert reasons == {}
    for name in ("odd-size-jpeg", "odd-codec-clip", "odd-size-clip", "late", "upper-case"):
        assert set(files_with(name)) <= good
    assert valid in good
    assert report.unsettled.first == files_with("in-flight")
    assert not set(files_with("in-flight")) & (good | set(unreadable(sky)))
    regular = {str(p.relative_to(sky.layout.raw)) for p in sky.layout.raw.rglob("HDR_20260818_10?000*.jpg")}
    assert regular <= good
    assert set(report.unreadable) == set(unreadable(sky))


def test_an_unreadable_file_is_not_opened_again(faulty: Faulty) -> None:
    sky, _ = faulty
    with opened_below(sky.layout.raw) as opened:
        first = sky.refresh()
        assert len(opened()) > 10  # the recorder works: the first refresh opens the files that it inspects
    before = unreadable(sky)
    with opened_below(sky.layout.raw) as opened:
        report = sky.refresh(now=NOW + timedelta(minutes=1))
        assert opened() == []
    assert unreadable(sky) == before
    assert report.unreadable == first.unreadable
    assert (report.added, report.changed, report.removed) == (0, 0, 0)


def test_an_unreadable_file_is_tried_again_when_its_size_or_mtime_changes(sky: Sky) -> None:
    path = sky.image(at(10), jpeg(1)[:400])
    sky.refresh()
    assert list(unreadable(sky)) == ["FISH/20260818/10/HDR_20260818_100000.jpg"]
    set_mtime(path, SETTLED, ns=1)
    with opened_below(sky.layout.raw) as opened:
        sky.refresh()
        assert path.name in opened()
    assert len(unreadable(sky)) == 1
    path.write_bytes(jpeg(1))
    set_mtime(path, SETTLED, ns=1)
    sky.refresh()
    assert unreadable(sky) == {}
    assert catalogued(sky) == {"FISH/20260818/10/HDR_20260818_100000.jpg"}


def test_a_good_file_that_becomes_damaged_is_removed_from_the_images_table(sky: Sky) -> None:
    path = sky.image(at(10))
    sky.refresh()
    set_mtime(path, SETTLED, ns=5)
    path.write_bytes(b"not an image any more")
    set_mtime(path, SETTLED, ns=5)
    sky.refresh()
    assert catalogued(sky) == set()
    assert list(unreadable(sky).values()) == ["not a JPEG image"]


def test_a_file_is_catalogued_when_it_has_settled_and_not_before(sky: Sky) -> None:
    path = sky.image(at(10))
    set_mtime(path, NOW, ns=0)
    assert sky.refresh(now=NOW + timedelta(minutes=4, seconds=59)).unsettled.total == 1
    assert catalogued(sky) == set()
    assert sky.refresh(now=NOW + timedelta(minutes=5)).added == 1


def test_changed_and_removed_files_are_updated_in_the_catalogue(sky: Sky) -> None:
    kept, changed, removed = (sky.image(at(10, minute)) for minute in (0, 5, 10))
    sky.refresh()
    changed.write_bytes(jpeg(99, size=(32, 32)))
    set_mtime(changed, SETTLED, ns=9)
    removed.unlink()
    report = sky.refresh(now=NOW + timedelta(hours=1))
    assert (report.unchanged, report.changed, report.removed, report.added) == (1, 1, 1, 0)
    query = "SELECT filename, width, mtime_ns, indexed_at FROM images ORDER BY time_epoch_ns"
    assert rows(sky.layout.catalog, query) == [
        (kept.name, 64, kept.stat().st_mtime_ns, "2026-08-20T12:00:00+00:00"),
        (changed.name, 32, changed.stat().st_mtime_ns, "2026-08-20T13:00:00+00:00"),
    ]


def test_the_entry_of_an_unreadable_file_that_was_removed_is_removed(sky: Sky) -> None:
    path = sky.image(at(10), b"")
    sky.refresh()
    path.unlink()
    sky.refresh()
    assert unreadable(sky) == {}


def test_a_clip_named_by_its_end_belongs_to_the_day_in_its_name(sky: Sky) -> None:
    clip = sky.put(sky.layout.raw / "FISH/20260818/HDR_20260819_000000.mp4", Film().encode(1))
    sky.refresh()
    assert catalogued(sky) == set()
    sky.refresh(DAY + timedelta(days=1))
    assert catalogued(sky) == {str(clip.relative_to(sky.layout.raw))}
    assert unreadable(sky) == {}


def test_a_clip_with_an_unknown_codec_is_unreadable_and_the_other_clips_are_catalogued(sky: Sky) -> None:
    content = Film().encode(1)
    assert content.count(b"avc1") == 2  # a brand in ftyp, and the sample entry
    head, _, tail = content.rpartition(b"avc1")
    sky.clip(at(10), head + b"zzzz" + tail)
    sky.clip(at(11))
    sky.refresh()
    assert unreadable(sky) == {"FISH/20260818/HDR_20260818_100000.mp4": "no decoder for its codec"}
    assert catalogued(sky) == {"FISH/20260818/HDR_20260818_110000.mp4"}


@pytest.mark.parametrize("extra", [-3, 0, 7])
def test_a_clip_that_was_truncated_after_its_index_is_unreadable(sky: Sky, extra: int) -> None:
    """Truncated within a frame, or exactly after a frame."""
    content = Film(faststart=True).encode(1)
    assert content.index(b"moov") < content.index(b"mdat")
    with av.open(io.BytesIO(content)) as container:
        third = [packet for packet in container.demux(video=0) if packet.size][2]
        end = third.pos + third.size
    sky.clip(at(10), content[: end + extra])
    sky.refresh()
    (reason,) = unreadable(sky).values()
    assert reason.startswith("truncated: ")
    assert reason.endswith(" of its 6 frames are in the file")


@pytest.mark.parametrize(
    "playlist",
    [
        "ffconcat version 1.0\nfile '{secret}'\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{secret}\n#EXT-X-ENDLIST\n",
        '<?xml version="1.0"?><MPD><Period><BaseURL>{secret}</BaseURL></Period></MPD>',
    ],
)
def test_a_clip_that_is_a_playlist_opens_no_other_file(sky: Sky, tmp_path: Path, playlist: str) -> None:
    secret = tmp_path / "elsewhere" / "secret.mp4"
    secret.parent.mkdir()
    secret.write_bytes(Film().encode(1))
    sky.clip(at(10), playlist.format(secret=secret).encode())
    with opened_below(secret.parent) as opened:
        sky.refresh()
        assert opened() == []
    assert list(unreadable(sky)) == ["FISH/20260818/HDR_20260818_100000.mp4"]


def test_a_link_out_of_the_tree_is_not_followed(sky: Sky, tmp_path: Path) -> None:
    outside = tmp_path / "outside" / "HDR_20260818_110000.jpg"
    sky.put(outside, jpeg())
    path = sky.image_path(at(10))
    path.parent.mkdir(parents=True)
    path.symlink_to(outside)
    (path.parent / "more").symlink_to(outside.parent)
    os.utime(path, ns=(0, 0), follow_symlinks=False)
    os.utime(path.parent / "more", ns=(0, 0), follow_symlinks=False)
    with opened_below(outside.parent) as opened:
        sky.refresh()
        assert opened() == []
    assert set(unreadable(sky).values()) == {"not a regular file"}
    assert catalogued(sky) == set()


def test_a_name_that_is_not_utf_8_is_reported_and_the_other_files_are_catalogued(sky: Sky) -> None:
    good = sky.image(at(10))
    odd = os.fsencode(good.parent) + b"/HDR_20260818_10\xff500.jpg"
    with open(odd, "wb") as file:
        file.write(jpeg())
    os.utime(odd, ns=(0, 0))
    for _ in range(2):
        report = sky.refresh()
        assert report.unreadable == {"FISH/20260818/10/HDR_20260818_10\\udcff500.jpg": "the name is not UTF-8"}
    assert catalogued(sky) == {"FISH/20260818/10/HDR_20260818_100000.jpg"}
    assert catalog_matches_raw(sky.workspace, DAY, NOW).wrong["files without a row"].total == 1


def test_a_file_that_is_deleted_while_the_day_is_listed_is_ignored(sky: Sky, monkeypatch: pytest.MonkeyPatch) -> None:
    deleted = sky.image(at(10))
    kept = sky.image(at(10, 30))

    def delete_while_listing(directory: str, name_part: str) -> Iterator[os.DirEntry[str]]:
        for item in files_below(directory, name_part):
            deleted.unlink(missing_ok=True)
            yield item

    files_below = raw_tree._files_below
    monkeypatch.setattr(raw_tree, "_files_below", delete_while_listing)
    assert sky.refresh().added == 1
    assert catalogued(sky) == {f"FISH/20260818/10/{kept.name}"}


def test_an_image_of_impossible_size_is_refused_before_it_is_decoded(sky: Sky) -> None:
    content = bytearray(jpeg())
    start = content.index(b"\xff\xc0") + 5  # SOF0: marker, length, precision, height, width
    content[start : start + 4] = struct.pack(">HH", 9_000, 8_000)
    sky.image(at(10), bytes(content))
    sky.refresh()
    (reason,) = unreadable(sky).values()
    assert reason == "8000 x 9000 px is not supported: the limit is 64000000 px"


def test_a_padded_image_is_catalogued(sky: Sky) -> None:
    sky.image(at(10), jpeg() + bytes(512))
    sky.refresh()
    assert len(catalogued(sky)) == 1


def test_a_second_refresh_writes_nothing(filled: Sky) -> None:
    filled.refresh()
    file = filled.layout.catalog
    before = (file.read_bytes(), file.stat().st_mtime_ns, file.stat().st_ino)
    report = filled.refresh(now=NOW + timedelta(hours=1))
    assert (report.unchanged, report.added, report.changed, report.removed) == (42, 0, 0, 0)
    assert (file.read_bytes(), file.stat().st_mtime_ns, file.stat().st_ino) == before
    assert [path.name for path in file.parent.glob("wxcam_catalog*")] == [file.name]


def test_the_main_file_alone_is_complete_after_a_refresh(filled: Sky, tmp_path: Path) -> None:
    filled.layout.products.mkdir(parents=True)
    filled.refresh(DAY - timedelta(days=1))
    with closing(sqlite3.connect(filled.layout.catalog)) as dashboard:  # keeps -wal and -shm alive
        dashboard.execute("SELECT count(*) FROM images").fetchone()
        filled.refresh()
        copy = tmp_path / "copy.sqlite"
        shutil.copyfile(filled.layout.catalog, copy)
        assert rows(copy) == dashboard.execute("SELECT * FROM images ORDER BY time_epoch_ns, raw_path").fetchall()
        assert len(rows(copy)) == 42


def test_commits_before_an_error_are_on_the_disk_and_in_the_main_file(
    filled: Sky, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []

    def record_flush(path: Path) -> None:
        flush(path)
        flushed.append(path.name)

    log = f"{filled.layout.catalog.name}-wal"
    filled.refresh()
    with closing(sqlite3.connect(filled.layout.catalog)) as dashboard:  # else SQLite would remove the log on closing
        dashboard.execute("SELECT count(*) FROM images").fetchone()
        monkeypatch.setattr(catalog, "flush", record_flush)
        with pytest.raises(sqlite3.OperationalError, match="nowhere"), open_writable(filled.workspace) as db:
            db.executescript("DELETE FROM images WHERE media_kind = 'video'; DELETE FROM nowhere")
        copy = tmp_path / "copy.sqlite"
        shutil.copyfile(filled.layout.catalog, copy)
    assert flushed == [log, filled.layout.products.name]
    assert rows(copy, "SELECT DISTINCT media_kind FROM images") == [("image",)]


def test_a_reader_with_an_open_transaction_does_not_delay_a_refresh(sky: Sky, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[int] = []

    class RecordingConnection(sqlite3.Connection):
        def execute(self, statement: str, /, *values: object) -> sqlite3.Cursor:
            if "wal_checkpoint" in statement:
                waits.extend(super().execute("PRAGMA busy_timeout").fetchone())
            return super().execute(statement, *values)

    sky.image(at(10))
    sky.refresh()
    with closing(sqlite3.connect(sky.layout.catalog, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM images").fetchone() == (1,)
        sky.image(at(11))
        with monkeypatch.context() as patched:
            patched.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=RecordingConnection))
            report = sky.refresh()
        # No time is measured: this reader ends after the refresh, so a write that waited for it would fail. Only the
        # checkpoint waits and gives up; asserted is the timeout that SQLite gets (ms), which no busy machine changes.
        assert report.added == 1
        assert len(waits) == 1
        assert waits[0] <= 5_000
        assert reader.execute("SELECT count(*) FROM images").fetchone() == (1,)
        reader.execute("COMMIT")
        assert reader.execute("SELECT count(*) FROM images").fetchone() == (2,)
    sky.refresh()
    assert len(rows(sky.layout.catalog)) == 2


def test_a_day_that_another_process_refreshes_raises_a_busy_error(sky: Sky) -> None:
    workspace = replace(sky.workspace, wait=timedelta(seconds=0.1))
    with hold_lock(workspace.locks, f"catalog.{DAY}", timedelta(0)), pytest.raises(BusyError, match=f"catalog.{DAY}"):
        refresh_day(workspace, DAY, NOW)
