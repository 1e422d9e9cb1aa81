"""The table of verbs: ``aurora --help`` shows the first sentence of every verb's own help."""

import click
import pytest
from click.testing import CliRunner

from aurora_cli.main import VERBS, main


@pytest.mark.parametrize("name", VERBS)
def test_the_table_has_the_first_sentence_of_each_verbs_own_help(name: str) -> None:
    command = VERBS[name].load()
    assert command.name == name
    assert command.get_short_help_str(limit=1000) == VERBS[name].help


def test_help_lists_each_verb_with_its_sentence_and_an_unknown_verb_exits_with_2() -> None:
    output = " ".join(CliRunner().invoke(main, ["--help"]).output.split())
    assert [name for name, verb in VERBS.items() if f"{name} {verb.help}" not in output] == []
    unknown = CliRunner().invoke(main, ["mend"])
    assert (unknown.exit_code, "No such command 'mend'" in unknown.output) == (2, True)


def test_the_group_returns_the_command_of_the_verbs_module() -> None:
    context = click.Context(main)
    for name, verb in VERBS.items():
        assert main.get_command(context, name) is verb.load()
