"""Find identifiers that use a word which ``docs/glossary.yaml`` bans: ``python scripts/glossary.py [FILE ...]``.

Reads the Python files that git tracks, with their names, and the strings in them that look like identifiers (keys and
labels of metadata). Exits with 1 where it finds any, each with its place and the word to use.
"""

import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
GLOSSARY = ROOT / "docs" / "glossary.yaml"
_KNOWN_HOSTS = re.compile("known_?hosts", re.IGNORECASE)
_WORD_ENDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|_")
_LABEL = re.compile(r"""[a-z]*(["'])(?P<text>[a-z][a-z0-9]*(?:_[a-z0-9]+)+)\1""")


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice: YAML's own loader takes the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        if twice := {key for key in keys if keys.count(key) > 1}:
            raise yaml.constructor.ConstructorError(None, None, f"twice: {', '.join(sorted(twice))}", node.start_mark)
        return super().construct_mapping(node, deep)


def load(text: str) -> dict[str, Any]:
    """The glossary."""
    glossary: dict[str, Any] = yaml.load(text, _Loader)  # noqa: S506  (a SafeLoader)
    return glossary


def banned_words(glossary: dict[str, Any]) -> dict[str, str]:
    """Every banned word, and what to say in its place."""
    return {word: term["say"] for term in glossary["terms"] for word in term.get("banned", ())}


def words_of(identifier: str) -> set[str]:
    """``farHost``, ``HTTPFar`` and ``far_host`` have the word far; the name of OpenSSH's file is none of ours."""
    return {word.lower() for word in _WORD_ENDS.split(_KNOWN_HOSTS.sub("", identifier)) if word}


def offences(source: str, glossary: dict[str, Any], has_labels: bool = True) -> Iterator[tuple[int, str, str]]:
    """Line, identifier and what to say, for every identifier of a Python source that has a banned word.

    With ``has_labels`` also for strings that look like identifiers; those of tests are often data of a site.
    """
    banned, plain = banned_words(glossary), set(glossary["plain_in_sentences"])
    tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    for before, token, after in zip([None, *tokens], tokens, [*tokens[1:], None], strict=False):
        text = token.string
        if token.type == tokenize.STRING and has_labels and (label := _LABEL.fullmatch(text)):
            text = label["text"]
        elif token.type != tokenize.NAME:
            continue
        if text in glossary["allowed"]:
            continue
        if text in glossary["allowed_as_attribute"] and _is_attribute(before, after):
            continue
        yield from _offences_of(token.start[0], text, banned, plain)


def _is_attribute(before: tokenize.TokenInfo | None, after: tokenize.TokenInfo | None) -> bool:
    """Whether a name is ``.name``, the keyword argument ``name=``, or a field ``name: type`` on a line of its own."""
    is_keyword = after is not None and after.string == "=" and before is not None and before.string in {"(", ","}
    begins_line = before is not None and before.type in {
        tokenize.NEWLINE,
        tokenize.NL,
        tokenize.INDENT,
        tokenize.DEDENT,
    }
    is_field = begins_line and after is not None and after.string == ":"
    return is_keyword or is_field or (before is not None and before.string == ".")


def offences_of_name(file: str, glossary: dict[str, Any]) -> Iterator[tuple[int, str, str]]:
    """The same for the name of a file, with its directories, relative to the repository."""
    banned, plain = banned_words(glossary), set(glossary["plain_in_sentences"])
    for part in Path(file).with_suffix("").parts:
        yield from _offences_of(0, part, banned, plain)


def _offences_of(line: int, name: str, banned: dict[str, str], plain: set[str]) -> Iterator[tuple[int, str, str]]:
    """The banned words of one name; the name of a test is a sentence."""
    words = words_of(name) - (plain if name.startswith("test_") else set())
    for word in words & banned.keys():
        yield line, name, f"say {banned[word]!r}, not {word!r}"


def main(arguments: Sequence[str]) -> int:
    """Check the files, or all that git tracks."""
    glossary = load(GLOSSARY.read_text(encoding="utf-8"))
    command = ["git", "ls-files", "*.py", "*.pyi"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    count = 0
    for file in arguments or listing.splitlines():
        path = ROOT / file
        source = path.read_text(encoding="utf-8")
        name = file if path.is_relative_to(ROOT) and not Path(file).is_absolute() else path.name
        found = [*offences_of_name(name, glossary), *offences(source, glossary, not name.startswith("tests/"))]
        for line, identifier, why in found:
            print(f"{file}:{line}: {identifier}: {why}")
        count += len(found)
    if count:
        print(f"identifiers with banned words: {count}; see docs/glossary.yaml", file=sys.stderr)
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
