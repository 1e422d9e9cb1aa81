"""The benchmark of the archive's evidence at a small size: its rows, and that a lost file is no silent success."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import archive_at_scale
from benchmarks.archive_site import STREAMS, make_archive_site
from benchmarks.short import sizes_of
from benchmarks.subject import Bench


def test_each_row_has_a_figure_and_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in sizes_of("archive_at_scale", archive_at_scale).items():
        monkeypatch.setattr(archive_at_scale, name, value)
    result = archive_at_scale.run(Bench(rounds=1, scratch=tmp_path))
    assert len(result.rows) == 8
    assert all(row.value >= 0 for row in result.rows)
    assert list(tmp_path.iterdir()) == []


def test_a_site_has_every_day_of_every_stream_finalized_and_published(tmp_path: Path) -> None:
    made = make_archive_site(tmp_path / "site", days=4, share=0.02)
    entries = made.records.publication().summary()["streams"]
    assert entries.keys() == set(STREAMS)
    for stream in STREAMS:
        files = sum(1 for day in made.all_days() for _ in made.files(stream, day))
        assert entries[stream]["identical_count"] == files > 0
        assert entries[stream]["days_complete"] == 4
    lost = next(path for path in made.root("gws", "wxcam").rglob("*.jpg"))
    lost.unlink()
    with pytest.raises(AssertionError, match="1 missing or different"):
        made.verify("wxcam", made.all_days())
