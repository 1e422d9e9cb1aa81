"""Evidence and ledger, opened without writing: also while another process writes, and where they are damaged."""

from collections.abc import Callable
from pathlib import Path

import pytest

from aurora_platform.archive.fixity import Evidence
from aurora_platform.archive.ledger import Item, Ledger
from aurora_platform.archive.readonly import ReadOnlyEvidence, ReadOnlyLedger
from aurora_platform.errors import AuroraError, NewerError
from aurora_platform.fs.versions import FileVersion


@pytest.fixture(params=[(Evidence, ReadOnlyEvidence), (Ledger, ReadOnlyLedger)], ids=["evidence", "ledger"])
def kinds(request: pytest.FixtureRequest) -> tuple[Callable, Callable]:
    return request.param  # type: ignore[no-any-return]


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_reading_a_database_leaves_no_file_beside_it(kinds: tuple[Callable, Callable], tmp_path: Path) -> None:
    writable, readonly = kinds
    with writable(tmp_path / "db.sqlite"):
        pass
    content = (tmp_path / "db.sqlite").read_bytes()
    with readonly(tmp_path / "db.sqlite"):
        assert names(tmp_path) == ["db.sqlite"]
    assert (tmp_path / "db.sqlite").read_bytes() == content


def test_rows_that_are_only_in_the_log_of_an_open_writer_are_read(tmp_path: Path) -> None:
    item = Item("/raw/a.nc", "/gws/raw/a.nc", FileVersion(1, 2))
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.offer("gws", "raw/met", [item])
        assert (tmp_path / "ledger.sqlite-wal").stat().st_size > 0
        with ReadOnlyLedger(tmp_path / "ledger.sqlite") as other:
            row = other.row("gws", item.remote_path)
            assert row is not None
            assert row.version == item.version


def test_a_missing_damaged_or_newer_database_is_named(kinds: tuple[Callable, Callable], tmp_path: Path) -> None:
    writable, readonly = kinds
    place = tmp_path / "db.sqlite"
    with pytest.raises(AuroraError, match=r"db\.sqlite: there is no (evidence|ledger) yet"):
        readonly(place)
    assert names(tmp_path) == []
    with writable(place) as database:
        database._db.execute("PRAGMA user_version = 99")
    with pytest.raises(NewerError):
        readonly(place)
    place.write_bytes(b"")  # as a full disk leaves it
    with pytest.raises(AuroraError, match=r"db\.sqlite: the \w+( of copies)? is empty"):
        readonly(place)
    place.write_bytes(b"rubbish" * 1000)
    with pytest.raises(AuroraError, match=r"db\.sqlite: the \w+( of copies)? is damaged"):
        readonly(place)
