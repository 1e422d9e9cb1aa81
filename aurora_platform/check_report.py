"""What a look at something found: the result of a check, before Dagster sees it."""

from dataclasses import dataclass, field

from aurora_platform.text import Count, counted


@dataclass
class CheckReport:
    """What a look at one product found: a sentence, numbers, and what is wrong, by kind, with the first names.

    What a product leaves out and says why is shown, and is not wrong.
    """

    subject: str
    numbers: dict[str, int | float] = field(default_factory=dict)
    wrong: dict[str, Count] = field(default_factory=dict)
    excluded: dict[str, str] = field(default_factory=dict)
    """input -> why the product leaves it out"""

    @property
    def passed(self) -> bool:
        return not self.wrong

    @property
    def sentence(self) -> str:
        if self.passed and self.excluded:
            return f"{self.subject}: as it should be; {counted(len(self.excluded), 'input')} left out, with a reason."
        if self.passed:
            return f"{self.subject}: as it should be."
        return f"{self.subject}: " + "; ".join(f"{t.total} {kind}" for kind, t in self.wrong.items()) + "."

    def add_wrong(self, kind: str, name: str) -> None:
        self.wrong.setdefault(kind, Count()).add(name)
