"""Moves an earlier ``latest/`` aside where it has entries that are not part of a publication; notes the reasons."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from aurora_platform.fs.atomic import flush
from aurora_platform.text import MOST_NAMED, counted, printable


@dataclass
class MovedAside:
    """The earlier ``latest/`` that a publication moves aside as a whole, with a note beside it."""

    path: Path
    """Where the earlier directory goes; created when needed."""
    names: dict[str, str] = field(default_factory=dict)
    """Name of the entry -> why it is not part of a publication."""

    @property
    def note(self) -> Path:
        """The note: the directory's name with ``.txt``."""
        return self.path.with_name(f"{self.path.name}.txt")

    def move(self, earlier: Path, fallback: Path) -> None:
        """Move the earlier directory to :attr:`path`, or to ``fallback`` where that fails."""
        if earlier.is_symlink():
            self.path = earlier.readlink()  # its target is not ours, and stays
            self._write_note(fallback.with_name(f"{fallback.name}.txt"))
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            earlier.rename(self.path)
        except OSError:
            self.path = fallback
            earlier.rename(self.path)
        self._write_note(self.note)

    def _write_note(self, note: Path) -> None:
        lines = (f"{printable(name)}: {reason}\n" for name, reason in sorted(self.names.items()))
        note.write_text(f"These entries of {self.path} are not part of a publication:\n" + "".join(lines))
        flush(note)
        flush(note.parent)

    def summary(self) -> str:
        """The result in one line, for the operator."""
        first = "; ".join(f"{printable(name)}: {why}" for name, why in sorted(self.names.items())[:MOST_NAMED])
        return f"{counted(len(self.names), 'entry', 'entries')} of latest/ moved aside to {self.path}: {first}"
