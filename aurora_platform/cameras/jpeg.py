"""The header of a plain JPEG, read in a few microseconds; whatever is not plain is left to Pillow.

A catalogue that begins with an archive opens a hundred thousand images, and Pillow's parser, which is in Python and
reads every table, took most of that time. This one steps from segment to segment and reads one of them. It believes
nothing: it accepts only what Pillow accepts too (a test holds the two against each other), and says "don't know" to the
rest, of which Pillow then says what is wrong. Nothing is decoded here.
"""

import os
from collections.abc import Callable
from typing import NamedTuple

_START, END = b"\xff\xd8", b"\xff\xd9"
_BLOCK = 4096  # bytes; what cameras write before the picture fits
_MOST_SEGMENTS = 256
_MARKER = 0xFF
_FRAMES = frozenset((0xC0, 0xC1, 0xC2))  # baseline, extended, progressive; Huffman-coded all of them
# And those that some decoder knows besides: lossless, and coded arithmetically.
_ANY_FRAMES = _FRAMES | {0xC3, 0xC9, 0xCA, 0xCB}
_PROGRESSIVE, _SCAN, _QUANTIZATION = 0xC2, 0xDA, 0xDB
# DHT, DRI, APP0, APP1, APP14 and comments: told by their length alone. Not APP2 and APP13, in which Pillow looks for
# more, nor what we have not seen.
_STEPPED_OVER = frozenset((0xC4, 0xDD, 0xE0, 0xE1, 0xEE, 0xFE))
# JFIF's and Adobe's blocks, in which Pillow reads a version; where they are too short for it, Pillow shall say so.
_SHORTEST = {0xE0: 2 + 7, 0xEE: 2 + 7}
_COMPONENTS = frozenset((1, 3))
_MOST_SAMPLES = 4  # of a component, along each side of the smallest coded unit
_HEIGHT_AT = 5  # bytes into a frame header, its marker included
# A marker with its length, and the longest segment that is looked into: four quantization tables of 16 bits.
_LONGEST_READ = 4 + 4 * 129

# Not through a symlink, and not waiting for the writer of what has become a pipe.
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

MARGIN = 16
"""Rows below the last wanted one that have to be decoded with it: colours are interpolated between rows."""


class Header(NamedTuple):
    """What a plain JPEG says of itself before its picture."""

    width: int  # px
    height: int  # px
    at: int  # where in the file its frame header begins (bytes)
    is_sequential: bool  # not progressive: a decoder may stop at any row


class Frame(NamedTuple):
    """What any JPEG says of its samples."""

    bits: int
    """of a sample"""
    height: int  # px
    width: int  # px
    components: int


# The last header, from the first segment that is looked into up to the picture, and what was read from it (``at`` is
# counted from there): a camera's images differ at most in what stands before, where some say when they were taken. At
# first it is what no segment begins with.
_before = [(b"\0", Header(0, 0, 0, is_sequential=False))]

Read = Callable[[int, int], bytes]
"""``read(count, offset)``: as many bytes of a file as there are from there on."""


def plain_size(path: str) -> tuple[int, int] | None:
    """Width and height (px) of a file that begins and ends as a plain JPEG; None where that is not sure.

    Raises
    ------
    OSError
        Where the file cannot be opened or read.
    """
    fd = os.open(path, _FLAGS)
    try:
        end = os.lseek(fd, 0, os.SEEK_END)
        if os.pread(fd, 2, max(0, end - 2)) != END:
            return None
        header = header_of(lambda count, offset: os.pread(fd, count, offset))
        return (header.width, header.height) if header else None
    finally:
        os.close(fd)


def frame_in(path: str) -> Frame | None:
    """As :func:`frame_of`, of a file; OSError where it cannot be opened or read."""
    fd = os.open(path, _FLAGS)
    try:
        return frame_of(lambda count, offset: os.pread(fd, count, offset))
    finally:
        os.close(fd)


def frame_of(read: Read) -> Frame | None:
    """What a JPEG says of its samples, plain or not; None where that cannot be found."""
    if read(len(_START), 0) != _START:
        return None
    place = len(_START)
    for _ in range(_MOST_SEGMENTS):
        segment = read(10, place)
        if len(segment) < 10 or segment[0] != _MARKER or segment[1] == _SCAN:
            return None
        if segment[1] in _ANY_FRAMES:
            return Frame(segment[4], int.from_bytes(segment[5:7]), int.from_bytes(segment[7:9]), segment[9])
        place += 2 + int.from_bytes(segment[2:4])
    return None


def header_of(read: Read) -> Header | None:
    """The header of a JPEG; None where it is not plain."""
    block = read(_BLOCK, 0)
    if not block.startswith(_START):
        return None
    start, place = 0, len(_START)
    tables, header = -1, None
    for _ in range(_MOST_SEGMENTS):
        if place + _LONGEST_READ > start + len(block):
            start, block = place, read(_BLOCK, place)
        at = place - start
        if at + 4 > len(block) or block[at] != _MARKER:
            return None
        marker, length = block[at + 1], block[at + 2] << 8 | block[at + 3]
        if length < _SHORTEST.get(marker, 2):
            return None
        if marker not in _STEPPED_OVER:
            if tables < 0:
                text, known = _before[0]
                if block.startswith(text, at):
                    return Header(known.width, known.height, place + known.at, known.is_sequential)
                tables = place
            segment = block[at + 4 : at + 2 + length]
            if len(segment) != length - 2:
                return None
            if marker == _SCAN:
                if header and start <= tables:
                    _before[0] = block[tables - start : at + 2 + length], header._replace(at=header.at - tables)
                return header
            if marker in _FRAMES and header is None and (size := _size_in_frame(segment)):
                header = Header(*size, place, marker != _PROGRESSIVE)
            elif marker != _QUANTIZATION or not _is_whole(segment):
                return None
        place += 2 + length
    return None


def shortened(data: bytes, rows: int) -> bytes | None:
    """The same JPEG with fewer rows: a decoder stops below them. None where that cannot be.

    The last of them are not as in the whole picture where colours are subsampled: see :data:`MARGIN`.
    """
    header = header_of(lambda count, offset: data[offset : offset + count])
    if header is None or not header.is_sequential or not 0 < rows <= header.height:
        return None
    place = header.at + _HEIGHT_AT
    return b"".join((data[:place], rows.to_bytes(2), data[place + 2 :]))


def _size_in_frame(segment: bytes) -> tuple[int, int] | None:
    if len(segment) < 6 or segment[0] != 8 or segment[5] not in _COMPONENTS or len(segment) != 6 + 3 * segment[5]:
        return None
    height, width = segment[1] << 8 | segment[2], segment[3] << 8 | segment[4]
    samples = segment[7::3]  # of each component: along, and down
    is_simple = _divide_the_most([one >> 4 for one in samples]) and _divide_the_most([one & 0xF for one in samples])
    return (width, height) if width and height and is_simple else None


def _divide_the_most(samples: list[int]) -> bool:
    """Whether no component has to be resampled by a fraction, which decoders in colour refuse."""
    most = max(samples)
    return most <= _MOST_SAMPLES and all(one and most % one == 0 for one in samples)


def _is_whole(tables: bytes) -> bool:
    """Whether a segment holds whole quantization tables."""
    place = 0
    while place < len(tables):
        place += 65 if tables[place] < 16 else 129
    return place == len(tables)
