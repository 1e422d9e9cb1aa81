"""Sorts the names of files into kinds: names that differ in their digits alone, and how a site file names one kind.

A kind is a sequence of pieces (text, digits, or words that differ from file to file) and the files that have it. Days
are not looked for here; :mod:`aurora_platform.operations.name_days` does. Nothing is read or asked.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

# More words than this at one place of names that are alike otherwise are no kinds, but serial words (hashes, places).
_MOST_WORDS = 12
# "/", a word, what separates words: a name is cut into these.
_TOKEN = re.compile(r"/|[^\W_]+|_+|[^\w/]+")
_DIGITS = re.compile(r"[0-9]+|[^0-9]+")
_ENDING = re.compile(r"\.(?:[A-Za-z][A-Za-z0-9]{0,7}|[0-9][a-z]{1,3})$")
# Digits that belong to a word: the 5 of HATPROG5, the 01 of P01. After a single T or H stands an hour.
_LONGEST_OF_A_WORD = 3
_LEAST_STAMP = 6  # digits in a row, as YYMMDD
_BEFORE_AN_HOUR = re.compile(r"(?<![^\W_])[tThH]$")

type PieceKind = Literal["text", "digits", "words"]


class Piece(NamedTuple):
    """A part of the names of one kind; ``text`` is what all have there, where that is the same by kind."""

    kind: PieceKind
    text: str = ""


@dataclass(frozen=True)
class NamedFile:
    """A file: its path below the source, its mtime (ns since epoch), and its path cut into the pieces of its kind."""

    path: str
    mtime_ns: int
    values: tuple[str, ...]


@dataclass(frozen=True)
class NameKind:
    """Files whose paths are alike: the same pieces in the same order, but for the ending (``.nc``)."""

    pieces: tuple[Piece, ...]
    endings: tuple[str, ...]
    """As they are written in lower case, unless all are in another; one may be empty."""
    files: tuple[NamedFile, ...]

    @cached_property
    def base(self) -> int:
        """Index of the first piece of the base name."""
        return max((n + 1 for n, piece in enumerate(self.pieces) if piece.text == "/"), default=0)

    def values(self, index: int) -> list[str]:
        """What the files have at one piece, in their order."""
        return [file.values[index] for file in self.files]

    @cached_property
    def lengths(self) -> tuple[frozenset[int], ...]:
        """How long each piece is."""
        return tuple(frozenset(map(len, self.values(n))) for n in range(len(self.pieces)))

    def is_part_of_word(self, index: int) -> bool:
        """Whether digits are the same in all names, and belong to the word before them: HATPROG5, P01."""
        before = self.pieces[index - 1].text if index else ""
        if not before[-1:].isalpha() or _BEFORE_AN_HOUR.search(before) or max(self.lengths[index]) > _LONGEST_OF_A_WORD:
            return False
        return len(set(self.values(index))) == 1

    def fixed_text(self, index: int) -> str | None:
        """What all files have at one piece; None where that is another from file to file, or only looks the same."""
        piece = self.pieces[index]
        if piece.kind == "digits" and self.is_part_of_word(index):
            return self.files[0].values[index]
        return piece.text if piece.kind == "text" else None

    def patterns(self, dated: Collection[int], width: Literal["any", "same", "digits"] = "any") -> list[str]:
        """Patterns (``include`` of a stream) that take these files; one for each ending.

        ``dated`` are the pieces with the day. Digits are taken as anything (``*``), as any text of the same length
        (``?``), or as digits (``[0-9]``), where others have names that are alike.
        """
        stem = "".join(self._pattern_of(n, n in dated, width) for n in range(len(self.pieces)))
        if width == "any":
            # "*_*" takes no less than "*" alone.
            stem = re.sub(r"\*(?:[^\w*?/]|_)*(?=\*)", "", stem)
        return [f"{stem}{ending}" for ending in self.endings]

    def _pattern_of(self, index: int, is_dated: bool, width: Literal["any", "same", "digits"]) -> str:
        text = None if is_dated else self.fixed_text(index)
        if text is not None:
            return plain_pattern(text)
        if self.pieces[index].kind == "words" or width == "any" or len(self.lengths[index]) > 1:
            return "*"
        return ("?" if width == "same" else "[0-9]") * min(self.lengths[index])

    def __str__(self) -> str:
        return ", ".join(self.patterns(()))


def plain_pattern(text: str) -> str:
    """Text as a pattern that takes it: what a pattern would read, or a site file may not hold, becomes ``?``."""
    return "".join("?" if c in "*?[]\\" or not c.isprintable() else c for c in text)


def kinds_of(files: Iterable[tuple[str, int]]) -> list[NameKind]:
    """Sort files, each a path and an mtime (ns since epoch), into kinds; that with the most files first."""
    cut = [(path, mtime, *_cut(path)) for path, mtime in files]
    shapes: dict[tuple[str, ...], list[set[str]]] = {}
    for _, _, tokens, _ in cut:
        words = shapes.setdefault(_skeleton(tokens), [set() for _ in tokens])
        for place, token in zip(words, tokens, strict=True):
            place.add(_shape(token))
    found: dict[tuple[tuple[Piece, ...], tuple[int, ...]], list[tuple[NamedFile, str]]] = defaultdict(list)
    for path, mtime, tokens, ending in cut:
        varied = [len(words) > _MOST_WORDS for words in shapes[_skeleton(tokens)]]
        pieces, values = _pieces(tokens, varied)
        widths = tuple(_width(value) for piece, value in zip(pieces, values, strict=True) if piece.kind == "digits")
        found[pieces, widths].append((NamedFile(path, mtime, values), ending))
    kinds = [
        NameKind(pieces, _endings(ending for _, ending in pairs), tuple(file for file, _ in pairs))
        for (pieces, _), pairs in found.items()
    ]
    return sorted(kinds, key=lambda kind: (-len(kind.files), str(kind)))


def _cut(path: str) -> tuple[list[str], str]:
    """The tokens of a path, and its ending."""
    found = _ENDING.search(path)
    stem = path[: found.start()] if found else path
    if not stem or stem.endswith("/"):  # all of the name is ending
        return _TOKEN.findall(path), ""
    return _TOKEN.findall(stem), path[len(stem) :]


def _shape(token: str) -> str:
    return re.sub("[0-9]+", "0", token)


def _width(digits: str) -> int:
    """What tells the digits of one kind from those of another: a stamp has its length, a counter grows."""
    return len(digits) if len(digits) >= _LEAST_STAMP else 0


def _skeleton(tokens: Sequence[str]) -> tuple[str, ...]:
    """What stays of a name when its words are taken out."""
    return tuple("" if token[0].isalnum() else token for token in tokens)


def _pieces(tokens: Sequence[str], varied: Sequence[bool]) -> tuple[tuple[Piece, ...], tuple[str, ...]]:
    pieces: list[Piece] = []
    values: list[str] = []
    for token, is_varied in zip(tokens, varied, strict=True):
        for part in [token] if is_varied else _DIGITS.findall(token):
            is_digits = part[0] in "0123456789"
            kind: PieceKind = "words" if is_varied else "digits" if is_digits else "text"
            if kind == "text" and pieces and pieces[-1].kind == "text" and "/" not in (part, pieces[-1].text):
                pieces[-1] = Piece("text", pieces[-1].text + part)
                values[-1] += part
                continue
            pieces.append(Piece(kind, part if kind == "text" else ""))
            values.append(part)
    return tuple(pieces), tuple(values)


def _endings(found: Iterable[str]) -> tuple[str, ...]:
    # A stream takes both cases of an ending, whichever stands in the site file.
    by_lower: dict[str, set[str]] = defaultdict(set)
    for ending in found:
        by_lower[ending.lower()].add(ending)
    return tuple(sorted(min(ways, key=lambda way: way != lower) for lower, ways in by_lower.items()))
