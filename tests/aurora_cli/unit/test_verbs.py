"""The table of verbs: what ``aurora --help`` says of each is what the verb says of itself."""

import click
import pytest
from click.testing import CliRunner

from aurora_cli.main import VERBS, main


@pytest.mark.parametrize("name", VERBS)
def test_the_table_has_the_first_sentence_of_each_verbs_own_help(name: str) -> None:
    command = VERBS[name].load()
    assert command.name == name
    assert command.get_short_help_str(limit=1000) == VERBS[name].help


def test_help_names_each_verb_with_its_sentence_and_an_unknown_verb_ends_with_2() -> None:
    said = " ".join(CliRunner().invoke(main, ["--help"]).output.split())
    assert [name for name, verb in VERBS.items() if f"{name} {verb.help}" not in said] == []
    unknown = CliRunner().invoke(main, ["mend"])
    assert (unknown.exit_code, "No such command 'mend'" in unknown.output) == (2, True)


def test_a_verb_that_is_called_is_the_one_of_its_module() -> None:
    context = click.Context(main)
    for name, verb in VERBS.items():
        assert main.get_command(context, name) is verb.load()
