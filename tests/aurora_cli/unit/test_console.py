"""Tables of the command: the title of a narrow table stays on one line, and is no markup."""

import pytest

from aurora_cli.console import print_table


@pytest.mark.parametrize(
    "title", ["Copies (times are UTC)", "what the rules do with [bold]119[/] files that were listed"]
)
def test_the_title_of_a_narrow_table_stays_on_one_line(title: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_table(title, ["a"], [["1"]])
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == title
    assert [line for line in lines[1:] if line.isalnum()] == ["a", "1"]


def test_a_title_from_outside_is_printable(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("\x1b[31mred", ["a"], [["1"]])
    assert capsys.readouterr().out.splitlines()[0] == "\\x1b[31mred"
