"""The glossary: which words no identifier may have, and that none has them."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts import glossary

TERMS: dict[str, Any] = glossary.load(glossary.GLOSSARY.read_text())


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("far_host = 1\n", ["far_host"]),
        ("class FarHost: pass\n", ["FarHost"]),
        ("def f(here): return there\n", ["here", "there"]),
        ("class HTTPFar: pass\n", ["HTTPFar"]),
        ("x = 'far away'  # here\n", []),
        ("x = {'days_known': 1}\n", ["days_known"]),
        ("limits.look = file.tell() + sha256.digest() + f(look=1)\n", []),
        ("def look(): pass\n", ["look"]),
        ("def f(digest): tell(digest)\n", ["digest", "tell", "digest"]),
        ("def test_no_file_is_there(): pass\n", []),
        ("def test_a_tally(): pass\n", ["test_a_tally"]),
        ("from hashlib import file_digest\n", []),
        ("fare = hereditary = 1\n", []),
        ("print(f'{far} away')\n", ["far"]),
    ],
)
def test_a_banned_word_is_found_as_a_part_of_an_identifier_and_nowhere_else(source: str, found: list[str]) -> None:
    assert [identifier for _, identifier, _ in glossary.offences(source, TERMS)] == found


def test_the_script_names_the_place_and_the_word_to_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "module.py"
    file.write_text("\n\nerrand = 1\n")
    assert glossary.main([str(file)]) == 1
    out = capsys.readouterr().out
    assert re.search(r"module\.py:3: errand: say 'transfer request, transfer result', not 'errand'", out)
    file.write_text("request = 1\n")
    assert glossary.main([str(file)]) == 0
    file.rename(tmp_path / "far_hosts.py")
    assert glossary.main([str(tmp_path / "far_hosts.py")]) == 1
    assert "far_hosts.py:0: far_hosts: say" in capsys.readouterr().out


def test_every_term_has_a_meaning_and_no_term_is_banned_by_another() -> None:
    assert all(term["say"] and term["means"] for term in TERMS["terms"])
    terms = {word for term in TERMS["terms"] for word in re.split(r",? +", term["say"])}
    assert not terms & glossary.banned_words(TERMS).keys()
    assert set(TERMS["plain_in_sentences"]) <= glossary.banned_words(TERMS).keys()


def test_a_key_that_stands_twice_in_the_glossary_is_an_error() -> None:
    with pytest.raises(yaml.YAMLError, match="twice: look"):
        glossary.load("allowed:\n  look: one\n  tell: two\n  look: three\n")
