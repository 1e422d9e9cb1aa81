"""A flat source is listed by the names of the wanted days, and by all names that no day has."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pytest

from aurora_platform.archive.place import Place, joined
from aurora_platform.config.streams import Stream
from aurora_platform.streams.classify import Directories, day_name_patterns
from aurora_platform.text import Count
from aurora_platform.transport.checksums import LocalHasher
from aurora_platform.transport.listing import Listing, LocalSource, parse_listing, remote_command, split_records
from aurora_platform.transport.protocols import Source

FLAT = {
    "host": "here",
    "raw": "live",
    "include": ["**/*"],
    "day": r"(?P<Y>\d{4})(?P<m>\d{2})(?P<d>\d{2})",
    "day_names": ["live_%Y%m%d_*.nc", "[a]%%_%Y-%m-%d.txt"],
    "start": "2026-01-01",
}
OF_THE_DAY = ["live_20260305_1.nc", "below/live_20260305_2.nc"]
OF_NO_DAY = ["20260305.tmp", "live_2026030_5.nc", "below/odd_20260305", "a%_2026-01-02.txt", "link"]
OF_OTHER_DAYS = ["live_20260101_1.nc", "[a]%_2026-01-02.txt", "below/live_20260102_2.nc"]


class Find:
    """The source of a remote host, on this machine: the command that lists there."""

    def list(self, root: str, below: Sequence[str], without: Sequence[str] = (), named: Sequence[str] = ()) -> Listing:
        done = subprocess.run(remote_command(root, below, without, named), capture_output=True, check=True)
        return parse_listing(split_records([done.stdout]), Count())


@pytest.mark.parametrize("source", [LocalSource(), Find()], ids=["local", "find"])
def test_no_file_of_a_wanted_day_and_no_odd_name_is_left_out_and_none_comes_twice(
    tmp_path: Path, source: Source
) -> None:
    stream = Stream.model_validate(FLAT | {"path": str(tmp_path)})
    for name in (*OF_THE_DAY, *OF_NO_DAY, *OF_OTHER_DAYS):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "link").unlink()
    (tmp_path / "link").symlink_to("anywhere")
    directories = Directories(stream, [date(2026, 3, 5)])
    place = Place("here", source, LocalHasher(), str(tmp_path))
    listed = joined(place.list([], directories.name_patterns), place.list_without(day_name_patterns(stream)))
    paths = [entry.path.decode() for entry in listed.entries if entry.kind != "d"]
    assert sorted(paths) == sorted([*OF_THE_DAY, *OF_NO_DAY])
