"""The decision records in docs/decisions: complete, numbered in sequence, and listed in their index."""

import re
from datetime import date
from pathlib import Path
from typing import NamedTuple

import pytest

FOLDER = Path(__file__).resolve().parents[3] / "docs" / "decisions"
NOT_RECORDS = {"README.md", "template.md"}
FILES = sorted(path for path in FOLDER.glob("*.md") if path.name not in NOT_RECORDS)
HEAD = re.compile(
    r"# (?P<number>\d{4})\. (?P<title>\S.*)\n\n"
    r"- Status: (?P<status>.*)\n- Date: (?P<date>.*)\n- Replaces: (?P<replaces>.*)\n\n## "
)
SECTIONS = {
    "accepted": ["Context", "Decision", "Consequences", "Measured", "Alternatives considered"],
    "superseded": ["Context", "Decision", "Why it was replaced"],
}
SUPERSEDED = re.compile(r"superseded by (\d{4})")
ROW = re.compile(r"^\| \[(\d{4})\]\((.*?)\) \| (.*) \| (.*) \| (.*) \|$", re.MULTILINE)


class Record(NamedTuple):
    number: str
    title: str
    status: str
    date: str
    replaces: str


def read(path: Path) -> Record:
    head = HEAD.match(path.read_text())
    assert head, f"{path.name}: it begins with title, Status, Date and Replaces, as template.md has them"
    return Record(**head.groupdict())


def name_of(path: Path) -> str:
    return path.name


def test_records_are_numbered_in_sequence() -> None:
    assert [path.name[:4] for path in FILES] == [f"{n:04}" for n in range(1, len(FILES) + 1)]


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_record_has_its_files_number_a_known_status_a_date_and_what_it_replaces(path: Path) -> None:
    record = read(path)
    assert re.fullmatch(r"\d{4}(-[a-z0-9]+)+\.md", path.name)
    assert record.number == path.name[:4]
    assert record.status == "accepted" or SUPERSEDED.fullmatch(record.status)
    assert date.fromisoformat(record.date).isoformat() == record.date
    assert record.replaces.strip()


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_record_has_the_sections_of_its_status(path: Path) -> None:
    found = re.findall(r"^## (.*)$", path.read_text(), re.MULTILINE)
    assert found == SECTIONS[read(path).status.split()[0]]


def test_a_superseded_record_names_the_one_that_replaces_it() -> None:
    records = {record.number: record for record in map(read, FILES)}
    named = {
        (older, number)
        for number, record in records.items()
        for older in re.findall(r"\b\d{4}\b(?!-)", record.replaces)
    }
    superseded = {
        (number, newer) for number, record in records.items() for newer in re.findall(SUPERSEDED, record.status)
    }
    assert {newer for _, newer in superseded} <= set(records)
    assert named == superseded


def test_the_index_has_every_record_with_its_title_status_and_date() -> None:
    rows = ROW.findall((FOLDER / "README.md").read_text())
    records = [(path.name, read(path)) for path in FILES]
    assert rows == [(r.number, name, r.title, r.status, r.date) for name, r in records]
