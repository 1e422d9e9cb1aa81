"""``explain``: for each situation of a file the verdict, the copies and the next step, against independent sources."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from aurora_platform.archive.push_plan import Pushing
from aurora_platform.archive.retention import retire
from aurora_platform.archive.verify_days import Place
from aurora_platform.cameras.refresh import refresh_day
from aurora_platform.cameras.videos import build_daily_video
from aurora_platform.cameras.workspace import CameraWorkspace
from aurora_platform.config.site import Site, load_site
from aurora_platform.layout import Layout
from aurora_platform.operations.explain import explain
from aurora_platform.operations.explain_answer import Answer, Copy, State
from aurora_platform.operations.explain_question import QuestionError
from aurora_platform.transport.bounds import Bounds
from aurora_platform.transport.connections import Connections
from aurora_platform.transport.protocols import Source
from aurora_simulator.ssh_server import SshServer
from tests.archive.places import DAY, STREAM
from tests.archive.pushed import PushedSite
from tests.cameras.sample_media import WITHOUT_B_FRAMES, Film, jpeg
from tests.health.snapshots import healthy_snapshot
from tests.mirror.parts import host_of
from tests.patience import patient
from tests.site_files import write_site

NAME = "0/met_20260305_000.csv"
LATE = "met_20260305_late.csv"


class ExplainedSite(PushedSite):
    """A site whose three places are directories, with real pushes, a retention, and a question."""

    def _change(self, data: dict[str, Any]) -> None:
        super()._change(data)
        data["retention"] = {"raw": {STREAM: "30d"}}
        data["archive"]["max_attempts"] = 1
        data["live"] = {"running": True}

    def explain(self, what: object, **options: Any) -> Answer:
        return explain(self.site, str(what), directory=self.home, **options)


@pytest.fixture
def site(tmp_path: Path, archive_server: SshServer) -> ExplainedSite:
    """A day without files."""
    made = ExplainedSite(tmp_path)
    made.hosts = (host_of(archive_server),)
    return made


@pytest.fixture(scope="module")
def finalized_once(tmp_path_factory: pytest.TempPathFactory, archive_server: SshServer) -> tuple[ExplainedSite, Path]:
    """A finalized day of six files, and a copy of all its files."""
    made, copy = ExplainedSite(tmp_path_factory.mktemp("finalized")), tmp_path_factory.mktemp("copy") / "home"
    made.hosts = (host_of(archive_server),)
    made.finalize()
    shutil.copytree(made.home, copy)
    return made, copy


@pytest.fixture
def finalized(finalized_once: tuple[ExplainedSite, Path]) -> ExplainedSite:
    """A finalized day of six files, restored before each test."""
    made, copy = finalized_once
    shutil.rmtree(made.home)
    shutil.copytree(copy, made.home)
    return made


def sha256sum(path: Path) -> str:
    done = subprocess.run(["sha256sum", str(path)], capture_output=True, text=True, check=True)
    return done.stdout.split()[0]


def rows(database: Path, query: str, *values: object) -> list[tuple]:
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as db:
        return db.execute(query, values).fetchall()


def place(answer: Answer, name: str) -> Copy:
    return next(copy for copy in answer.copies if copy.place == name)


def text_of(answer: Answer) -> str:
    return "\n".join([*answer.subject.lines, answer.conclusion.sentence, *answer.next_steps])


def utc(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"


# -- a file ------------------------------------------------------------------------------------------------------------


def test_a_verified_file_has_the_checksums_of_sha256sum_by_whatever_path_it_is_named(finalized: ExplainedSite) -> None:
    names = [finalized.place(side, NAME) for side in ("source", "local", "gws")]
    answers = [finalized.explain(what) for what in (*names, NAME, f"raw/met/{NAME}")]
    for answer in answers:
        assert (answer.conclusion.state, answer.needs_operator, answer.problems) == (State.VERIFIED, False, ())
        assert (answer.subject.stream, answer.subject.day, answer.subject.path) == (STREAM, DAY, NAME)
    evidence = Layout.of(finalized.site).fixity
    for copy, path, side in zip(answers[0].copies, names, ("source", "local", "gws"), strict=True):
        assert (copy.sha256, copy.size, copy.is_finalized) == (sha256sum(path), path.stat().st_size, True)
        [(at,)] = rows(evidence, "SELECT hashed_at FROM file WHERE path = ? AND side = ?", NAME, side)
        assert copy.read_at == datetime.fromtimestamp(at, UTC)
    found = answers[0].finalization
    assert found is not None
    assert (found.is_complete, found.revision, Path(found.manifest).is_file()) == (True, 1, True)
    read = rows(evidence, "SELECT min(hashed_at) FROM file WHERE path = ?", NAME)[0][0]
    steps = "\n".join(answers[0].next_steps)
    assert f"read again (scrub) by {utc(read + 90 * 86400)} at the latest" in steps
    assert f"retired since 2026-04-05 00:00:00 UTC: aurora retire {STREAM}" in steps


def test_a_file_that_is_still_being_written_is_copied_when_it_has_settled(site: ExplainedSite) -> None:
    now = time.time()
    name = f"met_{datetime.fromtimestamp(now, UTC):%Y%m%d}_1.csv"
    site.place("source", name).write_bytes(b"half")
    answer = site.explain(name)
    settled = utc(site.place("source", name).stat().st_mtime + 300)
    assert answer.conclusion.state is State.UNSETTLED
    assert answer.conclusion.sentence == f"still being written (settle 5m): copied from {settled} on"
    assert not answer.needs_operator
    assert answer.next_steps[0] == f"settled at {settled}"
    assert "sensor arrivals_met (every 2m) starts met_day" in answer.next_steps[1]
    later = datetime.fromtimestamp(now, UTC) + timedelta(minutes=6)
    assert site.explain(name, now=later).conclusion.state is State.MISSING_LOCAL
    assert not site.explain(name, now=later).needs_operator, "it settled a minute ago"
    assert site.explain(name, now=later + timedelta(minutes=20)).needs_operator


def test_a_settled_file_of_an_old_day_that_is_not_local_names_the_command_that_copies_it(site: ExplainedSite) -> None:
    site.write("source", LATE, b"recovered")
    answer = site.explain(LATE)
    assert (answer.conclusion.state, answer.needs_operator) == (State.MISSING_LOCAL, True)
    assert answer.conclusion.command == f"aurora sync met --day {DAY}"
    # retention.raw.met is 30d: the reconciliation leaves out older days, or it would copy retired files again.
    assert answer.next_steps[1] == "schedule reconcile_met leaves out days older than retention.raw.met (30d)"
    in_march = datetime(2026, 3, 20, tzinfo=UTC)
    assert "schedule reconcile_met (next tick 2026-03-20 " in site.explain(LATE, now=in_march).next_steps[1]
    assert [copy.is_present for copy in answer.copies] == [True, False, None]


@pytest.mark.parametrize(
    ("name", "state", "why", "needs_operator"),
    [
        ("met_20260305_\x07bell.csv", State.REFUSED, "control character in the name", True),
        ("met_20261399_1.csv", State.REFUSED, "no day in its name", True),
        ("met_29990101_1.csv", State.REFUSED, "dated in the future", True),
        (".met_20260305_1.csv", State.NOT_OF_STREAM, ".met_20260305_1.csv is a hidden name", False),
        ("notes.txt", State.NOT_OF_STREAM, "no pattern of include matches (**/met_*.csv)", False),
        ("met_20260303_1.csv", State.NOT_BEGUN, "met begins on 2026-03-04", False),
    ],
)
def test_a_file_that_the_site_file_excludes_names_the_rule(
    site: ExplainedSite, name: str, state: State, why: str, needs_operator: bool
) -> None:
    site.write("source", name, b"x")
    answer = site.explain(site.place("source", name))
    assert (answer.conclusion.state, answer.needs_operator) == (state, needs_operator)
    assert why in answer.conclusion.sentence
    assert text_of(answer).replace("\n", "").isprintable()


def test_a_symlink_is_refused_and_a_directory_is_no_file(site: ExplainedSite) -> None:
    site.place("source", LATE).symlink_to("/etc/passwd")
    assert "symlink" in site.explain(site.place("source", LATE)).conclusion.sentence
    site.place("local", "0").mkdir(parents=True)
    with pytest.raises(QuestionError, match="0: a directory of stream met"):
        site.explain(site.place("local", "0"))


def test_a_path_outside_of_every_root_belongs_to_no_stream(site: ExplainedSite) -> None:
    answer = site.explain("/etc/passwd")
    assert answer.conclusion.sentence == "not copied: outside of every directory that the site file names"
    assert answer.next_steps == ("nothing",)


def test_a_file_that_could_not_be_copied_to_the_archive_is_parked_with_the_last_error(site: ExplainedSite) -> None:
    site.fill(sides=["source", "local"])
    (site.place("gws", NAME) / "in the way").mkdir(parents=True)
    assert site.push().files == 5
    answer = site.explain(NAME)
    [(attempts, error)] = rows(
        Layout.of(site.site).ledger, "SELECT attempts, last_error FROM file WHERE parked_at IS NOT NULL"
    )
    assert (answer.conclusion.state, answer.needs_operator) == (State.PARKED, True)
    assert answer.conclusion.sentence == f"parked after {attempts} attempt to copy it to the archive: {error}"
    assert "aurora ledger --retry" in answer.next_steps[0]
    assert site.explain(f"gws/raw/met/{DAY}").conclusion.state is State.PARKED


def test_a_local_file_is_queued_then_copied_then_verified(site: ExplainedSite) -> None:
    site.fill(sides=["source", "local"])
    assert site.explain(NAME).conclusion.state is State.QUEUED
    hours_later = datetime.now(UTC) + timedelta(hours=1)
    assert site.explain(NAME, now=hours_later).conclusion.state is State.MISSING_IN_ARCHIVE
    assert site.explain(NAME, now=hours_later).needs_operator
    site.push()
    answer = site.explain(NAME)
    assert (answer.conclusion.state, answer.needs_operator) == (State.PUSHED, False)
    assert "verified by schedule verify_met (next tick " in "\n".join(answer.next_steps)
    assert answer.finalization is not None
    assert answer.finalization.why_not == "the day was never verified"
    site.verify_and_publish()
    assert site.explain(NAME).conclusion.state is State.VERIFIED


def test_a_local_file_that_differs_from_its_finalization_is_held_back(finalized: ExplainedSite) -> None:
    finalized.place("source", NAME).unlink()
    os.truncate(finalized.place("local", NAME), 3)
    assert finalized.push().held.total == 1
    answer = finalized.explain(NAME)
    assert (answer.conclusion.state, answer.needs_operator) == (State.HELD_BACK, True)
    assert "differs from the version that its day was finalized with" in answer.conclusion.sentence
    assert answer.conclusion.command == f"aurora repair met --day {DAY}"
    assert [place(answer, name).is_finalized for name in ("local", "archive")] == [False, True]
    assert place(answer, "local").size == 3
    assert finalized.explain(f"gws/raw/met/{DAY}").conclusion.state is State.HELD_BACK


def test_a_file_that_changed_on_its_host_after_its_day_was_finalized_names_the_command_that_accepts_it(
    finalized: ExplainedSite,
) -> None:
    finalized.write("source", NAME, b"of somebody else", number=5000)
    finalized.verify_and_publish()
    for question in (NAME, f"raw/{STREAM}/{DAY}", f"manifests/{STREAM}/{DAY}"):
        conclusion = finalized.explain(question).conclusion
        assert (conclusion.state, conclusion.needs_operator) == (State.HELD_BACK, True), question
        assert conclusion.command == f"aurora accept {STREAM} --day {DAY}"
    assert "later than its stream allows" in finalized.explain(NAME).conclusion.sentence


def test_bytes_that_changed_in_the_archive_are_different_and_keep_the_day_from_being_complete(
    finalized: ExplainedSite,
) -> None:
    finalized.flip("gws", NAME)
    finalized.verify_and_publish(full=True)
    answer = finalized.explain(NAME)
    assert answer.conclusion.sentence == "different checksum in the archive"
    assert answer.needs_operator
    assert place(answer, "archive").sha256 == sha256sum(finalized.place("gws", NAME))
    assert place(answer, "archive").sha256 != place(answer, "local").sha256
    assert answer.finalization is not None
    assert not answer.finalization.is_complete
    assert answer.finalization.why_not == f"{NAME}: different checksum in the archive"
    assert finalized.explain(f"manifests/met/{DAY}").conclusion.state is State.INCOMPLETE


def test_a_file_that_its_host_has_deleted_is_pruned_there(finalized: ExplainedSite) -> None:
    finalized.place("source", NAME).unlink()
    answer = finalized.explain(NAME)
    assert (answer.conclusion.state, answer.needs_operator) == (State.PRUNED, False)
    assert [copy.is_present for copy in answer.copies] == [False, True, True]


def test_a_file_whose_local_copy_retention_deleted_is_retired(finalized: ExplainedSite) -> None:
    local, archive = (finalized.places()[side][0] for side in ("local", "gws"))
    assert isinstance(local, Place)
    assert retire(finalized.records, STREAM, local, archive, dry_run=False).files == 6
    assert not finalized.place("local", NAME).exists()
    log = Layout.of(finalized.site).finalizations.retired(STREAM).read_text().splitlines()
    at = next(line["at_utc"] for line in map(json.loads, log) if line["relpath"] == NAME)
    answer = finalized.explain(NAME)
    assert (answer.conclusion.state, answer.needs_operator) == (State.RETIRED, False)
    assert f"{datetime.fromisoformat(at):%Y-%m-%d %H:%M}" in answer.conclusion.sentence
    assert [copy.is_present for copy in answer.copies] == [True, False, True]
    assert finalized.explain(f"raw/met/{DAY}").conclusion.state is State.RETIRED


def test_a_file_that_may_be_pruned_on_its_host_is_told_so(finalized: ExplainedSite) -> None:
    waiting = "\n".join(finalized.explain(NAME).next_steps)
    assert "old enough to be pruned on its host since 2026-03-13 00:00:00 UTC, but: " in waiting
    finalized.verify_all()
    assert "may be pruned on its host now: aurora prune met --plan --files" in "\n".join(
        finalized.explain(NAME).next_steps
    )


def test_a_file_that_no_place_has_is_not_found(finalized: ExplainedSite) -> None:
    answer = finalized.explain("9/met_20260305_999.csv")
    assert (answer.conclusion.state, answer.needs_operator) == (State.NOT_FOUND, False)


# -- streams that share a directory ------------------------------------------------------------------------------------


def test_a_path_that_several_streams_could_have_is_ambiguous_until_the_stream_is_named(tmp_path: Path) -> None:
    def change(data: dict[str, Any]) -> None:
        met = {"host": "here", "path": "met", "raw": "met", "include": ["*.csv"], "day": "mtime", "start": "2026-01-01"}
        data["streams"] |= {"met": met, "wind": met}

    site = load_site(write_site(tmp_path, change))
    (tmp_path / "met").mkdir()
    (tmp_path / "met" / "a.csv").write_text("x")
    with pytest.raises(QuestionError, match=r"several streams could have a\.csv: add --stream met; --stream wind"):
        explain(site, str(tmp_path / "met" / "a.csv"))
    assert explain(site, "met/a.csv", stream="wind", directory=tmp_path).subject.stream == "wind"


@pytest.mark.parametrize(
    "what", ["raw/radar/2026-03-05", "raw/met/2026-13-05", "raw/met/today", "ops/health/2026-03-05", "nonsense", ""]
)
def test_a_question_that_names_nothing_is_refused(site: ExplainedSite, what: str) -> None:
    with pytest.raises(QuestionError):
        site.explain(what)


# -- a broken site -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("database", "section"), [("evidence.sqlite", "evidence"), ("ledger.sqlite", "ledger")])
def test_a_damaged_database_is_named_and_the_other_sections_are_there(
    finalized: ExplainedSite, database: str, section: str
) -> None:
    damaged = finalized.site.paths.state / database
    damaged.write_bytes(b"rubbish" * 1000)
    for what in (NAME, f"raw/met/{DAY}", f"gws/raw/met/{DAY}", f"manifests/met/{DAY}", "gws/core_products"):
        answer = finalized.explain(what)
        assert answer.needs_operator or (what == "gws/core_products" and section == "evidence")
        if answer.problems:
            assert {problem.section for problem in answer.problems} >= {section}
            assert str(damaged) in answer.problems[0].message
    answer = finalized.explain(NAME)
    assert place(answer, "local").size == finalized.place("local", NAME).stat().st_size
    assert answer.finalization is not None
    assert answer.finalization.is_complete


def test_a_directory_that_cannot_be_read_and_a_damaged_finalization_are_named(finalized: ExplainedSite) -> None:
    finalized.place("local").rename(finalized.home / "moved")
    finalized.place("local").symlink_to(finalized.place("local"))  # a loop: also root cannot enter it
    finalization = Layout.of(finalized.site).finalizations.finalization(STREAM, DAY)
    finalization.write_text("rubbish")
    for what in (NAME, f"raw/met/{DAY}"):
        answer = finalized.explain(what)
        messages = {problem.section: problem.message for problem in answer.problems}
        assert str(finalization) in messages["finalization"]
    assert str(finalized.place("local")) in finalized.explain(NAME).problems[0].message


def test_an_explanation_writes_nothing(finalized: ExplainedSite) -> None:
    def state() -> dict[str, tuple[int, int, int]]:
        found = {}
        for path in sorted(finalized.home.rglob("*")):
            status = path.lstat()
            found[str(path)] = (status.st_ino, status.st_size, status.st_mtime_ns)
        return found

    before = state()
    for what in (NAME, f"raw/met/{DAY}", "manifests/met", "gws/core_products", "source/met", "ops/health"):
        finalized.explain(what)
    assert state() == before


# -- over SSH ----------------------------------------------------------------------------------------------------------


def test_a_source_over_ssh_is_listed_only_on_request(tmp_path: Path, archive_server: SshServer) -> None:
    def change(data: dict[str, Any]) -> None:
        data["hosts"]["ass"] = host_of(archive_server).model_dump(mode="json", exclude_none=True)
        met = {"host": "ass", "path": str(tmp_path / "instrument"), "raw": "met", "include": ["met_*.csv"]}
        data["streams"]["met"] = met | {"day": r"(?P<Y>\d{4})(?P<m>\d{2})(?P<d>\d{2})", "start": "2026-03-01"}

    site = load_site(write_site(tmp_path, change))
    (tmp_path / "instrument").mkdir()
    (tmp_path / "instrument" / "met_20260305_1.csv").write_bytes(b"x" * 100)
    os.utime(tmp_path / "instrument" / "met_20260305_1.csv", (1.8e9, 1.772e9))
    what, bounds = "met_20260305_1.csv", Bounds(tmp_path / "known", patient(10), patient(20))
    connected = []

    def source_of(name: str) -> Source:
        connected.append(name)
        return Connections(bounds).source(site.hosts[site.streams[name].host])

    without = explain(site, what)
    assert without.conclusion.state is State.NOT_FOUND
    assert "never listed; --source lists it now" in place(without, "source").note
    listed = explain(site, what, source_of=source_of)
    assert (listed.conclusion.state, listed.needs_operator) == (State.MISSING_LOCAL, True)
    assert place(listed, "source").size == 100
    day = explain(site, "raw/met/2026-03-05", source_of=source_of)
    assert (day.conclusion.state, connected) == (State.INCOMPLETE, ["met", "met"])
    archive_server.stop()
    try:
        broken = explain(site, what, source_of=source_of)
        assert [problem.section for problem in broken.problems] == ["source"]
    finally:
        archive_server.start()


# -- products ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def camera(tmp_path: Path) -> tuple[Site, Callable[[str, bytes], Path]]:
    """A site with a camera, and a function that writes a settled file of its local tree."""
    site = load_site(write_site(tmp_path))
    root = Layout.of(site).raw_root("wxcam")

    def put(path: str, content: bytes) -> Path:
        for base in (root, Path(site.streams["wxcam"].path)):
            (base / path).parent.mkdir(parents=True, exist_ok=True)
            (base / path).write_bytes(content)
            os.utime(base / path, (1.787e9, 1.787e9))
        return root / path

    return site, put


def test_files_that_cannot_be_used_and_the_products_name_the_reason(
    camera: tuple[Site, Callable[[str, bytes], Path]],
) -> None:
    site, put = camera
    day, now = datetime(2026, 8, 18, tzinfo=UTC).date(), datetime(2026, 8, 20, tzinfo=UTC)
    good = put("FISH/20260818/HDR_20260818_110000.mp4", Film(options=WITHOUT_B_FRAMES, frames=7).encode(1))
    flat = put("FISH/20260818/HDR_20260818_120000.mp4", Film(codec="mpeg4", size=(2000, 2), frames=3).encode(2))
    bad = put("FISH/20260818/12/HDR_20260818_123000.jpg", b"no picture")
    put("FISH/20260818/12/HDR_20260818_124000.jpg", jpeg(3))

    def answer(what: object) -> Answer:
        return explain(site, str(what), now=now)

    video = f"wxcam/fish_hdr/daily_video/{day}"
    catalog = Layout.of(site).camera.catalog
    assert answer(good).conclusion.remarks == (f"there is no catalogue yet ({catalog})",)
    assert answer(video).conclusion.sentence == f"there is no catalogue yet ({catalog})"
    workspace = CameraWorkspace.of(site)
    refresh_day(workspace, day, now)
    assert answer(video).conclusion.state is State.NOT_MADE
    assert build_daily_video(workspace, "fish_hdr", day, now).built
    assert (answer(good).conclusion.state, answer(good).conclusion.remarks) == (State.COPIED, ("in the catalogue",))
    excluded = answer(flat)
    assert (excluded.conclusion.state, excluded.needs_operator) == (State.EXCLUDED, False)
    assert "excluded from wxcam/fish_hdr/daily_video: " in excluded.conclusion.sentence
    unreadable = answer(bad)
    [(reason,)] = rows(catalog, "SELECT error FROM unreadable_media WHERE raw_path = ?", str(bad))
    assert (unreadable.conclusion.state, unreadable.needs_operator) == (State.UNREADABLE, True)
    assert reason in unreadable.conclusion.sentence
    made = answer(video)
    assert (made.conclusion.state, made.needs_operator) == (State.MADE, False)
    assert made.product is not None
    comment = subprocess.run(
        ["strings", "-n", "64", str(Layout.of(site).camera.video("fish_hdr", day))],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert f"video/1 {made.product.data_version}" in comment
    assert list(made.product.excluded) == ["FISH/20260818/HDR_20260818_120000.mp4"]
    assert answer(Layout.of(site).camera.video("fish_hdr", day)).subject == made.subject
    assert answer("wxcam/fish_hdr/daily_video").subject.partition == str(day)
    assert answer(f"wxcam/catalog/{day}").conclusion.state is State.UNREADABLE
    put("FISH/20260818/HDR_20260818_130000.mp4", Film(options=WITHOUT_B_FRAMES, frames=5).encode(4))
    refresh_day(workspace, day, now)
    assert answer(video).conclusion.state is State.OUTDATED
    hour = f"wxcam/fish_hdr/hourly_thumbnails/{day}-12:00"
    assert answer(hour).conclusion.state is State.NOT_MADE
    catalog.write_bytes(b"rubbish" * 1000)
    for what in (bad, video, hour, f"wxcam/catalog/{day}"):
        damaged = answer(what)
        assert damaged.needs_operator
        assert any(str(catalog) in problem.message for problem in damaged.problems)


def test_a_small_product_is_pushed_and_then_has_a_copy_in_the_archive(site: ExplainedSite) -> None:
    product = site.site.paths.products / "met" / "plot.png"
    product.parent.mkdir(parents=True)
    product.write_bytes(b"png")
    os.utime(product, (1.77e9, 1.77e9))
    before = site.explain(product)
    assert (before.subject.kind, before.conclusion.state) == ("product", State.MADE)
    assert "schedule push_core_products (next tick " in before.next_steps[-1]
    with site.records.ledger() as ledger:
        Pushing(site.site, site.archive_settings, site.archive_hosts(), ledger).core_products()
    after = site.explain(product)
    archived = place(after, "archive")
    assert (archived.is_present, archived.size) == (True, 3)
    assert Path(archived.location.partition(":")[2]).read_bytes() == b"png"
    assert site.explain(archived.location.partition(":")[2]).subject.path == "met/plot.png"
    assert site.explain("gws/core_products").conclusion.state is State.COPIED


# -- days --------------------------------------------------------------------------------------------------------------


def test_a_day_has_a_row_per_place_and_the_newest_partition_is_found(finalized: ExplainedSite) -> None:
    for key in ("raw/met", "gws/raw/met", "manifests/met"):
        answer = finalized.explain(key)
        assert answer.subject.partition == str(DAY)
        assert [copy.files for copy in answer.copies] == [6, 6, 6]
        assert not answer.needs_operator
        assert answer == finalized.explain(key, now=answer.at)
    assert finalized.explain("manifests/met").conclusion.state is State.COMPLETE
    assert finalized.explain("gws/raw/met").conclusion.state is State.VERIFIED
    finalized.write("source", LATE, b"recovered")
    late = finalized.explain(f"raw/met/{DAY}")
    assert (late.conclusion.state, late.needs_operator) == (State.INCOMPLETE, True)
    assert f"1 settled file of the source missing local, the first {LATE}" in late.conclusion.sentence


def test_a_day_without_files_is_not_complete_and_says_when_its_source_was_listed(site: ExplainedSite) -> None:
    (site.home / "source").mkdir(exist_ok=True)
    answer = site.explain(f"raw/met/{DAY}")
    assert answer.conclusion.state is State.NO_FILES
    assert "the source has no settled file of this day" in answer.conclusion.sentence
    assert [copy.listed_at for copy in answer.copies] == [answer.at, answer.at, None]


def test_what_the_platform_waits_for_stands_below_the_verdict(finalized: ExplainedSite) -> None:
    now = datetime.now(UTC)
    archive = {"name": "archive 127.0.0.9", "address": "127.0.0.9", "error": "refused the connection"}
    source = {"name": finalized.site.streams[STREAM].host, "address": "127.0.0.8", "error": "timed out"}

    def remarks(age: timedelta, *hosts: dict[str, Any]) -> tuple[str, ...]:
        found = healthy_snapshot(now - age, hosts=list(hosts))
        place = Layout.of(finalized.site).health.snapshot
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(found.model_dump_json())
        answer = finalized.explain(f"manifests/met/{DAY}", now=now)
        assert answer.conclusion.state is State.COMPLETE
        return answer.conclusion.remarks

    assert remarks(timedelta(minutes=1), archive | {"reachable": True}, source | {"reachable": True}) == ()
    assert remarks(timedelta(minutes=1), archive | {"reachable": False}, archive | {"reachable": True}) == ()
    [down] = remarks(timedelta(minutes=1), archive | {"reachable": False})
    assert down.startswith("the archive does not answer, at ")
    assert "refused the connection" in down
    [away] = remarks(timedelta(minutes=1), source | {"reachable": False})
    assert "nothing is copied from it (timed out)" in away
    [stopped] = remarks(timedelta(hours=3), archive | {"reachable": False})
    assert stopped.startswith("NOTHING HAPPENS BY ITSELF: the schedule health ran last 3.0 h ago")
