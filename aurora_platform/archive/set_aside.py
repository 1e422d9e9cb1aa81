"""What lay among the published manifests and is no part of a publication: where it goes, and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from aurora_platform.fs.atomic import flush
from aurora_platform.text import MOST_NAMED, counted, printable


@dataclass
class Aside:
    """What a publication leaves behind. The whole earlier directory is put aside, with a note beside it."""

    place: Path
    """Where the earlier directory goes; made when there is something."""
    names: dict[str, str] = field(default_factory=dict)
    """Name -> why."""

    @property
    def note(self) -> Path:
        """The note: the directory's name with ``.txt``."""
        return self.place.with_name(f"{self.place.name}.txt")

    def put(self, earlier: Path, instead: Path) -> None:
        """Put the earlier directory aside; where that cannot be done in our place for it, to ``instead``."""
        if earlier.is_symlink():
            self.place = earlier.readlink()  # what it leads to is not ours, and stays
            self._write(instead.with_name(f"{instead.name}.txt"))
            return
        try:
            self.place.parent.mkdir(parents=True, exist_ok=True)
            earlier.rename(self.place)
        except OSError:
            self.place = instead
            earlier.rename(self.place)
        self._write(self.note)

    def _write(self, note: Path) -> None:
        lines = (f"{printable(one)}: {reason}\n" for one, reason in sorted(self.names.items()))
        note.write_text(f"Of {self.place} this is no part of a publication any more:\n" + "".join(lines))
        flush(note)
        flush(note.parent)

    def summary(self) -> str:
        """The line that an operator reads."""
        first = "; ".join(f"{printable(name)}: {why}" for name, why in sorted(self.names.items())[:MOST_NAMED])
        return f"{counted(len(self.names), 'entry', 'entries')} of latest/ left behind in {self.place}: {first}"
