"""Find identifiers that use a word which ``docs/glossary.yaml`` bans: ``python scripts/glossary.py [FILE ...]``.

Reads the Python files that git tracks; exits with 1 where it finds any, each with its place and the word to use.
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
_WORD_ENDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|_")


def banned_words(glossary: dict[str, Any]) -> dict[str, str]:
    """Every banned word, and what to say in its place."""
    return {word: term["say"] for term in glossary["terms"] for word in term.get("banned", ())}


def words_of(identifier: str) -> set[str]:
    """``farHost`` and ``far_host`` have the words far and host; the name of OpenSSH's file is none of ours."""
    return {word.lower() for word in _WORD_ENDS.split(_KNOWN_HOSTS.sub("", identifier)) if word}


def offences(source: str, glossary: dict[str, Any]) -> Iterator[tuple[int, str, str]]:
    """Line, identifier and what to say, for every identifier of a Python source that has a banned word."""
    banned, plain = banned_words(glossary), set(glossary["plain_in_sentences"])
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.NAME and token.string not in glossary["allowed"]:
            # The name of a test is a sentence.
            words = words_of(token.string) - (plain if token.string.startswith("test_") else set())
            for word in words & banned.keys():
                yield token.start[0], token.string, f"say {banned[word]!r}, not {word!r}"


def main(arguments: Sequence[str]) -> int:
    """Look through the files, or through all that git tracks."""
    glossary = yaml.safe_load(GLOSSARY.read_text())
    listing = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    count = 0
    for file in arguments or [ROOT / name for name in listing.splitlines()]:
        for line, identifier, why in offences(Path(file).read_text(encoding="utf-8"), glossary):
            print(f"{file}:{line}: {identifier}: {why}")
            count += 1
    if count:
        print(f"{count} identifiers with banned words; see docs/glossary.yaml", file=sys.stderr)
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
