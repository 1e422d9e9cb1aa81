"""``latest/`` and ``history/``: replaced together, whatever happens at the same time."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from aurora_platform.archive import manifest
from aurora_platform.archive.manifest_store import stamps
from aurora_platform.archive.stores import Records
from aurora_platform.archive.verify_and_publish import verify_and_publish
from tests.archive.places import DAY, STREAM, Observatory, name_of
from tests.disks import another_file_system


def read_latest(latest: Path) -> dict[str, int]:
    """Read a publication as a consumer does, from one opened directory; raises where it is not complete."""
    handle = os.open(latest, os.O_RDONLY | os.O_DIRECTORY)
    try:
        base = Path(f"/proc/self/fd/{handle}")
        counts = json.loads((base / "summary.json").read_bytes())["streams"][STREAM]
        lines = {side: list(manifest.read(base / STREAM / f"{side}.tsv")) for side in ("source", "local", "gws")}
    finally:
        os.close(handle)
    assert {side: len(found) for side, found in lines.items()} == {side: counts[f"{side}_count"] for side in lines}
    return {side: len(found) for side, found in lines.items()}


def test_a_reader_never_sees_manifests_of_two_publications(tmp_path: Path) -> None:
    observatory = Observatory(tmp_path)
    observatory.fill(3)
    observatory.verify_and_publish()
    counts_read, errors, stop = set(), list[Exception](), threading.Event()

    def watch() -> None:
        while not stop.is_set():
            try:
                counts_read.add(read_latest(observatory.site.paths.manifests / "latest")["gws"])
            except FileNotFoundError:
                continue  # the opened directory was removed meanwhile: a reader opens the new one
            except Exception as error:
                errors.append(error)

    reader = threading.Thread(target=watch)
    reader.start()
    for number in range(3, 15):
        for side in ("source", "local", "gws"):
            observatory.write(side, name_of(number), b"more")
        observatory.verify_and_publish()
    stop.set()
    reader.join()
    assert not errors
    assert len(counts_read) > 1


def test_the_manifests_of_other_streams_stay_the_same_files(tmp_path: Path) -> None:
    observatory = Observatory(tmp_path)
    observatory.fill(3)
    observatory.verify_and_publish()
    latest = observatory.site.paths.manifests / "latest"
    before = {path: path.stat().st_ino for path in (latest / STREAM).iterdir()}
    streams = observatory.site.streams | {"other": observatory.site.streams[STREAM]}
    records = Records(observatory.site.model_copy(update={"streams": streams}))
    observatory.write("source", name_of(3), b"more")
    verify_and_publish(records, "other", [DAY], observatory.places(), publish_now=True)
    unchanged = {path: path.stat().st_ino for path in (latest / STREAM).iterdir()}
    tables = [path for path in before if path.name != "prune_candidates.tsv"]
    assert {path: before[path] for path in tables} == {path: unchanged[path] for path in tables}
    assert sorted(records.publication().summary()["streams"]) == [STREAM, "other"]
    assert len(list(manifest.read(latest / "other" / "source.tsv"))) == 4


def test_another_stream_loses_its_candidates_when_its_evidence_is_too_old(tmp_path: Path) -> None:
    observatory = Observatory(tmp_path)
    observatory.fill(3)
    outcome = observatory.verify_all()
    assert outcome.plan.candidates
    publication = observatory.records.publication()
    publication.publish([], lambda name, earlier: None, {STREAM: "the evidence is too old"})
    assert (publication.latest / STREAM / "prune_candidates.tsv").read_text() == "relpath\n"
    assert publication.summary()["streams"][STREAM]["prune_ready"] is False


def test_entries_of_another_system_in_latest_are_kept_where_readable_and_moved_aside_otherwise(
    tmp_path: Path,
) -> None:
    observatory = Observatory(tmp_path)
    observatory.fill(3)
    latest = observatory.site.paths.manifests / "latest"
    tables = {f"{side}.tsv": manifest.HEADER + "a.dat\t1\t1760000000\t\n" for side in ("source", "local", "gws")}
    complete = tables | {"prune_candidates.tsv": "relpath\na.dat\n"}
    streams = {
        "complete": complete,
        "failed": {},  # as a failed last run of a stream leaves it
        "unknown": complete,
        "cut": tables,
        "other_columns": complete | {"gws.tsv": "name\tsize\n"},
        "torn": complete | {"gws.tsv": manifest.HEADER + "a.dat\t1\t17600"},
    }
    for stream, files in streams.items():
        (latest / stream).mkdir(parents=True)
        for name, text in files.items():
            (latest / stream / name).write_text(text)
    (latest / "stray.txt").write_text("notes")
    (latest / "elsewhere").symlink_to(observatory.place("source"))
    lines = {
        "complete": {"source_count": 1},
        "failed": {"error": "ssh timed out"},
        "cut": {},
        "other_columns": {},
        "torn": {},
    }
    summary = {"generated_at": "2026-05-01T00:00:00+00:00", "gws_available": True, "streams": lines | {"gone": {}}}
    (latest / "summary.json").write_text(json.dumps(summary))
    outcome = observatory.verify_and_publish()
    assert "8 entries of latest/ moved aside to" in outcome.moved_aside
    assert "failed: summary.json has an error for it: ssh timed out" in outcome.moved_aside
    assert sorted(path.name for path in latest.iterdir()) == ["complete", STREAM, "summary.json"]
    published = json.loads((latest / "summary.json").read_bytes())["streams"]
    assert sorted(published) == ["complete", STREAM]
    assert published["complete"]["source_count"] == 1
    assert {path.name: path.read_text() for path in (latest / "complete").iterdir()} == complete
    [note] = (observatory.site.paths.manifests / "aside").glob("*.txt")
    aside = note.with_suffix("")
    names = {"failed", "unknown", "cut", "other_columns", "torn", "stray.txt", "elsewhere"}
    assert {path.name for path in aside.iterdir()} == {*names, "complete", "summary.json"}
    assert (aside / "stray.txt").read_text() == "notes"
    assert all(f"\n{name}: " in note.read_text() for name in {*names, "gone"})
    again = observatory.verify_and_publish()
    assert (again.moved_aside, again.report.days[0].verdict.is_final) == ("", True)


@pytest.mark.parametrize("text", ["rubbish", "[]", '{"streams": []}', '{"streams": {"a": 1}}', "", "[" * 100_000])
def test_an_invalid_summary_does_not_stop_a_publication(tmp_path: Path, text: str) -> None:
    observatory = Observatory(tmp_path)
    observatory.fill(1)
    latest = observatory.site.paths.manifests / "latest"
    latest.mkdir(parents=True)
    (latest / "summary.json").write_text(text)
    assert observatory.verify_and_publish().moved_aside
    assert list(json.loads((latest / "summary.json").read_bytes())["streams"]) == [STREAM]


def test_a_latest_that_is_a_link_to_an_older_publication_is_replaced_and_its_target_stays(tmp_path: Path) -> None:
    observatory = Observatory(tmp_path)
    observatory.fill(2)
    observatory.verify_and_publish()
    latest = observatory.site.paths.manifests / "latest"
    old = latest.with_name("by_another_system")
    latest.rename(old)
    latest.symlink_to(old.name)
    before = {path: path.read_bytes() for path in old.rglob("*") if path.is_file()}
    assert observatory.verify_and_publish().moved_aside == ""
    assert not latest.is_symlink()
    assert read_latest(latest)["gws"] == 2
    assert before == {path: path.read_bytes() for path in old.rglob("*") if path.is_file()}


def unwritable_by_another_user(latest: Path) -> None:
    (latest / "theirs").mkdir()
    os.chown(latest / "theirs", 12345, 12345)


def a_file_where_our_directory_should_be(latest: Path) -> None:
    (latest / "theirs").mkdir()
    latest.with_name("aside").write_text("somebody's notes")


def on_another_file_system(latest: Path) -> None:
    elsewhere = Path(tempfile.mkdtemp(dir=another_file_system(latest)))
    (elsewhere / "theirs").mkdir()
    latest.rmdir()
    latest.symlink_to(elsewhere)


def a_link_to_nowhere(latest: Path) -> None:
    latest.rmdir()
    latest.symlink_to("theirs")


def a_file(latest: Path) -> None:
    latest.rmdir()
    latest.write_text("theirs")


def many_entries(latest: Path) -> None:
    for number in range(3000):
        (latest / f"theirs {number}\n").mkdir()
    os.mkfifo(latest / "pipe")


STRANGE = [unwritable_by_another_user, a_file_where_our_directory_should_be, on_another_file_system]
STRANGE += [a_link_to_nowhere, a_file, many_entries]


@pytest.mark.parametrize("strange", STRANGE)
def test_an_unusual_latest_does_not_stop_a_publication_and_its_content_is_kept(
    tmp_path: Path, strange: Callable[[Path], None]
) -> None:
    observatory = Observatory(tmp_path)
    observatory.fill(2)
    latest = observatory.site.paths.manifests / "latest"
    latest.mkdir(parents=True)
    strange(latest)
    leads_to = latest.resolve()
    outcome = observatory.verify_and_publish()
    assert "of latest/ moved aside to" in outcome.moved_aside
    assert read_latest(latest)["gws"] == 2
    places = [place for root in (latest.parent, leads_to) for place in root.rglob("*")]
    left = [one for one in places if "theirs" in one.name or (one.is_file() and one.read_bytes() == b"theirs")]
    assert bool(left) is (strange is not a_link_to_nowhere)
    if strange is on_another_file_system:
        shutil.rmtree(leads_to)
    assert observatory.verify_and_publish().moved_aside == ""


def test_history_keeps_only_the_newest_entries(tmp_path: Path) -> None:
    observatory = Observatory(tmp_path, archive={"keep_history": 2})
    observatory.fill(1)
    observatory.verify_and_publish()
    history = observatory.site.paths.manifests / "history"
    for name in ("20260101T000000Z", "20260102T000000Z", "20260103T000000Z"):
        (history / name).mkdir()
    observatory.verify_and_publish()
    kept = stamps(history)
    assert len(kept) == 2
    assert "20260103T000000Z" not in kept[1:]
    newest = history / kept[-1]
    assert json.loads((newest / "summary.json").read_bytes())["streams"][STREAM]["gws_count"] == 1
    assert [path for path, _ in manifest.read(newest / STREAM / "gws" / f"{DAY}.tsv")] == [name_of(0)]
