"""Where that goes which lay among the published manifests and is no part of a publication. Nothing of it is deleted."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from aurora_assets.files import SHOWN, counted, flush, shown


@dataclass
class Aside:
    """A directory for what is moved away, with a note beside it that says why; made when there is something."""

    place: Path
    names: dict[str, str] = field(default_factory=dict)
    """Name -> why."""

    @property
    def note(self) -> Path:
        """The note: the directory's name with ``.txt``."""
        return self.place.with_name(f"{self.place.name}.txt")

    def take(self, entry: Path, why: str) -> None:
        """Move something here."""
        self.place.mkdir(parents=True, exist_ok=True)
        entry.rename(self.place / entry.name)
        self.say(entry.name, why)

    def say(self, name: str, why: str) -> None:
        """Note it."""
        self.names[name] = why
        self.place.mkdir(parents=True, exist_ok=True)
        lines = (f"{shown(one)}: {reason}\n" for one, reason in sorted(self.names.items()))
        self.note.write_text("Moved away from latest/, because it is no part of a publication:\n" + "".join(lines))
        flush(self.note)
        flush(self.place.parent)

    def summary(self) -> str:
        """The line that an operator reads."""
        first = "; ".join(f"{shown(name)}: {why}" for name, why in sorted(self.names.items())[:SHOWN])
        return f"{counted(len(self.names), 'entry', 'entries')} of latest/ moved to {self.place}: {first}"
