"""The header of H.264 in MP4 (ISO/IEC 14496-15, AVCDecoderConfigurationRecord): parameter sets and what they say.

It is read here and not by FFmpeg because FFmpeg tells what a header means only once it has decoded a whole frame, which
takes 26 ms at the size of our camera. Nothing here decodes, and what is not plain is left to FFmpeg.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from aurora_platform.errors import MediaError

_WITHOUT_CHROMA_FORMAT = (66, 77, 88)  # Baseline, Main, Extended: always 4:2:0 in 8 bits
_HIGH = 100
_EXTENDED_ASPECT = 255
_READ = 128  # bytes of a parameter set; what is asked for here stands in the first few dozen


@dataclass(frozen=True)
class _Header:
    """The record, taken apart: version, profile, compatibility, level, length size; parameter sets; what follows."""

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
            raise MediaError("its H.264 header is broken") from None
        return cls(record[:5], sps, pps, record[position:])

    def record(self) -> bytes:
        def block(mask: int, found: tuple[bytes, ...]) -> bytes:
            return bytes([mask | len(found)]) + b"".join(len(unit).to_bytes(2) + unit for unit in found)

        return self.fixed + block(0xE0, self.sps) + block(0, self.pps) + self.rest


class _Bits:
    """A parameter set, read bit by bit; :class:`MediaError` at its end."""

    def __init__(self, unit: bytes) -> None:
        # A 3 behind two zeros is there only so that no start code appears (ITU-T H.264, 7.4.1).
        self._bits = "".join(f"{byte:08b}" for byte in unit[:_READ].replace(b"\0\0\3", b"\0\0"))
        self._at = 0

    def take(self, count: int) -> int:
        """The next ``count`` bits as a number."""
        found = self._bits[self._at : self._at + count]
        if len(found) < count:
            raise MediaError("its H.264 header is cut")
        self._at += count
        return int(found or "0", 2)

    def golomb(self) -> int:
        """The next unsigned Exp-Golomb number (ITU-T H.264, 9.1)."""
        end = self._bits.find("1", self._at)
        if end < 0:
            raise MediaError("its H.264 header is cut")
        zeros, self._at = end - self._at, end
        return self.take(zeros + 1) - 1


def merged_header(headers: Iterable[bytes]) -> bytes:
    """One header with the parameter sets of all; the first gives the rest."""
    parsed = [_Header.parse(header) for header in dict.fromkeys(headers)]
    first = parsed[0]
    if any(header.fixed[4] != first.fixed[4] for header in parsed):
        raise MediaError("clips with different sizes of the NAL length cannot be joined")
    level = max(header.fixed[3] for header in parsed)
    return _Header(
        first.fixed[:3] + bytes([level]) + first.fixed[4:],
        tuple(dict.fromkeys(unit for header in parsed for unit in header.sps)),
        tuple(dict.fromkeys(unit for header in parsed for unit in header.pps)),
        first.rest,
    ).record()


def can_stand_beside(header: bytes, number: int) -> bool:
    """Whether one file can have this header and parameter sets of that number: lengths in four bytes, other numbers."""
    try:
        parsed = _Header.parse(header)
        # The number stands behind NAL type, profile and level in an SPS, behind the NAL type in a PPS.
        numbers = {_Bits(unit[4:]).golomb() for unit in parsed.sps} | {_Bits(unit[1:]).golomb() for unit in parsed.pps}
    except MediaError:
        return False
    return parsed.fixed[0] == 1 and parsed.fixed[4] & 3 == 3 and number not in numbers


def plain_frames(header: bytes) -> tuple[int, int] | None:
    """Width and height (px) of frames that are plain: 4:2:0, 8 bits, limited range, progressive.

    None where the header says otherwise, or says it in a way that is not read here: only FFmpeg can tell then.
    """
    try:
        sizes = {_plain_frames(unit) for unit in _Header.parse(header).sps}
    except MediaError:
        return None
    return sizes.pop() if len(sizes) == 1 else None


def _plain_frames(sps: bytes) -> tuple[int, int] | None:
    """As :func:`plain_frames`, of one SPS (ITU-T H.264, 7.3.2.1.1)."""
    start = _Bits(sps)
    start.take(8)
    profile = start.take(8)
    start.take(16)  # constraints, level
    start.golomb()  # its number
    if profile == _HIGH:
        if (start.golomb(), start.golomb(), start.golomb(), start.take(2)) != (1, 0, 0, 0):
            return None  # not 4:2:0, more than 8 bits, lossless, or with scaling lists
    elif profile not in _WITHOUT_CHROMA_FORMAT:
        return None
    start.golomb()  # the length of frame numbers
    match start.golomb():  # how the order of frames is told
        case 0:
            start.golomb()
        case 2:
            pass
        case _:
            return None
    start.golomb()  # reference frames
    start.take(1)
    width, height = 16 * (start.golomb() + 1), 16 * (start.golomb() + 1)
    if not start.take(1):
        return None  # interlaced
    start.take(1)
    if start.take(1):
        width -= 2 * (start.golomb() + start.golomb())
        height -= 2 * (start.golomb() + start.golomb())
    return None if start.take(1) and _is_full_range(start) else (width, height)


def _is_full_range(usability: _Bits) -> bool:
    """Whether luma has all values from 0 to 255, by the video usability information (ITU-T H.264, E.1.1)."""
    if usability.take(1) and usability.take(8) == _EXTENDED_ASPECT:
        usability.take(32)
    if usability.take(1):
        usability.take(1)  # overscan
    return bool(usability.take(1) and usability.take(4) & 1)
