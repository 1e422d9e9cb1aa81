"""Read and merge H.264 headers of MP4 files (ISO/IEC 14496-15, AVCDecoderConfigurationRecord). Decodes no frame.

FFmpeg reports the pixel format only after it has decoded a whole frame, which takes 26 ms at the size of our camera.
This module reads it from the parameter sets. Headers that are not plain are left to FFmpeg.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from aurora_platform.errors import MediaError

_WITHOUT_CHROMA_FORMAT = (66, 77, 88)  # Baseline, Main, Extended: always 4:2:0 in 8 bits
_HIGH = 100
_EXTENDED_SAR = 255
_MAX_BYTES = 128  # of a parameter set; the fields that we read are in the first few dozen


@dataclass(frozen=True)
class _Header:
    """A parsed record: version, profile, compatibility, level and length size; parameter sets; the rest."""

    fixed: bytes
    sps: tuple[bytes, ...]
    pps: tuple[bytes, ...]
    rest: bytes

    @classmethod
    def parse(cls, record: bytes) -> "_Header":
        position = 5

        def units(mask: int) -> tuple[bytes, ...]:
            nonlocal position
            found = []
            count = record[position] & mask
            position += 1
            for _ in range(count):
                size = int.from_bytes(record[position : position + 2])
                found.append(record[position + 2 : position + 2 + size])
                position += 2 + size
            return tuple(found)

        try:
            sps, pps = units(0x1F), units(0xFF)
        except IndexError:
            raise MediaError("the H.264 header is damaged") from None
        return cls(record[:5], sps, pps, record[position:])

    def to_bytes(self) -> bytes:
        def block(mask: int, found: tuple[bytes, ...]) -> bytes:
            return bytes([mask | len(found)]) + b"".join(len(unit).to_bytes(2) + unit for unit in found)

        return self.fixed + block(0xE0, self.sps) + block(0, self.pps) + self.rest


class _BitReader:
    """Reads a parameter set bit by bit; raises :class:`MediaError` at its end."""

    def __init__(self, unit: bytes) -> None:
        # A 3 after two zeros only prevents a start code (ITU-T H.264, 7.4.1).
        self._bits = "".join(f"{byte:08b}" for byte in unit[:_MAX_BYTES].replace(b"\0\0\3", b"\0\0"))
        self._position = 0

    def read_bits(self, count: int) -> int:
        """Read the next ``count`` bits as a number."""
        found = self._bits[self._position : self._position + count]
        if len(found) < count:
            raise MediaError("the H.264 header is truncated")
        self._position += count
        return int(found or "0", 2)

    def read_ue(self) -> int:
        """Read the next unsigned Exp-Golomb number, ue(v) (ITU-T H.264, 9.1)."""
        end = self._bits.find("1", self._position)
        if end < 0:
            raise MediaError("the H.264 header is truncated")
        zeros, self._position = end - self._position, end
        return self.read_bits(zeros + 1) - 1


def merge_headers(headers: Iterable[bytes]) -> bytes:
    """Merge headers into one with the parameter sets of all; the first header gives the rest."""
    parsed = [_Header.parse(header) for header in dict.fromkeys(headers)]
    first = parsed[0]
    if any(header.fixed[4] != first.fixed[4] for header in parsed):
        raise MediaError("clips with different NAL length sizes cannot be joined")
    level = max(header.fixed[3] for header in parsed)
    return _Header(
        first.fixed[:3] + bytes([level]) + first.fixed[4:],
        tuple(dict.fromkeys(unit for header in parsed for unit in header.sps)),
        tuple(dict.fromkeys(unit for header in parsed for unit in header.pps)),
        first.rest,
    ).to_bytes()


def can_merge_with(header: bytes, parameter_set_id: int) -> bool:
    """Whether one file can hold this header and parameter sets with that ID.

    It can if NAL lengths have four bytes and the header's own parameter sets have other IDs.
    """
    try:
        parsed = _Header.parse(header)
        # The ID follows NAL type, profile and level in an SPS, and the NAL type in a PPS.
        ids = {_BitReader(unit[4:]).read_ue() for unit in parsed.sps}
        ids |= {_BitReader(unit[1:]).read_ue() for unit in parsed.pps}
    except MediaError:
        return False
    return parsed.fixed[0] == 1 and parsed.fixed[4] & 3 == 3 and parameter_set_id not in ids


def plain_frame_size(header: bytes) -> tuple[int, int] | None:
    """Read width and height (px) of plain frames: 4:2:0, 8 bits, limited range, progressive.

    None if the frames are not plain, or the header has a form that this parser does not support: ask FFmpeg then.
    """
    try:
        sizes = {_sps_frame_size(unit) for unit in _Header.parse(header).sps}
    except MediaError:
        return None
    return sizes.pop() if len(sizes) == 1 else None


def _sps_frame_size(sps: bytes) -> tuple[int, int] | None:
    """As :func:`plain_frame_size`, for one SPS (ITU-T H.264, 7.3.2.1.1)."""
    reader = _BitReader(sps)
    reader.read_bits(8)
    profile = reader.read_bits(8)
    reader.read_bits(16)  # constraints, level
    reader.read_ue()  # ID
    if profile == _HIGH:
        if (reader.read_ue(), reader.read_ue(), reader.read_ue(), reader.read_bits(2)) != (1, 0, 0, 0):
            return None  # not 4:2:0, more than 8 bits, lossless, or with scaling lists
    elif profile not in _WITHOUT_CHROMA_FORMAT:
        return None
    reader.read_ue()  # length of frame numbers
    match reader.read_ue():  # type of the picture order count
        case 0:
            reader.read_ue()
        case 2:
            pass
        case _:
            return None
    reader.read_ue()  # reference frames
    reader.read_bits(1)
    width, height = 16 * (reader.read_ue() + 1), 16 * (reader.read_ue() + 1)
    if not reader.read_bits(1):
        return None  # interlaced
    reader.read_bits(1)
    if reader.read_bits(1):
        width -= 2 * (reader.read_ue() + reader.read_ue())
        height -= 2 * (reader.read_ue() + reader.read_ue())
    return None if reader.read_bits(1) and _is_full_range(reader) else (width, height)


def _is_full_range(reader: _BitReader) -> bool:
    """Whether luma uses all values from 0 to 255, by the video usability information (ITU-T H.264, E.1.1)."""
    if reader.read_bits(1) and reader.read_bits(8) == _EXTENDED_SAR:
        reader.read_bits(32)
    if reader.read_bits(1):
        reader.read_bits(1)  # overscan
    return bool(reader.read_bits(1) and reader.read_bits(4) & 1)
