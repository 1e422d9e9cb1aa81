"""Read the header of a plain JPEG in a few microseconds. All other files are left to Pillow; nothing is decoded.

The first refresh of an archive opens a hundred thousand images. Pillow's parser, which is in Python and reads every
table, took most of that time. This parser goes from segment to segment and reads only the frame header. It accepts only
files that Pillow accepts too (a test compares the two). For other files it returns None; Pillow then finds the reason.
"""

import os
from collections.abc import Callable
from typing import NamedTuple

_START, END = b"\xff\xd8", b"\xff\xd9"
_BLOCK_SIZE = 4096  # bytes; all that cameras write before the picture fits
_MAX_SEGMENTS = 256
_MARKER = 0xFF
_PLAIN_FRAMES = frozenset((0xC0, 0xC1, 0xC2))  # baseline, extended, progressive; all Huffman-coded
# Other frames that some decoder supports: lossless, and arithmetic-coded.
_ANY_FRAMES = _PLAIN_FRAMES | {0xC3, 0xC9, 0xCA, 0xCB}
_PROGRESSIVE, _SCAN, _QUANTIZATION = 0xC2, 0xDA, 0xDB
# DHT, DRI, APP0, APP1, APP14 and comments: only their length is read. Not APP2 and APP13, which Pillow parses, and no
# segment that our cameras do not write.
_SKIPPED = frozenset((0xC4, 0xDD, 0xE0, 0xE1, 0xEE, 0xFE))
# Pillow reads a version from the JFIF and Adobe segments; if they are too short, Pillow reports the error.
_MIN_LENGTHS = {0xE0: 2 + 7, 0xEE: 2 + 7}
_COMPONENTS = frozenset((1, 3))
_MAX_SAMPLES = 4  # of a component, along each side of the smallest coded unit
_HEIGHT_OFFSET = 5  # bytes from the start of a frame header, its marker included
# A marker with its length, and the longest segment that is parsed: four quantization tables of 16 bits.
_MAX_PARSED = 4 + 4 * 129

# Does not follow a symlink, and does not wait for the writer of a file that became a pipe.
_OPEN_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

ROW_MARGIN = 16
"""Rows to decode below the last wanted row: decoders interpolate colours between rows."""


class Header(NamedTuple):
    """The header of a plain JPEG."""

    width: int  # px
    height: int  # px
    frame_offset: int  # of its frame header in the file (bytes)
    is_sequential: bool  # not progressive: a decoder may stop at any row


class FrameHeader(NamedTuple):
    """The frame header of any JPEG."""

    bits: int  # per sample
    height: int  # px
    width: int  # px
    components: int


# A cache: the bytes of the last header, from the first parsed segment to the picture, and the header read from them
# (``frame_offset`` counts from there). The images of a camera differ only before that segment, where some cameras store
# the time. The initial bytes match no segment.
_last_header = [(b"\0", Header(0, 0, 0, is_sequential=False))]

ReadAt = Callable[[int, int], bytes]
"""``read(count, offset)``: up to ``count`` bytes of a file from ``offset``."""


def read_plain_size(path: str) -> tuple[int, int] | None:
    """Read width and height (px) of a file that begins and ends as a plain JPEG; None if it is not plain.

    Raises
    ------
    OSError
        If the file cannot be opened or read.
    """
    fd = os.open(path, _OPEN_FLAGS)
    try:
        end = os.lseek(fd, 0, os.SEEK_END)
        if os.pread(fd, 2, max(0, end - 2)) != END:
            return None
        header = read_header(lambda count, offset: os.pread(fd, count, offset))
        return (header.width, header.height) if header else None
    finally:
        os.close(fd)


def read_file_frame_header(path: str) -> FrameHeader | None:
    """As :func:`read_frame_header`, for a file; OSError if it cannot be opened or read."""
    fd = os.open(path, _OPEN_FLAGS)
    try:
        return read_frame_header(lambda count, offset: os.pread(fd, count, offset))
    finally:
        os.close(fd)


def read_frame_header(read: ReadAt) -> FrameHeader | None:
    """Read the frame header of any JPEG; None if there is none."""
    if read(len(_START), 0) != _START:
        return None
    offset = len(_START)
    for _ in range(_MAX_SEGMENTS):
        segment = read(10, offset)
        if len(segment) < 10 or segment[0] != _MARKER or segment[1] == _SCAN:
            return None
        if segment[1] in _ANY_FRAMES:
            return FrameHeader(segment[4], int.from_bytes(segment[5:7]), int.from_bytes(segment[7:9]), segment[9])
        offset += 2 + int.from_bytes(segment[2:4])
    return None


def read_header(read: ReadAt) -> Header | None:
    """Read the header of a JPEG; None if it is not plain."""
    block = read(_BLOCK_SIZE, 0)
    if not block.startswith(_START):
        return None
    start, offset = 0, len(_START)
    parsed_from, header = -1, None
    for _ in range(_MAX_SEGMENTS):
        if offset + _MAX_PARSED > start + len(block):
            start, block = offset, read(_BLOCK_SIZE, offset)
        at = offset - start
        if at + 4 > len(block) or block[at] != _MARKER:
            return None
        marker, length = block[at + 1], block[at + 2] << 8 | block[at + 3]
        if length < _MIN_LENGTHS.get(marker, 2):
            return None
        if marker not in _SKIPPED:
            if parsed_from < 0:
                content, cached = _last_header[0]
                if block.startswith(content, at):
                    return Header(cached.width, cached.height, offset + cached.frame_offset, cached.is_sequential)
                parsed_from = offset
            segment = block[at + 4 : at + 2 + length]
            if len(segment) != length - 2:
                return None
            if marker == _SCAN:
                if header and start <= parsed_from:
                    content = block[parsed_from - start : at + 2 + length]
                    _last_header[0] = content, header._replace(frame_offset=header.frame_offset - parsed_from)
                return header
            if marker in _PLAIN_FRAMES and header is None and (size := _parse_frame_size(segment)):
                header = Header(*size, offset, marker != _PROGRESSIVE)
            elif marker != _QUANTIZATION or not _holds_whole_tables(segment):
                return None
        offset += 2 + length
    return None


def shorten(data: bytes, rows: int) -> bytes | None:
    """Return the same JPEG with fewer rows, so that a decoder stops below them; None if that is not possible.

    With subsampled colours the last rows differ from those of the whole picture: see :data:`ROW_MARGIN`.
    """
    header = read_header(lambda count, offset: data[offset : offset + count])
    if header is None or not header.is_sequential or not 0 < rows <= header.height:
        return None
    offset = header.frame_offset + _HEIGHT_OFFSET
    return b"".join((data[:offset], rows.to_bytes(2), data[offset + 2 :]))


def _parse_frame_size(segment: bytes) -> tuple[int, int] | None:
    if len(segment) < 6 or segment[0] != 8 or segment[5] not in _COMPONENTS or len(segment) != 6 + 3 * segment[5]:
        return None
    height, width = segment[1] << 8 | segment[2], segment[3] << 8 | segment[4]
    sampling = segment[7::3]  # per component: horizontal and vertical factor, 4 bits each
    is_simple = _divide_max([factors >> 4 for factors in sampling]) and _divide_max(
        [factors & 0xF for factors in sampling]
    )
    return (width, height) if width and height and is_simple else None


def _divide_max(factors: list[int]) -> bool:
    """Whether no component needs resampling by a fraction, which colour decoders refuse."""
    largest = max(factors)
    return largest <= _MAX_SAMPLES and all(factor and largest % factor == 0 for factor in factors)


def _holds_whole_tables(tables: bytes) -> bool:
    """Whether a segment holds whole quantization tables."""
    offset = 0
    while offset < len(tables):
        offset += 65 if tables[offset] < 16 else 129
    return offset == len(tables)
