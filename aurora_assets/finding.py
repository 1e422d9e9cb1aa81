"""What a look at something found: the result of a check, before Dagster sees it."""

from dataclasses import dataclass, field

from aurora_assets.files import Tally


@dataclass
class Finding:
    """What a look at one product found: a sentence, numbers, and what is wrong, by kind, with the first names."""

    subject: str
    numbers: dict[str, int | float] = field(default_factory=dict)
    wrong: dict[str, Tally] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        return not self.wrong

    @property
    def sentence(self) -> str:
        if self.passed:
            return f"{self.subject}: as it should be."
        return f"{self.subject}: " + "; ".join(f"{t.count} {kind}" for kind, t in self.wrong.items()) + "."

    def offend(self, kind: str, name: str) -> None:
        self.wrong.setdefault(kind, Tally()).add(name)
