"""The result of a check, before it becomes a result of Dagster."""

from dataclasses import dataclass, field

from aurora_platform.text import Count, counted


@dataclass
class CheckReport:
    """The result of checking one product: a sentence, numbers, and the problems by kind, with the first names.

    An input that a product excludes with a reason is reported, but is not a problem.
    """

    subject: str
    numbers: dict[str, int | float] = field(default_factory=dict)
    wrong: dict[str, Count] = field(default_factory=dict)
    excluded: dict[str, str] = field(default_factory=dict)
    """input -> why the product excludes it"""

    @property
    def passed(self) -> bool:
        return not self.wrong

    @property
    def sentence(self) -> str:
        if self.passed and self.excluded:
            return f"{self.subject}: as it should be; {counted(len(self.excluded), 'input')} left out, with a reason."
        if self.passed:
            return f"{self.subject}: as it should be."
        return f"{self.subject}: " + "; ".join(_with_first(kind, count) for kind, count in self.wrong.items()) + "."

    def add_wrong(self, kind: str, name: str) -> None:
        self.wrong.setdefault(kind, Count()).add(name)


def _with_first(kind: str, count: Count) -> str:
    """``2 gaps of more than 10m (first: 03:10:00 to 04:00:00)``: a name is where the search begins."""
    named = f"{count.total} {kind}"
    if not count.first:
        return named
    return f"{named} ({'first: ' if count.total > 1 else ''}{count.first[0]})"
